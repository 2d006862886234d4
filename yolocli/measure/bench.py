"""Which mode suits this machine: short runs of the real command, in turn and repeated, beside plain Ultralytics.

Every run is a process of its own, so that memory and threads are its own, too. Runs are interleaved round by round:
a machine that slows down slows all of them, and the spread within a row shows it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from yolocli.config import DetectorConfig, Precision
from yolocli.errors import NoImagesError, UsageError
from yolocli.measure.cells import BASELINE, BenchConfig, Cell, Row
from yolocli.measure.pictures import Say, gather, left_out, repeat
from yolocli.measure.runs import detect, outcomes, run_baseline, run_cell, task_of
from yolocli.results import Detection
from yolocli.runtimes.choose import prepare_detector
from yolocli.tasks.base import Task


def bench(config: BenchConfig, say: Say) -> list[Row]:
    """Measures.

    Args:
        config: What to compare.
        say: Told what goes on, a line for each run, as it starts.

    Returns:
        A row for the baseline of each model, if it was asked for, and one for each cell, in their order.

    Raises:
        NoImagesError: If the folder holds no image that can be read.
        UsageError: If there is nothing to run, or the settings of a cell do not go together.
        ModelError: If a model is missing, or cannot be converted.
        WorkerError: If a run fails.
    """
    rows = _rows(config)
    if not rows:
        raise UsageError("nothing to run: an OpenVINO model needs --runtime openvino")
    with tempfile.TemporaryDirectory(prefix="yolocli-bench-", ignore_cleanup_errors=True) as temporary:
        root = Path(temporary)
        pictures = root / "pictures"
        names = gather(config.folder, pictures, config.images, say)
        for cell in config.cells:
            _prepare(cell, say)
        say(f"reference: {config.models[0]} with torch, 1 worker")
        reference, failed, task, expected = _reference(config, pictures, root)
        for name in failed:
            (pictures / name).unlink()
        if failed:
            say(left_out([f"{names[name]} ({why})" for name, why in failed.items()]))
        if not reference:
            raise NoImagesError(f"{config.folder}: none of its images can be read")
        reference |= {copy: reference[name] for copy, name in repeat(pictures, config.images).items()}
        runs = [row for _ in range(config.repeats) for row in rows]
        say(f"{config.images} images a run, {config.repeats} x {len(rows)} runs")
        for number, row in enumerate(runs):
            left = sum(other.wall_seconds[-1] if other.wall_seconds else expected for other in runs[number:])
            say(f"run {number + 1} of {len(runs)}: {row.name} (about {_duration(left)} to go)")
            row.things = task.things
            if row.cell is None:
                run_baseline(row, pictures, config.images, task)
            else:
                run_cell(row, pictures, root, reference, task)
    return rows


def _rows(config: BenchConfig) -> list[Row]:
    models = config.models if config.baseline else ()
    rows = [Row(BASELINE, model) for model in models] + [Row(cell.name, cell.model, cell) for cell in config.cells]
    if len(config.models) > 1:
        short = {Path(model).name for model in config.models}
        for row in rows:  # best.pt beside another best.pt needs its folders
            row.name += f", {Path(row.model).name if len(short) == len(config.models) else row.model}"
    return rows


def _prepare(cell: Cell, say: Say) -> None:
    """Downloads and converts what a cell needs, so that no run is timed while it does that; refuses what cannot run."""
    precision = None if cell.precision is None else Precision(cell.precision)
    prepare_detector(DetectorConfig(cell.model, cell.runtime, precision), notice=say)


def _reference(
    config: BenchConfig, pictures: Path, root: Path
) -> tuple[dict[str, Sequence[Detection]], dict[str, str], Task, float]:
    """Returns what is found in each picture, why others failed, the task, and the seconds for `config.images`."""
    out = root / "reference"
    summary, wall = detect(Cell(config.models[0], "thread", "torch", 1, 1), pictures, out)
    boxes, failures = outcomes(out)
    start = wall - summary["wall_seconds"]
    expected = start + config.images * summary["wall_seconds"] / (len(boxes) + len(failures))
    return boxes, failures, task_of(out), expected


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
