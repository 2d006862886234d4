"""Which mode suits this machine: short runs of the real command, in turn and repeated, beside plain Ultralytics.

Every run is a process of its own, so that memory and threads are its own, too. Runs are interleaved round by round:
a machine that slows down slows all of them, and the spread within a row shows it.
"""

from __future__ import annotations

import csv
import itertools
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from yolocli.config import SourceConfig
from yolocli.errors import NoImagesError, WorkerError
from yolocli.overlap import iou
from yolocli.results import ImageRef
from yolocli.runtimes.export_folder import is_export
from yolocli.sources import discover
from yolocli.worker import STAGES, chunk_size

BASELINE = "yolo predict"
MATCH_IOU = 0.9
"""Overlap at which a box counts as the reference's, if the class is the same too."""

Box: TypeAlias = tuple[str, float, tuple[float, float, float, float]]
Boxes: TypeAlias = Mapping[str, Sequence[Box]]


@dataclass(frozen=True, slots=True)
class Cell:
    """One way to run.

    Attributes:
        model: As `yolocli detect` takes it.
        mode: Who owns the model.
        runtime: What runs the network.
        workers: Workers; 0 lets the run choose.
        batch: Images that go through the network together.
        precision: What the network computes in; None for the runtime's default.
    """

    model: str
    mode: str
    runtime: str
    workers: int
    batch: int
    precision: str | None = None

    @property
    def name(self) -> str:
        """What to call it in the table."""
        words = [self.mode, self.runtime, f"j{self.workers or '-'}", f"b{self.batch or '-'}"]
        return " ".join([*words, self.precision] if self.precision else words)

    @property
    def options(self) -> list[str]:
        """The options of `yolocli detect` that ask for it."""
        options = ["--mode", self.mode, "--runtime", self.runtime, "--batch", str(self.batch)]
        options += ["--workers", str(self.workers)] if self.workers else []
        return options + (["--precision", self.precision] if self.precision else [])


@dataclass(slots=True)
class Row:
    """What was measured of a cell.

    Attributes:
        name: For the table.
        model: As `yolocli detect` takes it.
        options: Of the command line; empty for the baseline.
        images_per_second: One figure a round, models loaded and warm: the first chunk of each worker is not counted.
        wall_seconds: One figure a round, start and all.
        stage_ms: Milliseconds an image of each stage, in the last round; they overlap between workers.
        peak_memory_bytes: Of all processes, the largest of the rounds.
        boxes: Boxes of the reference (torch, fp32, one worker).
        matched: Of these, boxes found here with the same class and an IoU of `MATCH_IOU`.
        extra: Boxes found here alone.
    """

    name: str
    model: str
    options: list[str]
    images_per_second: list[float] = field(default_factory=list)
    wall_seconds: list[float] = field(default_factory=list)
    stage_ms: dict[str, float] = field(default_factory=dict)
    peak_memory_bytes: int = 0
    boxes: int = 0
    matched: int = 0
    extra: int = 0

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
    """Returns every combination that there is: an export runs where it was made for."""
    axes = itertools.product(models, modes, runtimes, workers, batches, precisions)
    combinations = (Cell(*values) for values in axes)
    return [cell for cell in combinations if cell.runtime != "torch" or not is_export(Path(cell.model))]


def bench(config: BenchConfig, say: Callable[[str], None]) -> list[Row]:
    """Measures.

    Args:
        config: What to compare.
        say: Called with a line for each run, as it starts.

    Returns:
        A row for the baseline, if it was asked for, and one for each cell, in their order.

    Raises:
        NoImagesError: If the folder holds no image.
        WorkerError: If a run fails.
    """
    rows = [Row(BASELINE, model, []) for model in config.models] if config.baseline else []
    rows += [Row(cell.name, cell.model, cell.options) for cell in config.cells]
    if len(config.models) > 1:
        for row in rows:
            row.name += f" {Path(row.model).name}"
    with tempfile.TemporaryDirectory(prefix="yolocli-bench-") as temporary:
        root = Path(temporary)
        pictures = gather(config.folder, root / "pictures", config.images)
        say("reference: torch fp32, one worker")
        reference = _reference(config.models[0], pictures, root)
        for number in range(config.repeats):
            for row in rows:
                say(f"round {number + 1} of {config.repeats}: {row.name}")
                if row.options:
                    run_cell(row, pictures, root, reference)
                else:
                    _run_baseline(row, pictures)
    return rows


def to_dict(rows: Sequence[Row], config: BenchConfig) -> dict[str, Any]:
    """Returns the figures for machines, with the ratio of each row to the first baseline."""
    base = next((row.median for row in rows if not row.options), None)
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
    if not row.options:
        return f"yolo predict model={shlex.quote(row.model)} source={shlex.quote(config.folder)} save=False"
    return shlex.join(["yolocli", "detect", config.folder, "--model", row.model, *row.options])


