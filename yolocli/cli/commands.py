"""What the commands do, for a person at a terminal, a pipe or a log."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import shlex
import signal
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from yolocli.cli.progress import make_progress
from yolocli.cli.terminal import claim_stdout, mute_libraries, tell, write
from yolocli.config import DetectorConfig, Limits, RunConfig
from yolocli.errors import ExitCode, NoImagesError, UsageError
from yolocli.machine.memory import keep_freed_memory
from yolocli.output.formats.failures import FAILURES
from yolocli.pipeline import Observer, Run, Silent
from yolocli.results import ImageFailure, Outcome, to_json
from yolocli.sources.discover import discover
from yolocli.summary import RunSummary

if TYPE_CHECKING:
    from yolocli.measure.optimize import OptimizeConfig
    from yolocli.output.projection import Choice

USUAL_STRIDE = 32
STOPPING = b"\nstopping: images in flight are finished first; once more to stop at once\n"


class Ndjson(Silent):
    """A record a line, flushed, as images end."""

    def __init__(self, stream: IO[bytes], timings: bool) -> None:
        self._stream = stream
        self._timings = timings

    def outcome(self, outcome: Outcome) -> None:
        """See `Observer.outcome`."""
        write(self._stream, to_json(outcome.to_dict(timings=self._timings)) + b"\n")


def run_detect(config: RunConfig, *, stdout: bool, quiet: bool, progress: bool, summary_json: bool) -> int:
    """Runs a detection and tells about it on stderr.

    Args:
        config: The run.
        stdout: Write records to stdout.
        quiet: Say nothing but what was asked for.
        progress: Show how far it is.
        summary_json: Print the summary as a line of JSON: on stdout, or on stderr when records go there.

    Returns:
        The exit code.

    Raises:
        YolocliError: For a failure of the run itself.
    """
    _end_on_sigterm()
    data = claim_stdout()
    _limit_decoders(config.detector.max_pixels)
    keep_freed_memory()
    if not config.detector.verbose:
        _mute_libraries()
    watcher = make_progress(sys.stderr, quiet=quiet, bar=progress)
    _warn_of_small_sides(config.detector, watcher)
    run = Run(config, [Ndjson(data, config.timings), watcher] if stdout else [watcher])
    _stop_on_signals(run, quiet)
    for _ in run:
        pass
    with suppress(OSError, SystemExit):  # a reader of stderr that has gone changes nothing of what was done
        _tell(run.summary, config, quiet=quiet, table=not (quiet or summary_json))
    if summary_json:
        line = json.dumps(run.summary.to_dict()).encode() + b"\n"
        write(sys.stderr.buffer if stdout else data, line, "stderr" if stdout else "stdout")
    try:
        sys.stderr.flush()
    except OSError:
        sys.stderr = None  # or Python would try again at its end, and make that the exit code
    return int(run.summary.exit_code)


def _warn_of_small_sides(config: DetectorConfig, observer: Observer) -> None:
    """Says what becomes of a side below the stride, the least that a network can take."""
    if config.imgsz is not None and min(config.imgsz) < USUAL_STRIDE:
        observer.notice(
            f"--imgsz {min(config.imgsz)}: sides are rounded up to a multiple of the model's stride, mostly "
            f"{USUAL_STRIDE}; few models find anything at such a size"
        )


def _tell(summary: RunSummary, config: RunConfig, *, quiet: bool, table: bool) -> None:
    """Tells people of the end of a run: all of it, or, if quiet, of failures alone; and how to go on."""
    if table:
        from rich.console import Console

        from yolocli.cli.tables import print_summary

        print_summary(summary, config.output, Console(stderr=True))
    failures = summary.failures + summary.skipped_failures
    if quiet and failures:
        total = summary.images + summary.failures + summary.skipped
        where = f"see {config.output / FAILURES}" if config.output is not None else "their records say why"
        tell(f"{failures:,} of {total:,} failed, {where}")
    started = summary.images + summary.failures + summary.skipped
    if not summary.complete and started and config.output is not None and not quiet:
        tell(_how_to_go_on(summary, config.limits))


def _how_to_go_on(summary: RunSummary, limits: Limits) -> str:
    """Returns a line with the command to go on with; one that would not stop at the same failures again."""
    words = [word for word in sys.argv[1:] if word != "--overwrite"]
    if not limits.too_many(summary.failures, summary.images + summary.failures):
        return f"To go on: {shlex.join(['yolocli', *words])}"
    words = [word for word in words if word != "--retry-failed"]
    words.insert(1, "--no-retry-failed")
    return f"To go on without what failed: {shlex.join(['yolocli', *words])}"


def export(root: Path, formats: Sequence[str], timings: bool, choice: Choice, target: Path | None) -> None:
    """Makes projections from the journal of an output folder, in it or in a new one.

    Raises:
        UsageError: If there is no journal, a run is writing to the folder, or boxes are chosen and there is no target.
        OutputError: If the journal is damaged or a file cannot be written.
    """
    from yolocli.output.projection import Choice, extract, rebuild

    if target is not None:
        count = extract(root, target, formats, choice, timings, tell)
    elif choice != Choice():
        raise UsageError("--conf and --classes leave boxes out: name a new folder for the others with --output")
    else:
        count = rebuild(root, formats, timings, tell)
    tell(f"{target or root}: {', '.join(formats)} of {count:,} images")


def run_bench(
    folder: str,
    models: Sequence[str],
    *,
    modes: Sequence[str],
    runtimes: Sequence[str],
    workers: Sequence[int],
    batches: Sequence[int],
    precisions: Sequence[str],
    images: int,
    repeats: int,
    baseline: bool,
    as_json: bool,
) -> int:
    """Measures every combination and prints a table, or JSON, on stdout.

    Returns:
        The exit code: whether images failed.

    Raises:
        YolocliError: If there is no image, or a run fails.
    """
    from rich.console import Console

    from yolocli.cli.tables import print_bench
    from yolocli.measure.bench import bench
    from yolocli.measure.cells import BenchConfig, cells, to_dict
    from yolocli.runtimes.openvino.library import openvino_installed

    runtimes = runtimes or ["torch", *(["openvino"] if openvino_installed() else [])]
    ways = cells(models, modes, runtimes, workers, batches, precisions or [None])
    config = BenchConfig(folder, tuple(dict.fromkeys(models)), tuple(ways), images, repeats, baseline)
    _end_on_signals()
    rows = bench(config, tell)
    figures = to_dict(rows, config)
    if as_json:
        print(json.dumps(figures, indent=2))
    else:
        print_bench(figures, Console())
    return int(ExitCode.SOME_FAILED if any(row.failures for row in rows) else ExitCode.OK)


def run_optimize(config: OptimizeConfig) -> None:
    """Makes a model in INT8; tells on stdout how it compares with fp32, and on stderr what goes on.

    Raises:
        YolocliError: If it cannot be made, or loses too much.
    """
    from rich.console import Console

    from yolocli.cli.tables import print_comparison
    from yolocli.measure.optimize import optimize

    _end_on_signals()
    path = optimize(config, tell, lambda comparison: print_comparison(comparison, config.max_loss, Console()))
    tell(f"use it with --model {shlex.quote(str(path))}")


def _end_on_signals() -> None:
    """SIGINT and SIGTERM end a command as an exception, so that children and temporary files go; the first counts."""
    codes = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED}
    heard = [number for number in codes if signal.getsignal(number) is not signal.SIG_IGN]  # as under nohup

    def end(number: int, frame: object) -> None:
        for other in heard:
            signal.signal(other, signal.SIG_IGN)
        sys.exit(codes[signal.Signals(number)])

    for number in heard:
        signal.signal(number, end)


def dry_run(config: RunConfig, quiet: bool) -> None:
    """Prints the path of every image that would be read; the separator follows --null.

    Raises:
        NoImagesError: If there is none.
        ReaderLeftError: If nobody reads them any more.
        OutputError: If they cannot be written.
    """
    end = b"\0" if config.source.null else b"\n"
    stdout = sys.stdout.buffer

    def say(text: str) -> None:
        if not quiet:
            tell(text)

    count = 0
    for item in discover(config.source, skip=config.output, notice=say):
        count += 1
        if isinstance(item, ImageFailure):
            say(f"cannot be read: {item.path}: {item.message}")
        else:
            write(stdout, os.fsencode(item.source) + end)
    if not count:
        raise NoImagesError("no image found; see --help for the suffixes and filters that apply")
    say(f"{count:,} images")


def _stop_on_signals(run: Run, quiet: bool) -> None:
    """Stops a run at SIGINT or SIGTERM, well; at a second one, at once."""
    codes = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED}
    received: list[int] = []

    def handle(number: int, frame: object) -> None:
        code = codes[signal.Signals(number)]
        received.append(number)
        if len(received) == 1:
            run.stop(code)
            if not quiet:
                with suppress(OSError):
                    os.write(sys.stderr.fileno(), STOPPING)
        else:
            # a record is one write, made in this thread, so none can be torn here
            for child in multiprocessing.active_children():
                child.kill()
            os._exit(code)

    for number in codes:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, handle)


def _end_on_sigterm() -> None:
    """Until the run can be stopped well, SIGTERM ends it as an exception, so that temporary files and children go."""
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(ExitCode.TERMINATED))


def _limit_decoders(max_pixels: int) -> None:
    """Gives OpenCV the limit, too, for the files whose header cannot be read before; it looks when it is loaded."""
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(max_pixels))


def _mute_libraries() -> None:
    """Leaves stderr to people: what libraries print about each damaged image, from C, on stdout too, is dropped.

    In this process and in its children; `failures.jsonl` says it better. A crash still tells where it was.
    """
    warnings.simplefilter("ignore")
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    mute_libraries()
