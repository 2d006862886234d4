"""The command line: options to a RunConfig, errors to exit codes. No logic."""

from __future__ import annotations

import enum
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, NoReturn, Optional

import typer

from yolocli import __version__
from yolocli.config import (
    DEFAULT_FORMATS,
    DEFAULT_MAX_PIXELS,
    DEFAULT_MODEL,
    DEFAULT_OUTPUT,
    DetectorConfig,
    Limits,
    Mode,
    Precision,
    RunConfig,
    RuntimeName,
    SourceConfig,
)
from yolocli.errors import ExitCode, UsageError, YolocliError
from yolocli.options import parse_classes, parse_devices, parse_duration, parse_failures, parse_imgsz

app = typer.Typer(
    name="yolocli",
    help="Batch object detection on Ultralytics YOLO.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class MadePrecision(str, enum.Enum):
    """What `optimize` makes: commands that people have written down name it."""

    int8 = "int8"


INPUT, MODEL, RUN, LIMITS, OUTPUT, PEOPLE = "Inputs", "Model", "How to run", "Limits", "Results", "For people"


def main() -> None:
    """Runs the command line; a failure of the run is one line on stderr and an exit code."""
    verbose = "--verbose" in sys.argv or "-v" in sys.argv or bool(os.environ.get("YOLOCLI_VERBOSE"))
    try:
        app()
    except YolocliError as error:
        if verbose:
            traceback.print_exc()
        _die(str(error), error.exit_code)
    except KeyboardInterrupt:
        _die("interrupted", ExitCode.INTERRUPTED)
    except Exception as error:
        if verbose:
            traceback.print_exc()
        _die(
            f"a defect, please report it: {type(error).__name__}: {error} (--verbose shows where)", ExitCode.RUN_FAILED
        )


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    if version:
        print(__version__)
        raise typer.Exit


@app.command(context_settings={"auto_envvar_prefix": "YOLOCLI"})
def detect(
    inputs: Annotated[
        Optional[list[str]],
        typer.Argument(help="Files, folders and glob patterns, mixed.", show_default=False, metavar="INPUTS..."),
    ] = None,
    recursive: Annotated[
        bool, typer.Option("--recursive/--no-recursive", help="Walk into sub-folders.", rich_help_panel=INPUT)
    ] = True,
    include: Annotated[
        Optional[list[str]],
        typer.Option(help="Take only files that match this glob; repeatable.", rich_help_panel=INPUT),
    ] = None,
    exclude: Annotated[
        Optional[list[str]],
        typer.Option(help="Leave out files and folders that match this glob; repeatable.", rich_help_panel=INPUT),
    ] = None,
    hidden: Annotated[
        bool, typer.Option("--hidden", help="Look at names that begin with a dot.", rich_help_panel=INPUT)
    ] = False,
    follow_symlinks: Annotated[
        bool, typer.Option("--follow-symlinks", help="Walk into folders behind links.", rich_help_panel=INPUT)
    ] = False,
    files_from: Annotated[
        Optional[str],
        typer.Option(help="Read further inputs from a file, one a line; - is stdin.", rich_help_panel=INPUT),
    ] = None,
    null: Annotated[
        bool, typer.Option("--null", "-0", help="The list is separated by NUL bytes.", rich_help_panel=INPUT)
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the images that would be read, and stop.", rich_help_panel=INPUT)
    ] = False,
    model: Annotated[
        str,
        typer.Option("--model", "-m", help="Weights, an export, an official name, or builtin.", rich_help_panel=MODEL),
    ] = DEFAULT_MODEL,
    imgsz: Annotated[
        Optional[str],
        typer.Option(help="Side, or HxW, to letterbox to; default: the model's own.", rich_help_panel=MODEL),
    ] = None,
    conf: Annotated[float, typer.Option(help="Least confidence of a box, 0 to 1.", rich_help_panel=MODEL)] = 0.25,
    iou: Annotated[
        float, typer.Option(help="Overlap above which NMS drops the lesser box, 0 to 1.", rich_help_panel=MODEL)
    ] = 0.7,
    max_det: Annotated[int, typer.Option(help="Boxes kept of an image.", rich_help_panel=MODEL)] = 300,
    classes: Annotated[
        Optional[list[str]],
        typer.Option(help="Names or ids of classes to keep, comma-separated or repeated.", rich_help_panel=MODEL),
    ] = None,
    trust_weights: Annotated[
        bool,
        typer.Option("--trust-weights", help="Load a checkpoint that may run code of its own.", rich_help_panel=MODEL),
    ] = False,
    runtime: Annotated[
        RuntimeName,
        typer.Option(help="What runs the network; auto takes the fastest there is.", rich_help_panel=RUN),
    ] = RuntimeName.auto,
    precision: Annotated[
        Optional[Precision],
        typer.Option(help="What it computes in; default: the model's own, fp32 for weights.", rich_help_panel=RUN),
    ] = None,
    mode: Annotated[
        Mode,
        typer.Option(
            help="Who owns the model: each thread, all threads with a lock, each process.", rich_help_panel=RUN
        ),
    ] = Mode.thread,
    workers: Annotated[int, typer.Option("--workers", "-j", help="Workers; 0 chooses.", rich_help_panel=RUN)] = 0,
    threads_per_worker: Annotated[
        int, typer.Option(help="CPU threads of each model; 0 shares out the cores.", rich_help_panel=RUN)
    ] = 0,
    batch: Annotated[
        int, typer.Option(help="Images that go through the network together; 0 chooses.", rich_help_panel=RUN)
    ] = 0,
    device: Annotated[
        Optional[str],
        typer.Option(help="cpu, mps, cuda:0, or a list to deal workers over: cuda:0,1.", rich_help_panel=RUN),
    ] = None,
    max_pixels: Annotated[
        int, typer.Option(help="Larger images are failures, found by their header.", rich_help_panel=RUN)
    ] = DEFAULT_MAX_PIXELS,
    timeout: Annotated[
        Optional[str],
        typer.Option(help="Time an image may take, such as 30s; process mode only.", rich_help_panel=LIMITS),
    ] = None,
    max_failures: Annotated[
        Optional[str],
        typer.Option(
            help="Stop after more failures than this: a number, or a share such as 5%.", rich_help_panel=LIMITS
        ),
    ] = None,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop at the first failure.", rich_help_panel=LIMITS)
    ] = False,
    max_runtime: Annotated[
        Optional[str],
        typer.Option(help="Stop after this time, such as 8h; the same command goes on.", rich_help_panel=LIMITS),
    ] = None,
    fail_incomplete: Annotated[
        bool,
        typer.Option("--fail-incomplete", help="Exit with 1, not 0, after --max-runtime.", rich_help_panel=LIMITS),
    ] = False,
    output: Annotated[
        Optional[Path],
        typer.Option(
            "--output",
            "-o",
            help=f"Folder for results. [default: {DEFAULT_OUTPUT}; none with --stdout]",
            show_default=False,
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    formats: Annotated[
        Optional[list[str]],
        typer.Option(
            "--format",
            envvar="YOLOCLI_FORMAT",
            help=f"json, csv, csv-per-image; repeatable. [default: {', '.join(DEFAULT_FORMATS)}]",
            show_default=False,
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    stdout: Annotated[
        bool, typer.Option("--stdout", help="A JSON line per image on stdout, at once.", rich_help_panel=OUTPUT)
    ] = False,
    ordered: Annotated[
        bool, typer.Option("--ordered", help="Give results in input order.", rich_help_panel=OUTPUT)
    ] = False,
    timings: Annotated[
        bool, typer.Option("--timings", help="Put the ms of each stage into the records.", rich_help_panel=OUTPUT)
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start anew in a folder with results.", rich_help_panel=OUTPUT)
    ] = False,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune", help="Drop records of images that are gone from the folders walked.", rich_help_panel=OUTPUT
        ),
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed/--no-retry-failed", help="Try failures again.", rich_help_panel=OUTPUT)
    ] = True,
    summary_json: Annotated[
        bool,
        typer.Option(
            "--summary-json", help="Print the summary as JSON (stderr with --stdout).", rich_help_panel=PEOPLE
        ),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Nothing on stderr but errors.", rich_help_panel=PEOPLE)
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Library messages, and tracebacks.", rich_help_panel=PEOPLE)
    ] = False,
    no_progress: Annotated[
        bool, typer.Option("--no-progress", help="No bar, no progress lines.", rich_help_panel=PEOPLE)
    ] = False,
) -> None:
    """Find objects in images: a record per image, whatever happens."""
    if quiet and verbose:
        raise UsageError("--quiet and --verbose exclude each other")
    failures, share = parse_failures("0" if fail_fast else max_failures)
    config = RunConfig(
        source=SourceConfig(
            inputs=tuple(inputs or ()),
            files_from=files_from,
            null=null,
            recursive=recursive,
            include=tuple(include or ()),
            exclude=tuple(exclude or ()),
            hidden=hidden,
            follow_symlinks=follow_symlinks,
        ),
        detector=DetectorConfig(
            model=model,
            runtime=runtime,
            precision=precision,
            threads=threads_per_worker,
            imgsz=parse_imgsz(imgsz),
            confidence=conf,
            iou=iou,
            max_detections=max_det,
            classes=parse_classes(tuple(classes or ())),
            trust_weights=trust_weights,
            max_pixels=max_pixels,
            verbose=verbose,
        ),
        mode=mode,
        workers=workers,
        devices=parse_devices(device),
        batch=batch,
        output=output or (None if stdout else DEFAULT_OUTPUT),
        formats=tuple(formats or DEFAULT_FORMATS),
        ordered=ordered,
        timings=timings,
        retry_failed=retry_failed,
        overwrite=overwrite,
        prune=prune,
        limits=Limits(
            max_failures=failures,
            max_failure_share=share,
            max_runtime=parse_duration(max_runtime, "--max-runtime"),
            timeout=parse_duration(timeout, "--timeout"),
            fail_incomplete=fail_incomplete,
        ),
    )
    from yolocli import commands

    try:
        if dry_run:
            commands.dry_run(config, quiet)
            return
        code = commands.run_detect(
            config, stdout=stdout, quiet=quiet, progress=not no_progress, summary_json=summary_json
        )
    except commands.ReaderLeftError:
        _leave_quietly()
    raise typer.Exit(code)


@app.command(context_settings={"auto_envvar_prefix": "YOLOCLI_EXPORT"})
def export(
    folder: Annotated[Path, typer.Argument(help="The output folder of a run.", show_default=False)],
    formats: Annotated[
        Optional[list[str]],
        typer.Option("--format", help="json, csv, csv-per-image; repeatable.", show_default=False),
    ] = None,
    conf: Annotated[
        Optional[float], typer.Option(help="Keep boxes from this confidence on, 0 to 1.", show_default=False)
    ] = None,
    classes: Annotated[
        Optional[list[str]],
        typer.Option(help="Keep these classes, names or ids, comma-separated.", show_default=False),
    ] = None,
    output: Annotated[
        Optional[Path],
        typer.Option("--output", "-o", help="A new folder, needed by --conf and --classes.", show_default=False),
    ] = None,
    timings: Annotated[
        bool, typer.Option("--timings", help="With the ms of each stage, if the run kept them.")
    ] = False,
) -> None:
    """Make the results of a run again, in another format, or for a stricter threshold, without the network."""
    from yolocli import commands
    from yolocli.projection import Choice

    choice = Choice(conf, parse_classes(tuple(classes or ())))
    commands.export(folder, tuple(formats or DEFAULT_FORMATS), timings, choice, output)


@app.command(context_settings={"auto_envvar_prefix": "YOLOCLI_BENCH"})
def bench(
    folder: Annotated[str, typer.Argument(help="Pictures like those you will run on.", show_default=False)],
    models: Annotated[
        Optional[list[str]],
        typer.Option(
            "--model",
            "-m",
            envvar="YOLOCLI_MODEL",
            help="As for detect; repeatable, all are compared with the first.",
            show_default=DEFAULT_MODEL,
        ),
    ] = None,
    modes: Annotated[Optional[list[Mode]], typer.Option("--mode", help="Repeatable.", show_default="all")] = None,
    runtimes: Annotated[
        Optional[list[RuntimeName]],
        typer.Option("--runtime", help="Repeatable.", show_default="all that are installed"),
    ] = None,
    workers: Annotated[
        Optional[list[int]], typer.Option("--workers", "-j", help="Repeatable; 0 chooses.", show_default="0")
    ] = None,
    batches: Annotated[
        Optional[list[int]], typer.Option("--batch", help="Repeatable; 0 chooses.", show_default="0")
    ] = None,
    precisions: Annotated[
        Optional[list[Precision]],
        typer.Option("--precision", help="Repeatable.", show_default="that of the model and runtime"),
    ] = None,
    images: Annotated[int, typer.Option(help="Pictures of each run.", min=2)] = 60,
    repeats: Annotated[int, typer.Option(help="Rounds.", min=1)] = 3,
    baseline: Annotated[
        bool, typer.Option("--baseline/--no-baseline", help="Run plain `yolo predict` beside it.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Measure which mode, runtime, workers, batch and precision suit this machine and these pictures."""
    from yolocli import commands

    code = commands.run_bench(
        folder,
        models or [DEFAULT_MODEL],
        modes=[mode.value for mode in modes or Mode],
        runtimes=[runtime.value for runtime in runtimes or ()],
        workers=workers or [0],
        batches=batches or [0],
        precisions=[precision.value for precision in precisions or ()],
        images=images,
        repeats=repeats,
        baseline=baseline,
        as_json=as_json,
    )
    raise typer.Exit(code)


@app.command(context_settings={"auto_envvar_prefix": "YOLOCLI_OPTIMIZE"})
def optimize(
    model: Annotated[str, typer.Argument(help="Weights, an export folder, or an official name.", show_default=False)],
    calibrate: Annotated[str, typer.Option(help="Folder of pictures like those it will run on.", show_default=False)],
    precision: Annotated[MadePrecision, typer.Option(help="Of the new model.")] = MadePrecision.int8,
    output: Annotated[
        Optional[Path],
        typer.Option("--output", "-o", help="Folder; by default MODEL_int8_openvino_model.", show_default=False),
    ] = None,
    conf: Annotated[
        float, typer.Option(help="Confidence you will detect with, 0 to 1: what fp32 finds at it is compared.")
    ] = DetectorConfig().confidence,
    max_loss: Annotated[
        float, typer.Option(help="Share of those boxes that may be lost, 0 to 1: not found even 0.1 below --conf.")
    ] = 0.02,
    force: Annotated[bool, typer.Option("--force", help="Write it whatever it loses, and over an older one.")] = False,
    trust_weights: Annotated[
        bool, typer.Option("--trust-weights", help="Load a checkpoint that may run code of its own.")
    ] = False,
) -> None:
    """Make a faster model for your own pictures, and see what it costs."""
    from yolocli import commands
    from yolocli.optimize import OptimizeConfig

    commands.run_optimize(OptimizeConfig(model, calibrate, output, conf, max_loss, force, trust_weights))


def _die(message: str, code: ExitCode) -> NoReturn:
    print(f"yolocli: {message}", file=sys.stderr)
    sys.exit(code)


def _leave_quietly() -> NoReturn:
    """Ends after the reader of stdout has gone, without Python's own complaint when it flushes."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(ExitCode.OK)