def gather(folder: str, target: Path, count: int) -> Path:
    """Puts pictures into a folder: links to those of the user, again and again until there are enough.

    Raises:
        NoImagesError: If there is none.
    """
    found = [item for item in itertools.islice(discover(SourceConfig((folder,))), count) if isinstance(item, ImageRef)]
    if not found:
        raise NoImagesError(f"{folder}: no image found")
    target.mkdir()
    for number, ref in zip(range(count), itertools.cycle(found), strict=False):
        name = target / f"{number:05d}{Path(ref.source).suffix.lower()}"
        try:
            os.link(ref.source, name)
        except OSError:  # another file system
            shutil.copyfile(ref.source, name)
    return target


def _reference(model: str, pictures: Path, root: Path) -> Boxes:
    out = root / "reference"
    _detect(model, pictures, out, Cell(model, "thread", "torch", 1, 1).options)
    return dict(_boxes(out))


def run_cell(row: Row, pictures: Path, root: Path, reference: Boxes) -> None:
    """Runs a cell once, and adds its figures to its row.

    Args:
        row: Of the cell.
        pictures: Folder to run on.
        root: Folder for the results.
        reference: Boxes to compare with, by path.

    Raises:
        WorkerError: If the run fails.
    """
    out = root / "out"
    summary, wall = _detect(row.model, pictures, out, row.options)
    done = summary["images"] + summary["failures"]
    row.images_per_second.append(_warm_rate(summary, done))
    row.wall_seconds.append(wall)
    row.stage_ms = {name: round(summary["stages"][name] * 1000 / done, 2) for name in STAGES}
    row.peak_memory_bytes = max(row.peak_memory_bytes, summary["peak_memory_bytes"])
    row.boxes, row.matched, row.extra = _agreement(reference, dict(_boxes(out)))


def _warm_rate(summary: Mapping[str, Any], done: int) -> float:
    """Returns images a second after the first chunks, which all workers finish at about the same time."""
    warm = done - summary["workers"] * chunk_size(summary["batch"])
    if warm <= 0:
        return float(summary["images_per_second"])
    return float(warm / (summary["wall_seconds"] - summary["first_seconds"]))


def _detect(model: str, pictures: Path, out: Path, options: Sequence[str]) -> tuple[dict[str, Any], float]:
    words = ["detect", str(pictures), "--model", model, "--output", str(out), "--overwrite", "--format", "csv"]
    line, wall = _python(["-m", "yolocli", *words, *options, "--summary-json", "--no-progress"])
    return json.loads(line), wall


def _run_baseline(row: Row, pictures: Path) -> None:
    line, wall = _python(["-c", _PREDICT, row.model, str(pictures)])
    figures = json.loads(line)
    row.images_per_second.append(figures["images_per_second"])
    row.wall_seconds.append(wall)
    row.peak_memory_bytes = max(row.peak_memory_bytes, figures["peak_memory_bytes"])


_PREDICT = """
import json, os, sys, time
from yolocli.cache import cache_folder
from yolocli.memory import peak_memory
from yolocli.models import resolve_model
from yolocli.runtimes.library import ENVIRONMENT
model, folder = resolve_model(sys.argv[1]), sys.argv[2]
os.environ.update(ENVIRONMENT, YOLO_CONFIG_DIR=str(cache_folder("ultralytics")))
from ultralytics import YOLO
results = YOLO(model, task="detect").predict(folder, stream=True, save=False, verbose=False)
next(results)  # set-up and the first image are not counted, as they are not for the others
started = time.perf_counter()
images = sum(1 for result in results if result.boxes.xyxy.tolist() is not None)
rate = images / (time.perf_counter() - started)
print(json.dumps({"images_per_second": rate, "peak_memory_bytes": peak_memory()}))
"""
"""What `yolo predict save=False` does, by its Python form, timed from the second image on."""


def _python(words: Sequence[str]) -> tuple[str, float]:
    """Runs Python; returns the last line of its stdout and the seconds it took."""
    import time

    started = time.perf_counter()
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    wall = time.perf_counter() - started
    lines = done.stdout.strip().splitlines()
    if done.returncode not in {0, 1} or not lines:
        reason = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise WorkerError(f"a run of the benchmark failed: {shlex.join(words[:2])} ...: {reason[-1]}")
    return lines[-1], wall


def _boxes(out: Path) -> Iterator[tuple[str, list[Box]]]:
    with open(out / "detections.csv", newline="", encoding="utf-8") as stream:
        for path, group in itertools.groupby(csv.DictReader(stream), key=lambda row: row["path"]):
            yield (
                path,
                [
                    (
                        row["name"],
                        float(row["confidence"]),
                        tuple(float(row[side]) for side in ("x1", "y1", "x2", "y2")),
                    )  # type: ignore[misc]
                    for row in group
                ],
            )


def _agreement(reference: Boxes, found: Boxes) -> tuple[int, int, int]:
    """Returns the boxes of the reference, those of them that were found, and those found beyond them."""
    boxes = matched = extra = 0
    for path in reference.keys() | found.keys():
        left = list(found.get(path, ()))
        for name, _, xyxy in reference.get(path, ()):
            boxes += 1
            best = max((box for box in left if box[0] == name), key=lambda box: iou(xyxy, box[2]), default=None)
            if best is not None and iou(xyxy, best[2]) >= MATCH_IOU:
                matched += 1
                left.remove(best)
        extra += len(left)
    return boxes, matched, extra
