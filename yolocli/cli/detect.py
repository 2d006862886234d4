"""`yolocli detect`: a run, told about to a person at a terminal, a pipe or a log."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import typer

from yolocli.cli import cluster_options, options
from yolocli.cli.declare import given_in
from yolocli.cli.format_options import with_options
from yolocli.cli.report import check_report, report_at_end
from yolocli.cli.terminal import claim_stdout, mute_libraries, tell, write
from yolocli.config import (
    DEFAULT_OUTPUT,
    DEFAULTS,
    DetectorConfig,
    Limits,
    RunConfig,
    configure,
)
from yolocli.errors import NoImagesError, UsageError

if TYPE_CHECKING:
    from yolocli.observer import Observer
    from yolocli.sources.names import Root
    from yolocli.summary import RunSummary

SOURCE, DETECTOR, LIMITS, CLUSTER = DEFAULTS.source, DEFAULTS.detector, DEFAULTS.limits, DEFAULTS.cluster
USUAL_STRIDE = 32


def detect(
    ctx: typer.Context,
    inputs: options.Inputs = None,
    recursive: options.Recursive = SOURCE.recursive,
    include: options.Include = None,
    exclude: options.Exclude = None,
    hidden: options.Hidden = SOURCE.hidden,
    follow_symlinks: options.FollowSymlinks = SOURCE.follow_symlinks,
    include_outputs: options.IncludeOutputs = SOURCE.include_outputs,
    files_from: options.FilesFrom = SOURCE.files_from,
    null: options.Null = SOURCE.null,
    shard: options.Shard = None,
    dry_run: options.DryRun = False,
    model: options.Model = DETECTOR.model,
    imgsz: options.Imgsz = None,
    confidence: options.Conf = DETECTOR.confidence,
    iou: options.Iou = DETECTOR.iou,
    max_detections: options.MaxDet = DETECTOR.max_detections,
    classes: options.Classes = None,
    masks: options.Masks = DETECTOR.masks,
    trust_weights: options.TrustWeights = DETECTOR.trust_weights,
    runtime: options.Runtime = DETECTOR.runtime,
    precision: options.Precision = None,
    mode: options.Mode = DEFAULTS.mode,
    workers: cluster_options.Workers = None,
    threads: options.ThreadsPerWorker = DETECTOR.threads,
    batch: options.Batch = DEFAULTS.batch,
    devices: options.Device = None,
    ray_address: cluster_options.RayAddress = None,
    ray_resources: cluster_options.RayResources = None,
    max_pixels: options.MaxPixels = DETECTOR.max_pixels,
    timeout: options.Timeout = None,
    max_failures: options.MaxFailures = None,
    fail_fast: options.FailFast = False,
    max_runtime: options.MaxRuntime = None,
    fail_incomplete: options.FailIncomplete = LIMITS.fail_incomplete,
    output: options.Output = None,
    formats: options.Formats = None,
    save_by_class: options.SaveByClass = None,
    save_conf: options.SaveConf = False,
    image_root: options.ImageRoot = None,
    save_maps: options.SaveMaps = DETECTOR.save_maps,
    exif: options.Exif = DETECTOR.exif,
    save_images: options.SaveImages = DEFAULTS.save_images,
    save_crops: options.SaveCrops = DEFAULTS.save_crops,
    stdout: options.Stdout = False,
    ordered: options.Ordered = DEFAULTS.ordered,
    timings: options.Timings = DEFAULTS.timings,
    overwrite: options.Overwrite = DEFAULTS.overwrite,
    report: options.Report = False,
    prune: options.Prune = DEFAULTS.prune,
    retry_failed: options.RetryFailed = DEFAULTS.retry_failed,
    summary_json: options.SummaryJson = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = DETECTOR.verbose,
    no_progress: options.NoProgress = False,
) -> None:
    """Find objects in images: a record per image, whatever happens."""
    config = _config(given_in(ctx))
    if dry_run:
        list_images(config, quiet)
    else:
        run(config, stdout=stdout, quiet=quiet, progress=not no_progress, summary_json=summary_json, report=report)


def _config(given: dict[str, Any]) -> RunConfig:
    """Returns the run that options ask for: those that are named like a field of a config go into it."""
    if given["quiet"] and given["verbose"]:
        raise UsageError("--quiet and --verbose exclude each other")
    most = (0, None) if given["fail_fast"] else given.get("max_failures", (None, None))
    given["max_failures"], given["max_failure_share"] = most
    given["least_workers"], given["workers"] = given.get("workers", (CLUSTER.least_workers, DEFAULTS.workers))
    asked_formats = bool(given.get("formats"))
    of_formats = {name: given.get(name) for name in ("save_conf", "image_root")}
    if not given["stdout"]:
        given.setdefault("output", DEFAULT_OUTPUT)
    if isinstance(given.get("output"), str):  # a URL
        from yolocli.output.mirror import FORMATS, settings_for

        given |= {"formats": FORMATS} | given | settings_for(given["output"])
    given["formats"] = with_options(given.get("formats", DEFAULTS.formats), **of_formats)
    config = configure(given)
    asked = {
        "--save-maps": config.detector.save_maps,
        "--save-images": config.save_images,
        "--save-crops": config.save_crops,
        "--report": given["report"],
        "--format": asked_formats,
    }
    for option, wanted in asked.items():
        if wanted and config.output is None:
            raise UsageError(f"{option} writes files: give --output")
    return config


def run(
    config: RunConfig, *, stdout: bool, quiet: bool, progress: bool, summary_json: bool, report: bool = False
) -> None:
    """Runs a detection and tells about it on stderr.

    Args:
        config: The run.
        stdout: Write records to stdout.
        quiet: Say nothing but what was asked for.
        progress: Show how far it is.
        summary_json: Print the summary as a line of JSON: on stdout, or on stderr when records go there.
        report: Make the page of the run at its end.

    Raises:
        YolocliError: For a failure of the run itself.
        typer.Exit: At the end, with the exit code.
    """
    from yolocli.cli.ndjson import Ndjson
    from yolocli.cli.progress import make_progress
    from yolocli.cli.signals import end_on_sigterm, stop_on_signals
    from yolocli.machine.memory import keep_freed_memory
    from yolocli.output.mirror import published
    from yolocli.pipeline import Run

    if report and config.output is not None:
        check_report(config.output)
    end_on_sigterm()
    data = claim_stdout()
    _limit_decoders(config.detector.max_pixels)
    keep_freed_memory()
    if not config.detector.verbose:
        _mute_libraries()
    watcher = make_progress(sys.stderr, quiet=quiet, bar=progress)
    _warn_of_small_sides(config.detector, watcher)
    with published(config, watcher.notice) as stops:
        run = Run(config, [Ndjson(data, config.timings), watcher] if stdout else [watcher])
        stop_on_signals(run, quiet)
        stops(run.stop)
        for _ in run:
            pass
        with suppress(OSError, SystemExit):  # a reader of stderr that has gone changes nothing of what was done
            _tell(run.summary, config, quiet=quiet, table=not (quiet or summary_json))
        if summary_json:
            line = json.dumps(run.summary.to_dict()).encode() + b"\n"
            write(sys.stderr.buffer if stdout else data, line, "stderr" if stdout else "stdout")
        report_at_end(config, run.summary, report, quiet=quiet, bar=progress)
    try:
        sys.stderr.flush()
    except OSError:
        sys.stderr = None  # or Python would try again at its end, and make that the exit code
    raise typer.Exit(run.summary.exit_code)


def list_images(config: RunConfig, quiet: bool) -> None:
    """Prints the path of every image that would be read; the separator follows --null.

    Raises:
        NoImagesError: If there is none.
        ReaderLeftError: If nobody reads them any more.
        OutputError: If they cannot be written.
    """
    from yolocli.results import ImageFailure
    from yolocli.sources.discover import Discovery, identify
    from yolocli.sources.names import Names
    from yolocli.sources.shard import ShardFilter

    def say(text: str) -> None:
        if not quiet:
            tell(text)

    end = b"\0" if config.source.null else b"\n"
    count = 0
    found = Discovery(config.source, skip=config.place, notice=say)
    names = Names(_roots_of(config))  # which tell the shard that an image is in
    names.start(found.bases(names))
    shard = ShardFilter(config.source.shard)
    for item in identify(found, names, shard.takes):
        count += 1
        if isinstance(item, ImageFailure):
            say(f"cannot be read: {item.path}: {item.message}")
        else:
            write(sys.stdout.buffer, os.fsencode(item.source) + end)
    if not count + shard.others:
        raise NoImagesError(found.why_none())
    say(f"{count:,} images")


def _roots_of(config: RunConfig) -> Sequence[Root]:
    """Returns what the names of images depend on in an output folder that is to be gone on with."""
    from yolocli.output.folder import OutputFolder
    from yolocli.output.projection import roots_of
    from yolocli.output.run_file import has_run

    if config.output is None or config.overwrite or not has_run(config.output):
        return ()
    return roots_of(OutputFolder(config.output)) or ()


def _warn_of_small_sides(config: DetectorConfig, observer: Observer) -> None:
    """Says what becomes of a side below the stride, the least that a network can take."""
    if config.imgsz is not None and min(config.imgsz) < USUAL_STRIDE:
        observer.notice(
            f"--imgsz {min(config.imgsz)}: sides are rounded up to a multiple of the model's stride, mostly "
            f"{USUAL_STRIDE}; few models find anything at such a size"
        )


def _tell(summary: RunSummary, config: RunConfig, *, quiet: bool, table: bool) -> None:
    """Tells people of the end of a run: all of it, or, if quiet, of failures alone; and how to go on."""
    from yolocli.output.formats.failures import FAILURES

    if table:
        from rich.console import Console

        from yolocli.cli.tables import print_summary

        print_summary(summary, config.place, Console(stderr=True))
    failures = summary.failures + summary.skipped_failures
    if quiet and failures:
        total = summary.images + summary.failures + summary.skipped
        where = f"see {config.place}/{FAILURES}" if config.output is not None else "their records say why"
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


def _limit_decoders(max_pixels: int) -> None:
    """Gives OpenCV the limit, too, for the files whose header cannot be read before; it looks when it is loaded."""
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(max_pixels))


def _mute_libraries() -> None:
    """Leaves stderr to people: what libraries print about each damaged image, from C, on stdout too, is dropped.

    In this process and in its children; `failures.jsonl` says it better. A crash still tells where it was.
    """
    import logging
    import warnings

    warnings.simplefilter("ignore")
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    mute_libraries()
