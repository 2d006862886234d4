"""A faster model from the user's own pictures, and what it costs: found on pictures that it was not calibrated on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from yolocli.checks import check_share
from yolocli.config import DetectorConfig, Precision, SourceConfig
from yolocli.detector import Detector, load_detector
from yolocli.errors import ImageError, ModelError, UsageError
from yolocli.images.decode import decode
from yolocli.images.letterbox import Canvas
from yolocli.machine.cpus import usable_cpus
from yolocli.measure.loss import Comparison, compare, floor
from yolocli.results import ImageRef
from yolocli.runtimes.choose import prepare_detector
from yolocli.runtimes.openvino.model_folder import SUFFIX, check_name, new_model, refuse_used
from yolocli.runtimes.openvino.quantise import quantise
from yolocli.sources import read
from yolocli.sources.discover import discover
from yolocli.sources.suffixes import suffix_of

Notice = Callable[[str], None]

HOLD_BACK_EVERY = 4
"""Of so many pictures one is kept from the calibration."""
LEAST_PICTURES = 8
MOST_PICTURES = 1200
"""More calibrate no better; of more, this many are taken, evenly spread."""
FEW_BOXES = 50
"""With fewer boxes held back, the loss is a guess."""


@dataclass(frozen=True, slots=True)
class OptimizeConfig:
    """What to make.

    Attributes:
        model: Weights, a model converted for OpenVINO, or an official name.
        pictures: Folder of pictures like those it will run on.
        output: Folder of the new model, ending in `_openvino_model`; None puts it into the current folder, named after
            the model.
        confidence: Threshold that the model will be used with; the boxes that fp32 finds at it are compared.
        max_loss: Share of those that may be lost, in [0, 1]; see `MARGIN`.
        force: Write it whatever it loses, and over an older one.
        trust_weights: Load a checkpoint that asks for arbitrary Python objects.
    """

    model: str
    pictures: str
    output: Path | None = None
    confidence: float = DetectorConfig().confidence
    max_loss: float = 0.02
    force: bool = False
    trust_weights: bool = False

    def __post_init__(self) -> None:
        check_share("--conf", self.confidence)
        check_share("--max-loss", self.max_loss)
        check_name(self.target)

    @property
    def target(self) -> Path:
        """The folder to write."""
        stem = Path(self.model).name.removesuffix(SUFFIX)
        return self.output or Path(f"{Path(stem).stem}_{Precision.int8.value}{SUFFIX}")

    @property
    def floor(self) -> float:
        """Confidence from which on a box of the new model counts as found."""
        return floor(self.confidence)


def optimize(config: OptimizeConfig, notice: Notice, found: Callable[[Comparison], None]) -> Path:
    """Makes a model in INT8, compares it, and writes it if it is good enough.

    Args:
        config: What to make.
        notice: Told what goes on.
        found: Told how it compares, before it is written or refused.

    Returns:
        The folder, which `--model` takes.

    Raises:
        UsageError: If there are too few pictures, or the folder exists.
        ModelError: If it cannot be made, or loses too much.
        OutputError: If it cannot be written.
    """
    refuse_used(config.target, config.force)
    calibrating, held_back = _pictures(config.pictures, notice)
    asked = DetectorConfig(
        config.model, "openvino", trust_weights=config.trust_weights, confidence=config.floor, threads=usable_cpus()
    )
    prepared = prepare_detector(asked, notice=notice)
    fp32 = load_detector(prepared)
    with new_model(config.target) as made:
        notice(f"calibrating on {len(calibrating)} pictures")
        quantise(prepared.path, made, calibrating, lambda ref: _canvas(fp32, ref))
        notice(f"comparing on {len(held_back)} others")
        int8 = load_detector(prepare_detector(replace(asked, model=str(made))))
        canvases = [_canvas(fp32, ref) for ref in held_back]
        comparison = compare(fp32, int8, canvases, config.confidence, len(calibrating))
        found(comparison)
        _judge(comparison, config, notice)
    return config.target


def _judge(comparison: Comparison, config: OptimizeConfig, notice: Notice) -> None:
    """Refuses a model that loses too much, or of which that is not known, unless it is wanted all the same.

    Raises:
        ModelError: If it is refused.
    """
    things = comparison.task.things
    found = things if comparison.task.whole else f"{things} with confidence {config.confidence:g} or more"
    if comparison.loss is None and not config.force:
        raise ModelError(
            f"not written: fp32 finds no {found} in the {comparison.held_back} held-back pictures, so nothing is known "
            "of the loss. Give pictures that show what the model detects, a lower --conf, or --force"
        )
    if comparison.boxes < FEW_BOXES:
        notice(f"only {comparison.boxes} {things} to compare: with more pictures the loss would be better known")
    if comparison.loss is not None and comparison.loss > config.max_loss and not config.force:
        raise ModelError(
            f"not written: {comparison.loss:.1%} of the {found} are lost, more than --max-loss "
            f"{config.max_loss:.1%}. Calibrate on more pictures, allow more, or use --force"
        )


def _pictures(folder: str, notice: Notice) -> tuple[list[ImageRef], list[ImageRef]]:
    """Returns the pictures to calibrate on and those held back; a picture that is there twice counts once."""
    refs = [item for item in discover(SourceConfig((folder,)), notice=notice) if isinstance(item, ImageRef)]
    refs = refs[:: max(1, -(-len(refs) // MOST_PICTURES))]
    usable: dict[bytes, ImageRef] = {}
    for ref in refs:
        try:
            data = read(ref.source, ref.hint)
            decode(data, suffix_of(ref.source), max_pixels=DetectorConfig().max_pixels)
        except (OSError, ImageError) as error:
            notice(f"left out {ref.path}: {error}")
            continue
        usable.setdefault(hashlib.sha256(data).digest(), ref)
    pictures = list(usable.values())
    if len(pictures) < LEAST_PICTURES:
        raise UsageError(f"--calibrate {folder}: {len(pictures)} different pictures; give {LEAST_PICTURES} or more")
    held_back = pictures[HOLD_BACK_EVERY - 1 :: HOLD_BACK_EVERY]
    kept_out = set(held_back)
    return [ref for ref in pictures if ref not in kept_out], held_back


def _canvas(detector: Detector, ref: ImageRef) -> Canvas:
    limit = DetectorConfig().max_pixels
    picture = decode(read(ref.source, ref.hint), suffix_of(ref.source), channels=detector.channels, max_pixels=limit)
    (canvas,) = detector.prepare(picture)
    return canvas
