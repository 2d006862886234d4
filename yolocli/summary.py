"""Counts and times of a run, gathered as outcomes pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from yolocli.errors import ExitCode
from yolocli.results import STAGES, Detection, ImageResult, Outcome


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run in figures.

    Attributes:
        mode: Who owned the detector.
        workers: Workers at work.
        threads_per_worker: Intra-op threads of each detector.
        batch: Images that went through the network together.
        runtime: What ran the network, and where.
        model: Model as it was asked for.
        images: Images that gave a result in this run.
        detections: What was found in them: boxes, or what else the task of the model finds.
        failures: Images that failed in this run.
        skipped: Images that an earlier run had done.
        skipped_failures: Among those, failures that were not tried again.
        vanished: Images of earlier runs that are gone from the folders walked.
        pruned: Among those, images whose records were dropped.
        damaged: Lines of the journal that were found damaged; their images are done again.
        other_files: Files that the walk passed over because their suffix is no image's.
        other_shards: Images of the inputs that are in other shards.
        complete: False if the run stopped before its inputs ended.
        exit_code: What the process ends with.
        wall_seconds: From the first image to the last, models loaded.
        first_seconds: Part of it, until the first result; the network warms up in it.
        load_seconds: To load models and start workers.
        stages: Seconds spent in each stage, summed over workers.
        peak_memory_bytes: Of all processes; pages they share are counted in each.
        classes: How often each class was found, by name, the most frequent first; of what an image as a whole is said
            to be, its best class counts.
        folder: What the output folder holds of all its runs: images, failures, detections; empty without one.
    """

    mode: str
    workers: int
    threads_per_worker: int
    batch: int
    runtime: str
    model: str
    images: int = 0
    detections: int = 0
    failures: int = 0
    skipped: int = 0
    skipped_failures: int = 0
    vanished: int = 0
    pruned: int = 0
    damaged: int = 0
    other_files: int = 0
    other_shards: int = 0
    complete: bool = True
    exit_code: int = ExitCode.OK
    wall_seconds: float = 0.0
    first_seconds: float = 0.0
    load_seconds: float = 0.0
    stages: Mapping[str, float] = field(default_factory=dict)
    peak_memory_bytes: int = 0
    classes: Mapping[str, int] = field(default_factory=dict)
    folder: Mapping[str, int] = field(default_factory=dict)

    @property
    def images_per_second(self) -> float:
        """Images that ended, well or not, a second; loading is not in it."""
        return (self.images + self.failures) / self.wall_seconds if self.wall_seconds else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Returns the content of summary.json."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        rounded = {
            "wall_seconds": round(self.wall_seconds, 3),
            "first_seconds": round(self.first_seconds, 3),
            "load_seconds": round(self.load_seconds, 3),
            "images_per_second": round(self.images_per_second, 2),
            "stages": {name: round(seconds, 3) for name, seconds in self.stages.items()},
            "classes": dict(self.classes),
            "folder": dict(self.folder),
            "exit_code": int(self.exit_code),
        }
        return values | rounded


class Tally:
    """Counts outcomes; gives a RunSummary its figures."""

    def __init__(self) -> None:
        self.images = 0
        self.failures = 0
        self.detections = 0
        self._classes: Counter[str] = Counter()
        self._milliseconds: dict[str, float] = dict.fromkeys(STAGES, 0.0)

    def add(self, outcome: Outcome) -> None:
        """Counts one outcome."""
        for stage, milliseconds in outcome.timings.items():
            self._milliseconds[stage] += milliseconds
        if isinstance(outcome, ImageResult):
            self.images += 1
            self.detections += len(outcome.detections)
            self._classes.update(record.name for record in counted(outcome.detections))
        else:
            self.failures += 1

    def spent(self, stage: str, seconds: float) -> None:
        """Adds time that is no worker's."""
        self._milliseconds[stage] += seconds * 1000

    def fill(self, summary: RunSummary) -> RunSummary:
        """Returns the summary with the counts so far."""
        return replace(
            summary,
            images=self.images,
            detections=self.detections,
            failures=self.failures,
            stages={name: self._milliseconds[name] / 1000 for name in STAGES},
            classes=dict(sorted(self._classes.items(), key=lambda item: (-item[1], item[0]))),
        )


def counted(records: Sequence[Detection]) -> Sequence[Detection]:
    """Returns the records whose classes count; of classes in the order of their scores, without boxes, the first."""
    ranked = bool(records) and records[0].xyxy is None and records[0].confidence is not None
    return records[:1] if ranked else records
