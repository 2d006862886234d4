"""What a page says of all images, gathered while they pass."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from heapq import heappush, heappushpop
from typing import TypeAlias

from yolocli.results import Detection, ImageFailure, ImageResult, Outcome
from yolocli.tasks.base import Task

Class: TypeAlias = tuple[int, str]
"""Its index and its name."""

CONFIDENCE_BINS = 20
SIDES = (16, 32, 64, 128, 256, 512, 1024)
"""Where bins of sizes end, in pixels; the last has no end."""
SLOWEST = 10


@dataclass(slots=True)
class ClassFigures:
    """Detections of one class, or of all.

    Attributes:
        detections: How many there are.
        images: Images with one.
        confidence: How many there are in each twentieth of [0, 1]; the last has 1, too.
        sides: How many there are by the side of a square as large as the box, see `SIDES`.
    """

    detections: int = 0
    images: int = 0
    confidence: list[int] = field(default_factory=lambda: [0] * CONFIDENCE_BINS)
    sides: list[int] = field(default_factory=lambda: [0] * (len(SIDES) + 1))

    def add(self, record: Detection) -> None:
        """Takes a detection."""
        self.detections += 1
        if record.confidence is not None:
            self.confidence[min(int(record.confidence * CONFIDENCE_BINS), CONFIDENCE_BINS - 1)] += 1
        if record.xyxy is not None:
            left, top, right, bottom = record.xyxy
            side = math.sqrt(max(right - left, 0) * max(bottom - top, 0))
            self.sides[sum(side >= end for end in SIDES)] += 1


@dataclass(frozen=True, slots=True)
class Reason:
    """Failures of one kind.

    Attributes:
        stage: Where they ended.
        error: Class of the error.
        message: That of the first.
        path: Of the first.
    """

    stage: str
    error: str
    message: str
    path: str


class Figures:
    """Figures of all images of a folder.

    Attributes:
        images: Images that gave a result.
        failures: Images that failed.
        nothing: Images that gave a result without a detection.
        lesser: Records that do not count: where a task ranks classes of an image, all but the best.
        all: Of all classes together.
        timed: Images whose records have timings.
    """

    def __init__(self, task: Task) -> None:
        """Begins to count.

        Args:
            task: Of the model; it says which records of an image count.
        """
        self._task = task
        self.images = self.failures = self.nothing = self.lesser = self.timed = 0
        self.all = ClassFigures()
        self._classes: dict[Class, ClassFigures] = {}
        self._reasons: dict[tuple[str, str], Reason] = {}
        self._counts: Counter[tuple[str, str]] = Counter()
        self._slowest: list[tuple[float, int, Outcome]] = []

    def add(self, outcome: Outcome) -> None:
        """Takes the next image."""
        if isinstance(outcome, ImageResult):
            self.images += 1
            self._add_detections(outcome)
        else:
            self.failures += 1
            self._add_failure(outcome)
        if outcome.timings:
            self.timed += 1
            entry = (sum(outcome.timings.values()), -self.timed, outcome)
            if len(self._slowest) < SLOWEST:
                heappush(self._slowest, entry)
            else:
                heappushpop(self._slowest, entry)

    def classes(self) -> dict[Class, ClassFigures]:
        """Returns the classes by the count of their detections, the most frequent first."""
        return dict(sorted(self._classes.items(), key=lambda item: (-item[1].detections, item[0])))

    def reasons(self) -> list[tuple[Reason, int]]:
        """Returns why images failed, and how many, the most frequent first."""
        return [(self._reasons[key], count) for key, count in self._counts.most_common()]

    def slowest(self) -> list[tuple[float, Outcome]]:
        """Returns the images that took longest, and their milliseconds."""
        return [(taken, outcome) for taken, _, outcome in sorted(self._slowest, key=lambda entry: entry[:2])[::-1]]

    def _add_detections(self, outcome: ImageResult) -> None:
        counted = self._task.judged(outcome.detections)
        self.lesser += len(outcome.detections) - len(counted)
        self.nothing += not outcome.detections
        met = set()
        for record in outcome.detections:  # all are in the pictures, whatever is counted
            self._classes.setdefault((record.class_id, record.name), ClassFigures())
        for record in counted:
            key = (record.class_id, record.name)
            self._classes[key].add(record)
            self.all.add(record)
            met.add(key)
        for key in met:
            self._classes[key].images += 1
        self.all.images += bool(met)

    def _add_failure(self, outcome: ImageFailure) -> None:
        key = (outcome.stage, outcome.error)
        self._counts[key] += 1
        self._reasons.setdefault(key, Reason(*key, outcome.message, outcome.path))
