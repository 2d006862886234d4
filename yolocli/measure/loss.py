"""What a faster model loses, beside fp32."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from yolocli.detector import Detector
from yolocli.images.letterbox import Canvas
from yolocli.measure.match import match
from yolocli.results import Detection
from yolocli.tasks.base import Task

OVERLAP = 0.5
"""Likeness (IoU of boxes) from which on two records of a class are of the same thing."""

MARGIN = 0.1
"""INT8 moves each confidence by some hundredths, so boxes that it sees well cross any threshold, down and up.

A box that is found with so much less than the threshold, but at least half of it, has faded; it is not lost. Measured
with yolo11n: moves have a standard deviation of 0.04; of 491 boxes with 0.25 or more, 18 faded and 6 were lost.
"""

ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Comparison:
    """The new model beside fp32, on held-back pictures, at the threshold that it will be used with.

    Attributes:
        task: What both are for.
        calibrated: Pictures it was calibrated on.
        held_back: Pictures it was compared on.
        confidence: The threshold.
        floor: Confidence from which on a box counts as found, below the threshold; see `MARGIN`.
        kept: Of what fp32 finds (boxes, or what else the task is about), how many it finds, too.
        faded: How many it finds below the threshold, so a run with it does not show them.
        lost: How many it does not find.
        own: How many it finds.
        gained: Of these, how many fp32 does not find, below the threshold neither.
        confidence_shift: Mean change of the confidence of what was kept or faded; None if there is none.
        likeness: Mean likeness of those with fp32's, see `Task.likeness`; None if there is none.
        images_per_second: Of the network, on all CPUs.
        fp32_images_per_second: Of fp32's, measured in turn with it.
    """

    task: Task
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
    likeness: float | None
    images_per_second: float
    fp32_images_per_second: float

    @property
    def boxes(self) -> int:
        """What fp32 finds."""
        return self.kept + self.faded + self.lost

    @property
    def loss(self) -> float | None:
        """Share of what fp32 finds that is lost, in [0, 1]; None if there is none."""
        return self.lost / self.boxes if self.boxes else None


def floor(confidence: float) -> float:
    """Returns the confidence from which on a box of a model for a threshold counts as found; see `MARGIN`."""
    return max(confidence - MARGIN, confidence / 2)


def compare(
    fp32: Detector, int8: Detector, canvases: Sequence[Canvas], confidence: float, calibrated: int
) -> Comparison:
    """Runs two detectors in turn over the same pictures.

    Args:
        fp32: Gives all boxes from `floor(confidence)` on, at least.
        int8: Likewise.
        canvases: Of the pictures that were held back.
        confidence: The threshold that both will be used with.
        calibrated: Pictures that `int8` was calibrated on.
    """
    task = fp32.task
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
                boxes[detector] = task.judged(detector.finish([candidates], [canvas]).detections)
            if repeat:
                continue
            threshold = 0.0 if task.whole else confidence  # what is said of whole images has none
            sure, faint = _split(boxes[fp32], threshold)
            own_sure, own_faint = _split(boxes[int8], threshold)
            both = match(task, sure, own_sure, OVERLAP)
            faded = match(task, both.first_only, own_faint, OVERLAP)
            pairs += both.pairs + faded.pairs
            kept += len(both.pairs)
            lost += len(faded.first_only)
            own += len(own_sure)
            gained += len(match(task, both.second_only, faint, OVERLAP).first_only)
    return Comparison(
        task=task,
        calibrated=calibrated,
        held_back=len(canvases),
        confidence=confidence,
        floor=floor(confidence),
        kept=kept,
        faded=len(pairs) - kept,
        lost=lost,
        own=own,
        gained=gained,
        confidence_shift=statistics.fmean(_score(new) - _score(old) for old, new, _ in pairs) if pairs else None,
        likeness=statistics.fmean(likeness for _, _, likeness in pairs) if pairs else None,
        images_per_second=1 / statistics.median(seconds[int8]),
        fp32_images_per_second=1 / statistics.median(seconds[fp32]),
    )


def _split(boxes: Sequence[Detection], confidence: float) -> tuple[list[Detection], list[Detection]]:
    """Returns the boxes at or above the threshold, and those below it that still count as found."""
    sure = [box for box in boxes if _score(box) >= confidence]
    return sure, [box for box in boxes if floor(confidence) <= _score(box) < confidence]


def _score(record: Detection) -> float:
    """Returns the confidence; what has none is sure."""
    return 1.0 if record.confidence is None else record.confidence
