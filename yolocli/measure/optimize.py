"""A faster model from the user's own pictures, and what it costs: found on pictures that it was not calibrated on."""

from __future__ import annotations

import hashlib
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from yolocli.config import DetectorConfig, Precision, SourceConfig
from yolocli.detector import Detector, load_detector
from yolocli.errors import ImageError, ModelError, OutputError, UsageError
from yolocli.images.decode import decode
from yolocli.images.letterbox import Canvas
from yolocli.machine.cpus import usable_cpus
from yolocli.measure.match import match
from yolocli.results import Detection, ImageRef
from yolocli.runtimes.choose import prepare_detector
from yolocli.runtimes.openvino.export_folder import SUFFIX
from yolocli.runtimes.openvino.quantise import quantise
from yolocli.sources import read
from yolocli.sources.discover import discover

Notice = Callable[[str], None]

HOLD_BACK_EVERY = 4
"""Of so many pictures one is kept from the calibration."""
LEAST_PICTURES = 8
MOST_PICTURES = 1200
"""More calibrate no better; of more, this many are taken, evenly spread."""
FEW_BOXES = 50
"""With fewer boxes held back, the loss is a guess."""
OVERLAP = 0.5
"""IoU at which two boxes of a class are the same one."""
MARGIN = 0.1
"""INT8 moves each confidence by some hundredths, so boxes that it sees well cross any threshold, down and up.

A box that is found with so much less than the threshold, but at least half of it, has faded; it is not lost. Measured
with yolo11n: moves have a standard deviation of 0.04; of 491 boxes with 0.25 or more, 18 faded and 6 were lost.
"""
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class OptimizeConfig:
    """What to make.

    Attributes:
        model: Weights, an export folder, or an official name.
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
        if not 0 <= self.confidence <= 1:
            raise UsageError(f"--conf {self.confidence}: must be in [0, 1]")
        if not 0 <= self.max_loss <= 1:
            raise UsageError(f"--max-loss {self.max_loss}: must be in [0, 1]")
        if not self.target.name.endswith(SUFFIX):
            raise UsageError(f"--output {self.output}: the name must end in {SUFFIX}, by which models are known")

    @property
    def target(self) -> Path:
        """The folder to write."""
        stem = Path(self.model).name.removesuffix(SUFFIX)
        return self.output or Path(f"{Path(stem).stem}_{Precision.int8.value}{SUFFIX}")

    @property
    def floor(self) -> float:
        """Confidence from which on a box of the new model counts as found."""
        return max(self.confidence - MARGIN, self.confidence / 2)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The new model beside fp32, on held-back pictures, at the threshold that it will be used with.

    Attributes:
        calibrated: Pictures it was calibrated on.
        held_back: Pictures it was compared on.
        confidence: The threshold.
        floor: Confidence from which on a box counts as found, below the threshold; see `MARGIN`.
        kept: Boxes of fp32 that it finds.
        faded: Boxes of fp32 that it finds below the threshold, so a run with it does not show them.
        lost: Boxes of fp32 that it does not find.
        own: Boxes it finds.
        gained: Of these, boxes that fp32 does not find, below the threshold neither.
        confidence_shift: Mean change of the confidence of boxes kept or faded; None if there is none.
        iou: Mean IoU of those with fp32's; None if there is none.
        images_per_second: Of the network, on all CPUs.
        fp32_images_per_second: Of fp32's, measured in turn with it.
    """

    calibrated: int
    held_back: int
    confidence: float
    floor: float
    kept: int
    faded: int
    lost: int
    own: int
    gained: int
    confidence_shift: float | None
    iou: float | None
    images_per_second: float
    fp32_images_per_second: float

    @property
    def boxes(self) -> int:
        """Boxes of fp32."""
        return self.kept + self.faded + self.lost

    @property
    def loss(self) -> float | None:
        """Share of the boxes of fp32 that are lost, in [0, 1]; None if there is none."""
        return self.lost / self.boxes if self.boxes else None


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
    if config.target.exists() and not config.force:
        raise UsageError(f"{config.target}: exists; name another --output, or use --force to replace it")
    calibrating, held_back = _pictures(config.pictures, notice)
    asked = DetectorConfig(
        config.model, "openvino", trust_weights=config.trust_weights, confidence=config.floor, threads=usable_cpus()
    )
    prepared = prepare_detector(asked, notice=notice)
    fp32 = load_detector(prepared)
    with _beside(config.target) as made:
        notice(f"calibrating on {len(calibrating)} pictures")
        quantise(prepared.path, made, calibrating, lambda ref: _canvas(fp32, ref))
        notice(f"comparing on {len(held_back)} others")
        int8 = load_detector(prepare_detector(replace(asked, model=str(made))))
        canvases = [_canvas(fp32, ref) for ref in held_back]
        comparison = compare(fp32, int8, canvases, config, len(calibrating))
        found(comparison)
        _judge(comparison, config, notice)
        try:
            if config.target.exists():
                shutil.rmtree(config.target)
            os.replace(made, config.target)
        except OSError as error:
            raise OutputError(f"{config.target}: cannot be written: {error.strerror or error}") from error
    return config.target


