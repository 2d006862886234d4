"""One run of a benchmark, in a process of its own: the real command, or plain Ultralytics beside it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from yolocli.errors import ExitCode, UsageError, WorkerError
from yolocli.executors.chunk import chunk_size
from yolocli.machine.apart import run_apart
from yolocli.machine.cache import CACHE_VARIABLE
from yolocli.measure.cells import Boxes, Cell, Row
from yolocli.measure.match import match
from yolocli.output.ownership import JOURNAL, RUN
from yolocli.output.past import replay
from yolocli.results import STAGES, Detection, ImageFailure
from yolocli.tasks import find_task
from yolocli.tasks.base import Task

MATCH_IOU = 0.9
"""Likeness (IoU of boxes) at which a record counts as the reference's, if the class is the same too."""

COMMAND = "from yolocli.__main__ import main; main()"

PREDICT = """
import json, os, time
from yolocli.machine.cache import cache_folder
from yolocli.machine.memory import peak_memory
from yolocli.models import resolve_model
from yolocli.runtimes.torch.download import Official
from yolocli.runtimes.torch.library import ENVIRONMENT
model, folder, task = resolve_model(sys.argv[1], Official()), *sys.argv[2:]
from yolocli.runtimes.torch.backend import check_format
os.environ.update(ENVIRONMENT, YOLO_CONFIG_DIR=str(cache_folder("ultralytics")), ULTRALYTICS_SAFE_LOAD="1")
from ultralytics import YOLO
check_format(model, False)
results = YOLO(model, task=task).predict(folder, stream=True, save=False, verbose=False)
next(results)  # set-up and the first image are not counted, as they are not for the others
started = time.perf_counter()
images = sum(1 for result in results if result.cpu() is not None)
rate = images / (time.perf_counter() - started)
print(json.dumps({"images": 1 + images, "images_per_second": rate, "peak_memory_bytes": peak_memory()}))
"""
"""What `yolo predict save=False` does, by its Python form; it leaves out what it cannot read."""


def run_cell(row: Row, pictures: Path, root: Path, reference: Boxes, task: Task) -> None:
    """Runs a cell once, and adds its figures to its row.

    Args:
        row: Of the cell.
        pictures: Folder to run on.
        root: Folder for the results.
        reference: Records to compare with, by path.
        task: What they are about.

    Raises:
        UsageError: If the model is one for another task.
        WorkerError: If the run fails.
    """
    assert row.cell is not None
    out = root / "out"
    summary, wall = detect(row.cell, pictures, out)
    done = summary["images"] + summary["failures"]
    row.images_per_second.append(_warm_rate(summary, done))
    row.wall_seconds.append(wall)
    row.stage_ms = {name: round(summary["stages"][name] * 1000 / done, 2) for name in STAGES}
    row.peak_memory_bytes = max(row.peak_memory_bytes, summary["peak_memory_bytes"])
    row.failures = max(row.failures, summary["failures"])
    other = task_of(out).name
    if other != task.name:
        raise UsageError(f"--model {row.model}: a model for {other}, which cannot be compared with one for {task.name}")
    row.boxes, row.matched, row.extra = agreement(task, reference, outcomes(out)[0])


def agreement(task: Task, reference: Boxes, found: Boxes) -> tuple[int, int, int]:
    """Returns how many records of the reference there are, how many of them were found, and how many beyond them."""
    paths = reference.keys() | found.keys()
    sides = [(task.judged(reference.get(path, ())), task.judged(found.get(path, ()))) for path in paths]
    matchings = [match(task, *both, MATCH_IOU) for both in sides]
    matched = sum(len(matching.pairs) for matching in matchings)
    lost = sum(len(matching.first_only) for matching in matchings)
    return matched + lost, matched, sum(len(matching.second_only) for matching in matchings)


def _warm_rate(summary: Mapping[str, Any], done: int) -> float:
    """Returns images a second after the first chunks, which all workers finish at about the same time."""
    warm = done - summary["workers"] * chunk_size(summary["batch"])
    if warm <= 0:
        return float(summary["images_per_second"])
    return float(warm / (summary["wall_seconds"] - summary["first_seconds"]))


def detect(cell: Cell, pictures: Path, out: Path) -> tuple[dict[str, Any], float]:
    """Runs the command as a cell says.

    Args:
        cell: How.
        pictures: Folder to run on.
        out: Folder for the results; those of an earlier run in it are dropped.

    Returns:
        Its summary, and the seconds it took.

    Raises:
        WorkerError: If it fails.
    """
    words = ["detect", str(pictures), *cell.options, "--output", str(out), "--overwrite", "--format", "csv"]
    return figures_of(COMMAND, [*words, "--summary-json", "--no-progress"], cell.name)


def task_of(out: Path) -> Task:
    """Returns the task of the model that an output folder was made with."""
    return find_task(json.loads((out / RUN).read_bytes())["task"], out)


def run_baseline(row: Row, pictures: Path, images: int, task: Task) -> None:
    """Runs Ultralytics' own predict once, and adds its figures to its row.

    Args:
        row: Of the baseline.
        pictures: Folder to run on.
        images: How many it holds.
        task: Of the model, which a converted one does not tell Ultralytics in time.

    Raises:
        WorkerError: If the run fails.
    """
    figures, wall = figures_of(PREDICT, [row.model, str(pictures), task.name], row.name)
    row.images_per_second.append(figures["images_per_second"])
    row.wall_seconds.append(wall)
    row.peak_memory_bytes = max(row.peak_memory_bytes, figures["peak_memory_bytes"])
    row.failures = max(row.failures, images - figures["images"])


def figures_of(code: str, arguments: Sequence[str], name: str) -> tuple[dict[str, Any], float]:
    """Runs Python code apart, without the user's own settings for `yolocli detect`.

    Returns:
        The JSON in the last line of its stdout, and the seconds it took.

    Raises:
        WorkerError: If it fails.
    """
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("YOLOCLI_") or name == CACHE_VARIABLE
    }
    started = time.perf_counter()
    done = run_apart(code, arguments, environment)
    wall = time.perf_counter() - started
    lines = done.stdout.strip().splitlines()
    if done.returncode not in {ExitCode.OK, ExitCode.SOME_FAILED} or not lines:
        reason = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise WorkerError(f"the run of {name} failed: {reason[-1].removeprefix('yolocli: ')}")
    return json.loads(lines[-1]), wall


def outcomes(out: Path) -> tuple[dict[str, Sequence[Detection]], dict[str, str]]:
    """Returns the boxes of each path in an output folder, and the messages of those that failed."""
    boxes: dict[str, Sequence[Detection]] = {}
    failures: dict[str, str] = {}
    for outcome in replay(out / JOURNAL):
        if isinstance(outcome, ImageFailure):
            failures[outcome.path] = outcome.message
        else:
            boxes[outcome.path] = outcome.detections
    return boxes, failures
