"""What a benchmark compares, and what it finds: ways to run and their figures."""

from __future__ import annotations

import itertools
import shlex
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeAlias

from yolocli.config import AUTO, DEFAULT_MODE, DEFAULT_MODEL
from yolocli.results import Detection
from yolocli.runtimes.openvino.model_folder import is_openvino_model

BASELINE = "yolo predict"

Boxes: TypeAlias = Mapping[str, Sequence[Detection]]


@dataclass(frozen=True, slots=True)
class Cell:
    """One way to run. Its fields are options of `yolocli detect`, with the defaults that they have there.

    Attributes:
        model: Weights, a converted model, or an official name.
        mode: Who owns the model.
        runtime: What runs the network.
        workers: Workers; 0 lets the run choose.
        batch: Images that go through the network together; 0 lets the run choose.
        precision: What the network computes in; None for the runtime's default.
    """

    model: str = DEFAULT_MODEL
    mode: str = DEFAULT_MODE
    runtime: str = AUTO
    workers: int = 0
    batch: int = 0
    precision: str | None = None

    @property
    def name(self) -> str:
        """What to call it in the table, the model apart."""
        words = [self.mode, self.runtime]
        words += [f"{self.workers} worker" + "s" * (self.workers > 1)] if self.workers else []
        words += [f"batch {self.batch}"] if self.batch else []
        return ", ".join([*words, self.precision] if self.precision else words)

    @property
    def options(self) -> list[str]:
        """The options that ask for it; what is the default needs none."""
        given = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        default = asdict(Cell())
        pairs = [(f"--{name}", str(value)) for name, value in given.items() if value != default[name]]
        return list(itertools.chain.from_iterable(pairs))


@dataclass(slots=True)
class Row:
    """What was measured of a way to run.

    Attributes:
        name: For the table.
        model: As `yolocli detect` takes it.
        cell: How it ran; None for the baseline.
        images_per_second: One figure a round, models loaded and warm: the first chunk of each worker is not counted.
        wall_seconds: One figure a round, start and all.
        stage_ms: Milliseconds an image of each stage, in the last round; they overlap between workers.
        peak_memory_bytes: Of all processes, the largest of the rounds.
        failures: Images that failed, the most of the rounds; such images are fast, so the rates are not to be trusted.
        boxes: What the reference (torch, fp32, one worker) finds: boxes, or what else the task of the model finds.
        matched: Of these, what was found here with the same class and a likeness of `MATCH_IOU`.
        extra: What was found here alone.
        things: What is counted.
    """

    name: str
    model: str
    cell: Cell | None = None
    images_per_second: list[float] = field(default_factory=list)
    wall_seconds: list[float] = field(default_factory=list)
    stage_ms: dict[str, float] = field(default_factory=dict)
    peak_memory_bytes: int = 0
    failures: int = 0
    boxes: int = 0
    matched: int = 0
    extra: int = 0
    things: str = ""

    @property
    def median(self) -> float:
        """Images a second, the median of the rounds."""
        return statistics.median(self.images_per_second)


@dataclass(frozen=True, slots=True)
class BenchConfig:
    """What to compare.

    Attributes:
        folder: Where the pictures are.
        models: The first gives the boxes to agree with, and its baseline is what ratios are to.
        cells: The ways to run.
        images: Pictures of a run; fewer in the folder are taken several times.
        repeats: Rounds.
        baseline: Run Ultralytics' own predict beside it, with each model.
    """

    folder: str
    models: tuple[str, ...]
    cells: tuple[Cell, ...]
    images: int = 60
    repeats: int = 3
    baseline: bool = True


def cells(
    models: Sequence[str],
    modes: Sequence[str],
    runtimes: Sequence[str],
    workers: Sequence[int],
    batches: Sequence[int],
    precisions: Sequence[str | None] = (None,),
) -> list[Cell]:
    """Returns every combination that there is, once: a converted model runs where it was made for."""
    axes = itertools.product(models, modes, runtimes, workers, batches, precisions)
    combinations = dict.fromkeys(Cell(*values) for values in axes)
    return [cell for cell in combinations if cell.runtime != "torch" or not is_openvino_model(Path(cell.model))]


def to_dict(rows: Sequence[Row], config: BenchConfig) -> dict[str, Any]:
    """Returns the figures for machines, with the ratio of each row to the first baseline."""
    base = next((row.median for row in rows if row.cell is None), None)
    return {
        "folder": config.folder,
        "models": config.models,
        "images": config.images,
        "rows": [
            asdict(row)
            | {"median": row.median, "ratio": row.median / base if base else None, "command": command(row, config)}
            for row in rows
        ],
    }


def command(row: Row, config: BenchConfig) -> str:
    """Returns the command line that runs a row on the whole folder."""
    if row.cell is None:
        return f"yolo predict model={shlex.quote(row.model)} source={shlex.quote(config.folder)} save=False"
    return shlex.join(["yolocli", "detect", config.folder, *row.cell.options])