def compare(
    fp32: Detector, int8: Detector, canvases: Sequence[Canvas], config: OptimizeConfig, calibrated: int
) -> Comparison:
    """Runs two detectors in turn over the same pictures.

    Args:
        fp32: Gives all boxes from `config.floor` on, at least.
        int8: Likewise.
        canvases: Of the pictures that were held back.
        config: Says what counts as found.
        calibrated: Pictures that `int8` was calibrated on.
    """
    seconds: dict[Detector, list[float]] = {fp32: [], int8: []}
    pairs: list[tuple[Detection, Detection, float]] = []
    kept = lost = own = gained = 0
    for repeat in range(ROUNDS):
        for canvas in canvases:
            boxes = {}
            for detector in (fp32, int8):
                if not repeat:
                    detector.infer([canvas])  # the first run of a shape prepares for it
                started = time.perf_counter()
                candidates = detector.infer([canvas])[0]
                seconds[detector].append(time.perf_counter() - started)
                boxes[detector] = detector.finish([candidates], [canvas])
            if repeat:
                continue
            sure, faint = _split(boxes[fp32], config)
            own_sure, own_faint = _split(boxes[int8], config)
            both = match(sure, own_sure, OVERLAP)
            faded = match(both.first_only, own_faint, OVERLAP)
            pairs += both.pairs + faded.pairs
            kept += len(both.pairs)
            lost += len(faded.first_only)
            own += len(own_sure)
            gained += len(match(both.second_only, faint, OVERLAP).first_only)
    return Comparison(
        calibrated=calibrated,
        held_back=len(canvases),
        confidence=config.confidence,
        floor=config.floor,
        kept=kept,
        faded=len(pairs) - kept,
        lost=lost,
        own=own,
        gained=gained,
        confidence_shift=statistics.fmean(new.confidence - old.confidence for old, new, _ in pairs) if pairs else None,
        iou=statistics.fmean(iou for _, _, iou in pairs) if pairs else None,
        images_per_second=1 / statistics.median(seconds[int8]),
        fp32_images_per_second=1 / statistics.median(seconds[fp32]),
    )


def _split(boxes: Sequence[Detection], config: OptimizeConfig) -> tuple[list[Detection], list[Detection]]:
    """Returns the boxes at or above the threshold, and those below it that still count as found."""
    sure = [box for box in boxes if box.confidence >= config.confidence]
    return sure, [box for box in boxes if config.floor <= box.confidence < config.confidence]


def _judge(comparison: Comparison, config: OptimizeConfig, notice: Notice) -> None:
    """Refuses a model that loses too much, or of which that is not known, unless it is wanted all the same.

    Raises:
        ModelError: If it is refused.
    """
    at = f"confidence {config.confidence:g} or more"
    if comparison.loss is None and not config.force:
        raise ModelError(
            f"not written: fp32 finds no box with {at} in the {comparison.held_back} held-back pictures, so nothing is "
            "known of the loss. Give pictures that show what the model detects, a lower --conf, or --force"
        )
    if comparison.boxes < FEW_BOXES:
        notice(f"only {comparison.boxes} boxes to compare: with more pictures the loss would be better known")
    if comparison.loss is not None and comparison.loss > config.max_loss and not config.force:
        raise ModelError(
            f"not written: {comparison.loss:.1%} of the boxes with {at} are lost, more than --max-loss "
            f"{config.max_loss:.1%}. Calibrate on more pictures, allow more, or use --force"
        )


def _pictures(folder: str, notice: Notice) -> tuple[list[ImageRef], list[ImageRef]]:
    """Returns the pictures to calibrate on and those held back; a picture that is there twice counts once."""
    refs = [item for item in discover(SourceConfig((folder,)), notice=notice) if isinstance(item, ImageRef)]
    refs = refs[:: max(1, -(-len(refs) // MOST_PICTURES))]
    usable: dict[bytes, ImageRef] = {}
    for ref in refs:
        try:
            data = read(ref.source)
            decode(data, _suffix(ref), max_pixels=DetectorConfig().max_pixels)
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
    data, limit = read(ref.source), DetectorConfig().max_pixels
    (canvas,) = detector.prepare(decode(data, _suffix(ref), channels=detector.channels, max_pixels=limit))
    return canvas


def _suffix(ref: ImageRef) -> str:
    return os.path.splitext(ref.source)[1].lower()


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """Gives an empty folder of the target's name on the target's disk, so that moving it there is one step.

    Raises:
        OutputError: If the target's place cannot be written.
    """
    try:
        parent = tempfile.TemporaryDirectory(dir=target.parent, prefix=".optimize-", ignore_cleanup_errors=True)
    except OSError as error:
        raise OutputError(f"{target.parent}: cannot be written: {error.strerror or error}; use --output") from error
    with parent:
        made = Path(parent.name) / target.name
        made.mkdir()
        yield made
