"""Which mode suits this machine: short runs of the real command, in turn and repeated, beside plain Ultralytics.

Every run is a process of its own, so that memory and threads are its own, too. Runs are interleaved round by round:
a machine that slows down slows all of them, and the spread within a row shows it.
"""

from __future__ import annotations

import itertools
import json
import os
import shlex
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeAlias

from yolocli.config import AUTO, DEFAULT_MODE, DEFAULT_MODEL, DetectorConfig, Precision, SourceConfig
from yolocli.errors import ExitCode, NoImagesError, UsageError, WorkerError
from yolocli.executors.chunk import chunk_size
from yolocli.machine.apart import run_apart
from yolocli.machine.cache import CACHE_VARIABLE
from yolocli.measure.match import match
from yolocli.output.ownership import JOURNAL
from yolocli.output.past import replay
from yolocli.results import STAGES, Detection, ImageFailure
from yolocli.runtimes.choose import prepare_detector
from yolocli.runtimes.openvino.export_folder import is_export
from yolocli.sources.discover import discover

BASELINE = "yolo predict"
MATCH_IOU = 0.9
"""Overlap at which a box counts as the reference's, if the class is the same too."""
NAMES_SHOWN = 3

Boxes: TypeAlias = Mapping[str, Sequence[Detection]]
Say: TypeAlias = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Cell:
    """One way to run. Its fields are options of `yolocli detect`, with the defaults that they have there.

    Attributes:
        model: Weights, an export, or an official name.
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
        boxes: Boxes of the reference (torch, fp32, one worker).
        matched: Of these, boxes found here with the same class and an IoU of `MATCH_IOU`.
        extra: Boxes found here alone.
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
    """Returns every combination that there is, once: an export runs where it was made for."""
    axes = itertools.product(models, modes, runtimes, workers, batches, precisions)
    combinations = dict.fromkeys(Cell(*values) for values in axes)
    return [cell for cell in combinations if cell.runtime != "torch" or not is_export(Path(cell.model))]


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
        say(f"reference boxes: {config.models[0]} with torch, 1 worker")
        reference, failed, expected = _reference(config, pictures, root)
        for name in failed:
            (pictures / name).unlink()
        if failed:
            say(_left_out([f"{names[name]} ({why})" for name, why in failed.items()]))
        if not reference:
            raise NoImagesError(f"{config.folder}: none of its images can be read")
        reference |= {copy: reference[name] for copy, name in repeat(pictures, config.images).items()}
        runs = [row for _ in range(config.repeats) for row in rows]
        say(f"{config.images} images a run, {config.repeats} x {len(rows)} runs")
        for number, row in enumerate(runs):
            left = sum(other.wall_seconds[-1] if other.wall_seconds else expected for other in runs[number:])
            say(f"run {number + 1} of {len(runs)}: {row.name} (about {_duration(left)} to go)")
            if row.cell is None:
                _run_baseline(row, pictures, config.images)
            else:
                run_cell(row, pictures, root, reference)
    return rows


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


def gather(folder: str, target: Path, count: int, say: Say = lambda text: None) -> dict[str, str]:
    """Puts pictures into a new folder: links to those of the user, or copies.

    Args:
        folder: Where the pictures are.
        target: The folder to make.
        count: Pictures to put there at most.
        say: Told what is left out.

    Returns:
        For each file in `target` its path in `folder`.

    Raises:
        NoImagesError: If there is none.
    """
    target.mkdir()
    names: dict[str, str] = {}
    for item in discover(SourceConfig((folder,)), notice=say):
        if len(names) == count:
            break
        if isinstance(item, ImageFailure):
            say(_left_out([f"{item.path} ({item.message})"]))
            continue
        name = f"{len(names):05d}{Path(item.source).suffix.lower()}"
        try:
            _link(item.source, target / name)
        except OSError as error:
            say(_left_out([f"{item.path} ({error.strerror or error})"]))
        else:
            names[name] = item.path
    if not names:
        raise NoImagesError(f"{folder}: no image found")
    return names


def repeat(folder: Path, count: int) -> dict[str, str]:
    """Links the files of a folder again and again, until there are so many.

    Returns:
        For each new name the file it is the same as.
    """
    there = sorted(os.listdir(folder))
    again = zip(range(len(there), count), itertools.cycle(there), strict=False)
    copies = {f"again-{number:05d}{Path(name).suffix}": name for number, name in again}
    for copy, name in copies.items():
        _link(str(folder / name), folder / copy)
    return copies


def _link(source: str, name: Path) -> None:
    try:
        os.link(os.path.realpath(source), name)  # the file itself: a relative link leads nowhere from here
    except OSError:  # another file system, or somebody else's file
        shutil.copyfile(source, name)


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
) -> tuple[dict[str, Sequence[Detection]], dict[str, str], float]:
    """Returns the boxes of each picture, why others failed, and the seconds a run of `config.images` would take."""
    out = root / "reference"
    summary, wall = _detect(Cell(config.models[0], "thread", "torch", 1, 1), pictures, out)
    boxes, failures = _outcomes(out)
    start = wall - summary["wall_seconds"]
    return boxes, failures, start + config.images * summary["wall_seconds"] / (len(boxes) + len(failures))


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
    assert row.cell is not None
    out = root / "out"
    summary, wall = _detect(row.cell, pictures, out)
    done = summary["images"] + summary["failures"]
    row.images_per_second.append(_warm_rate(summary, done))
    row.wall_seconds.append(wall)
    row.stage_ms = {name: round(summary["stages"][name] * 1000 / done, 2) for name in STAGES}
    row.peak_memory_bytes = max(row.peak_memory_bytes, summary["peak_memory_bytes"])
    row.failures = max(row.failures, summary["failures"])
    row.boxes, row.matched, row.extra = agreement(reference, _outcomes(out)[0])


def agreement(reference: Boxes, found: Boxes) -> tuple[int, int, int]:
    """Returns the boxes of the reference, those of them that were found, and those found beyond them."""
    paths = reference.keys() | found.keys()
    matchings = [match(reference.get(path, ()), found.get(path, ()), MATCH_IOU) for path in paths]
    matched = sum(len(matching.pairs) for matching in matchings)
    lost = sum(len(matching.first_only) for matching in matchings)
    return matched + lost, matched, sum(len(matching.second_only) for matching in matchings)


def _warm_rate(summary: Mapping[str, Any], done: int) -> float:
    """Returns images a second after the first chunks, which all workers finish at about the same time."""
    warm = done - summary["workers"] * chunk_size(summary["batch"])
    if warm <= 0:
        return float(summary["images_per_second"])
    return float(warm / (summary["wall_seconds"] - summary["first_seconds"]))


def _detect(cell: Cell, pictures: Path, out: Path) -> tuple[dict[str, Any], float]:
    words = ["detect", str(pictures), *cell.options, "--output", str(out), "--overwrite", "--format", "csv"]
    return _figures(_COMMAND, [*words, "--summary-json", "--no-progress"], cell.name)


def _run_baseline(row: Row, pictures: Path, images: int) -> None:
    figures, wall = _figures(_PREDICT, [row.model, str(pictures)], row.name)
    row.images_per_second.append(figures["images_per_second"])
    row.wall_seconds.append(wall)
    row.peak_memory_bytes = max(row.peak_memory_bytes, figures["peak_memory_bytes"])
    row.failures = max(row.failures, images - figures["images"])


_COMMAND = "from yolocli.__main__ import main; main()"

_PREDICT = """
import json, os, time
from yolocli.machine.cache import cache_folder
from yolocli.machine.memory import peak_memory
from yolocli.models import resolve_model
from yolocli.runtimes.torch.download import Official
from yolocli.runtimes.torch.library import ENVIRONMENT
model, folder = resolve_model(sys.argv[1], Official()), sys.argv[2]
from yolocli.runtimes.torch.load import check_format
os.environ.update(ENVIRONMENT, YOLO_CONFIG_DIR=str(cache_folder("ultralytics")), ULTRALYTICS_SAFE_LOAD="1")
from ultralytics import YOLO
check_format(model, False)
results = YOLO(model, task="detect").predict(folder, stream=True, save=False, verbose=False)
next(results)  # set-up and the first image are not counted, as they are not for the others
started = time.perf_counter()
images = sum(1 for result in results if result.boxes.xyxy.tolist() is not None)
rate = images / (time.perf_counter() - started)
print(json.dumps({"images": 1 + images, "images_per_second": rate, "peak_memory_bytes": peak_memory()}))
"""
"""What `yolo predict save=False` does, by its Python form; it leaves out what it cannot read."""


def _figures(code: str, arguments: Sequence[str], name: str) -> tuple[dict[str, Any], float]:
    """Runs Python code apart, without the user's own settings for `yolocli detect`.

    Returns:
        The JSON in the last line of its stdout, and the seconds it took.
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


def _outcomes(out: Path) -> tuple[dict[str, Sequence[Detection]], dict[str, str]]:
    """Returns the boxes of each path in an output folder, and the messages of those that failed."""
    boxes: dict[str, Sequence[Detection]] = {}
    failures: dict[str, str] = {}
    for outcome in replay(out / JOURNAL):
        if isinstance(outcome, ImageFailure):
            failures[outcome.path] = outcome.message
        else:
            boxes[outcome.path] = outcome.detections
    return boxes, failures


def _left_out(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return f"left out, as it cannot be read: {', '.join(names[:NAMES_SHOWN])}{more}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
