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
from dataclasses import dataclass
from pathlib import Path

from yolocli.config import DetectorConfig, Precision, RuntimeName, SourceConfig
from yolocli.cpus import usable_cpus
from yolocli.detector import Detector, load_detector
from yolocli.errors import ModelError, OutputError, UsageError
from yolocli.images import ImageError, decode, read
from yolocli.letterbox import Canvas
from yolocli.models import resolve_model
from yolocli.overlap import iou
from yolocli.results import Detection, ImageRef
from yolocli.runtimes.choose import choose_runtime
from yolocli.runtimes.export_folder import SUFFIX
from yolocli.runtimes.quantise import quantise
from yolocli.sources import discover

Notice = Callable[[str], None]

HOLD_BACK_EVERY = 4
"""Of so many pictures one is kept from the calibration."""
LEAST_PICTURES = 8
MOST_PICTURES = 1200
"""More calibrate no better; of more, this many are taken, evenly spread."""
FEW_BOXES = 50
"""With fewer boxes held back, the loss is a guess."""
SURE, SEEN, OVERLAP = 0.5, 0.25, 0.5
"""A box of fp32 with confidence >= SURE is kept if one of its class has confidence >= SEEN and IoU >= OVERLAP."""
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class OptimizeConfig:
    """What to make.

    Attributes:
        model: Weights, an export folder, or an official name.
        pictures: Folder of pictures like those it will run on.
        precision: Of the new model.
        output: Its folder, ending in `_openvino_model`; None puts it into the current folder, named after the model.
        max_loss: Share of the boxes of fp32 that may be lost, in [0, 1].
        force: Write it whatever it loses, and over an older one.
        trust_weights: Load a checkpoint that asks for arbitrary Python objects.
    """

    model: str
    pictures: str
    precision: Precision = Precision.int8
    output: Path | None = None
    max_loss: float = 0.02
    force: bool = False
    trust_weights: bool = False

    def __post_init__(self) -> None:
        if self.precision is not Precision.int8:
            raise UsageError(f"--precision {self.precision.value}: needs no optimized model; optimize makes int8")
        if not 0 <= self.max_loss <= 1:
            raise UsageError(f"--max-loss {self.max_loss}: must be in [0, 1]")
        if not self.target.name.endswith(SUFFIX):
            raise UsageError(f"--output {self.output}: the name must end in {SUFFIX}, by which models are known")

    @property
    def target(self) -> Path:
        """The folder to write."""
        stem = Path(self.model).name.removesuffix(SUFFIX)
        return self.output or Path(f"{Path(stem).stem}_{self.precision.value}{SUFFIX}")


@dataclass(frozen=True, slots=True)
class Comparison:
    """The new model beside fp32, on held-back pictures.

    Attributes:
        calibrated: Pictures it was calibrated on.
        held_back: Pictures it was compared on.
        kept: Boxes of fp32 that it finds.
        lost: Boxes of fp32 that it does not find.
        gained: Boxes of its own that fp32 does not find.
        confidence_shift: Mean change of the confidence of kept boxes.
        iou: Mean IoU of kept boxes with those of fp32.
        images_per_second: Of the network, on all CPUs.
        fp32_images_per_second: Of fp32's, measured in turn with it.
    """

    calibrated: int
    held_back: int
    kept: int
    lost: int
    gained: int
    confidence_shift: float
    iou: float
    images_per_second: float
    fp32_images_per_second: float

    @property
    def loss(self) -> float:
        """Share of the boxes of fp32 that are lost, in [0, 1]."""
        return self.lost / (self.kept + self.lost) if self.lost else 0.0


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
    model = DetectorConfig(
        str(resolve_model(config.model)),
        runtime=RuntimeName.openvino,
        trust_weights=config.trust_weights,
        confidence=SEEN,
        threads=usable_cpus(),
    )
    model = choose_runtime(model, notice=notice)
    fp32 = load_detector(model)
    with _beside(config.target) as made:
        notice(f"calibrating on {len(calibrating)} pictures")
        quantise(Path(model.converted or model.model), made, calibrating, lambda ref: _canvas(fp32, ref))
        notice(f"comparing on {len(held_back)} others")
        int8 = load_detector(DetectorConfig(str(made), RuntimeName.openvino, confidence=SEEN, threads=model.threads))
        comparison = compare(fp32, int8, [_canvas(fp32, ref) for ref in held_back], len(calibrating))
        found(comparison)
        boxes = comparison.kept + comparison.lost
        if boxes < FEW_BOXES:
            notice(f"only {boxes} boxes to compare: with more pictures the loss would be better known")
        if comparison.loss > config.max_loss and not config.force:
            raise ModelError(
                f"not written: {comparison.loss:.1%} of the boxes are lost, more than --max-loss "
                f"{config.max_loss:.1%}. Calibrate on more pictures, allow more, or use --force"
            )
        try:
            if config.target.exists():
                shutil.rmtree(config.target)
            os.replace(made, config.target)
        except OSError as error:
            raise OutputError(f"{config.target}: cannot be written: {error.strerror or error}") from error
    return config.target


def compare(fp32: Detector, other: Detector, canvases: Sequence[Canvas], calibrated: int) -> Comparison:
    """Runs two detectors in turn over the same pictures; see `Comparison`."""
    seconds: dict[Detector, list[float]] = {fp32: [], other: []}
    kept: list[tuple[float, float]] = []
    lost = gained = 0
    for repeat in range(ROUNDS):
        for canvas in canvases:
            boxes = {}
            for detector in (fp32, other):
                if not repeat:
                    detector.infer([canvas])  # the first run of a shape prepares for it
                started = time.perf_counter()
                candidates = detector.infer([canvas])[0]
                seconds[detector].append(time.perf_counter() - started)
                boxes[detector] = detector.finish(candidates, canvas)
            if not repeat:
                matched, missed = match(boxes[fp32], boxes[other])
                kept += matched
                lost += missed
                gained += match(boxes[other], boxes[fp32])[1]
    return Comparison(
        calibrated=calibrated,
        held_back=len(canvases),
        kept=len(kept),
        lost=lost,
        gained=gained,
        confidence_shift=statistics.fmean(shift for shift, _ in kept) if kept else 0.0,
        iou=statistics.fmean(iou for _, iou in kept) if kept else 0.0,
        images_per_second=1 / statistics.median(seconds[other]),
        fp32_images_per_second=1 / statistics.median(seconds[fp32]),
    )


def match(sure: Sequence[Detection], seen: Sequence[Detection]) -> tuple[list[tuple[float, float]], int]:
    """Looks for each sure box of one model among all of another.

    Returns:
        (change of confidence, IoU) of each that was found, and how many were not.
    """
    found, missed = [], 0
    for box in sure:
        if box.confidence < SURE:
            continue
        same = [other for other in seen if other.class_id == box.class_id and other.confidence >= SEEN]
        best = max(same, key=lambda other: iou(box.xyxy, other.xyxy), default=None)
        if best is not None and iou(box.xyxy, best.xyxy) >= OVERLAP:
            found.append((best.confidence - box.confidence, iou(box.xyxy, best.xyxy)))
        else:
            missed += 1
    return found, missed


def _pictures(folder: str, notice: Notice) -> tuple[list[ImageRef], list[ImageRef]]:
    """Returns the pictures to calibrate on and those held back; a picture that is there twice counts once."""
    refs = [item for item in discover(SourceConfig((folder,)), notice=notice) if isinstance(item, ImageRef)]
    refs = refs[:: max(1, -(-len(refs) // MOST_PICTURES))]
    usable: dict[bytes, ImageRef] = {}
    for ref in refs:
        try:
            data = read(ref)
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
    pixels = decode(read(ref), _suffix(ref), channels=detector.channels, max_pixels=DetectorConfig().max_pixels)
    return detector.prepare(pixels)


def _suffix(ref: ImageRef) -> str:
    return os.path.splitext(ref.source)[1].lower()


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """Gives an empty folder of the target's name on the target's disk, so that moving it there is one step.

    Raises:
        OutputError: If the target's place cannot be written.
    """
    try:
        parent = Path(tempfile.mkdtemp(dir=target.parent, prefix=".optimize-"))
    except OSError as error:
        raise OutputError(f"{target.parent}: cannot be written: {error.strerror or error}; use --output") from error
    try:
        made = parent / target.name
        made.mkdir()
        yield made
    finally:
        shutil.rmtree(parent, ignore_errors=True)
