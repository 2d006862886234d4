"""The command line: options to a RunConfig, errors to exit codes. No logic."""

from __future__ import annotations

import enum
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from typer.core import TyperCommand

from yolocli import __version__
from yolocli.cli.parsing import listed, parse_duration, parse_failures, parse_imgsz, split_commas
from yolocli.cli.terminal import ReaderLeftError, flush_stdout, tell, tell_traceback
from yolocli.config import (
    AUTO,
    DEFAULT_FORMATS,
    DEFAULT_MAX_PIXELS,
    DEFAULT_MODE,
    DEFAULT_MODEL,
    DEFAULT_OUTPUT,
    DetectorConfig,
    Limits,
    Precision,
    RunConfig,
    SourceConfig,
    check_name,
    parse_devices,
    parse_precision,
)
from yolocli.errors import ExitCode, UsageError, YolocliError
from yolocli.executors import EXECUTORS
from yolocli.runtimes import RUNTIMES
from yolocli.sources.base import IMAGE_SUFFIXES

app = typer.Typer(
    name="yolocli",
    help="Batch object detection on Ultralytics YOLO.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # boxes take twice the lines, and rich takes a third of the time
    context_settings={"help_option_names": ["-h", "--help"]},
)


class MadePrecision(str, enum.Enum):
    """What `optimize` makes: commands that people have written down name it."""

    int8 = "int8"


INPUT, MODEL, RUN, LIMITS, OUTPUT, PEOPLE = "Inputs", "Model", "How to run", "Limits", "Results", "For people"
SUFFIXES = " ".join(sorted(suffix.lstrip(".") for suffix in IMAGE_SUFFIXES))
VARIABLES = (
    "Each option can be set by a variable, too: --max-det by YOLOCLI_MAX_DET. One that can be repeated is "
    "comma-separated there."
)

_WrongUsage: type[Exception] = typer.BadParameter.__bases__[0]
"""UsageError of click, or of the copy of click in newer versions of typer."""


class Command(TyperCommand):
    """A command whose help is in groups, and names no variable, as one sentence says how all are named."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes the options under the headings of their groups, in the order in which they are declared."""
        groups: dict[str, list[tuple[str, str]]] = {}
        param: Any
        for param in self.get_params(ctx):
            if param.param_type_name == "argument":
                groups.setdefault("Arguments", []).append((param.metavar or param.name.upper(), param.help or ""))
                continue
            param.show_envvar = False
            record = param.get_help_record(ctx)
            if record is not None:
                text = record[1].replace("[default: (", "[default: ").replace(")]", "]")  # of a default put in words
                groups.setdefault(getattr(param, "rich_help_panel", None) or "Options", []).append((record[0], text))
        groups.setdefault("Options", groups.pop("Options", []))  # what is in no group comes last
        for heading, records in groups.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def _option(group: str, text: str, *names: str, **settings: Any) -> Any:
    """Declares an option; `settings` are those of `typer.Option`."""
    return typer.Option(*names, help=text, rich_help_panel=group, **settings)


def _one_of(metavar: str, names: list[str]) -> dict[str, Any]:
    """Returns the settings of an option that takes one of some names; it is read by `check_name`."""
    return {"metavar": metavar, "autocompletion": lambda: names}


def main() -> None:
    """Runs the command line; a failure of the run is one line on stderr and an exit code."""
    verbose = "--verbose" in sys.argv or "-v" in sys.argv or bool(os.environ.get("YOLOCLI_VERBOSE"))
    try:
        code = app(standalone_mode=False, prog_name="yolocli")
        flush_stdout()
    except ReaderLeftError:
        code = ExitCode.OK
    except _WrongUsage as error:
        code = _failed(_usage(error), ExitCode.USAGE)
    except YolocliError as error:
        code = _failed(str(error), error.exit_code, verbose)
    except (KeyboardInterrupt, typer.Abort):
        code = _failed("interrupted", ExitCode.INTERRUPTED)
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        code = _failed(f"{where}{error.strerror or error} (--verbose shows where)", ExitCode.RUN_FAILED, verbose)
    except Exception as error:
        text = f"a defect, please report it: {type(error).__name__}: {error} (--verbose shows where)"
        code = _failed(text, ExitCode.RUN_FAILED, verbose)
    sys.exit(code or ExitCode.OK)


@app.callback(invoke_without_command=True)
def _root(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    if version:
        print(__version__)
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help(), err=True)
        raise typer.Exit(ExitCode.USAGE)


@app.command(cls=Command, epilog=VARIABLES, context_settings={"auto_envvar_prefix": "YOLOCLI"})
def detect(
    inputs: Annotated[
        Optional[list[str]],
        typer.Argument(
            help=f"Files, folders and glob patterns, mixed. Of a folder, files with these suffixes are taken, "
            f"in upper case, too: {SUFFIXES}.",
            show_default=False,
            metavar="INPUTS",
        ),
    ] = None,
    recursive: Annotated[bool, _option(INPUT, "Walk into sub-folders.", "--recursive/--no-recursive")] = True,
    include: Annotated[
        Optional[list[str]],
        _option(
            INPUT,
            "Take only files that match this glob; repeatable.",
            metavar="GLOB",
            show_default="all images",
            allow_from_autoenv=False,
        ),
    ] = None,
    exclude: Annotated[
        Optional[list[str]],
        _option(
            INPUT,
            "Leave out files and folders that match this glob; repeatable.",
            metavar="GLOB",
            show_default="none",
            allow_from_autoenv=False,
        ),
    ] = None,
    hidden: Annotated[bool, _option(INPUT, "Look at names that begin with a dot.", "--hidden")] = False,
    follow_symlinks: Annotated[bool, _option(INPUT, "Walk into folders behind links.", "--follow-symlinks")] = False,
    files_from: Annotated[
        Optional[str],
        _option(INPUT, "Read further inputs from a file, one a line; - is stdin.", metavar="FILE", show_default="none"),
    ] = None,
    null: Annotated[bool, _option(INPUT, "The list is separated by NUL bytes.", "--null", "-0")] = False,
    dry_run: Annotated[bool, _option(INPUT, "Print the images that would be read, and stop.", "--dry-run")] = False,
    model: Annotated[
        str,
        _option(
            MODEL,
            "Weights (.pt), an export, an official name, or builtin, which finds codes only.",
            "--model",
            "-m",
            metavar="MODEL",
        ),
    ] = DEFAULT_MODEL,
    imgsz: Annotated[
        Optional[str],
        _option(MODEL, "Side, or HxW, in pixels to letterbox to.", metavar="SIDE|HxW", show_default="the model's own"),
    ] = None,
    conf: Annotated[float, _option(MODEL, "Least confidence of a box, 0 to 1.", metavar="SHARE")] = 0.25,
    iou: Annotated[
        float, _option(MODEL, "Overlap above which NMS drops the lesser box, 0 to 1.", metavar="SHARE")
    ] = 0.7,
    max_det: Annotated[int, _option(MODEL, "Boxes kept of an image.", metavar="N")] = 300,
    classes: Annotated[
        Optional[list[str]],
        _option(
            MODEL,
            "Names or ids of classes to keep, comma-separated or repeated.",
            metavar="CLASS,...",
            show_default="all",
            allow_from_autoenv=False,
        ),
    ] = None,
    trust_weights: Annotated[
        bool, _option(MODEL, "Load a checkpoint that may run code of its own.", "--trust-weights")
    ] = False,
    runtime: Annotated[
        str, _option(RUN, "auto (the fastest there is), torch or openvino.", **_one_of("RUNTIME", [AUTO, *RUNTIMES]))
    ] = AUTO,
    precision: Annotated[
        Optional[str],
        _option(
            RUN,
            "fp32, bf16, fp16 or int8.",
            show_default="the model's own, fp32 for weights",
            **_one_of("PRECISION", [entry.value for entry in Precision]),
        ),
    ] = None,
    mode: Annotated[
        str,
        _option(
            RUN,
            "Who owns the model: thread (each), locked (all share one) or process (each).",
            **_one_of("MODE", list(EXECUTORS)),
        ),
    ] = DEFAULT_MODE,
    workers: Annotated[int, _option(RUN, "Workers; 0 chooses.", "--workers", "-j", metavar="N")] = 0,
    threads_per_worker: Annotated[
        int, _option(RUN, "CPU threads of each model; 0 shares out the cores.", metavar="N")
    ] = 0,
    batch: Annotated[int, _option(RUN, "Images that go through the network together; 0 chooses.", metavar="N")] = 0,
    device: Annotated[
        Optional[str],
        _option(
            RUN,
            "cpu, mps, cuda:0, or a list to deal workers over: cuda:0,1.",
            metavar="DEVICE",
            show_default="auto",
        ),
    ] = None,
    max_pixels: Annotated[
        int, _option(LIMITS, "Larger images are failures, found by their header.", metavar="N")
    ] = DEFAULT_MAX_PIXELS,
    timeout: Annotated[
        Optional[str],
        _option(
            LIMITS,
            "Time an image may take, such as 30s; process mode only.",
            metavar="TIME",
            show_default="none",
        ),
    ] = None,
    max_failures: Annotated[
        Optional[str],
        _option(
            LIMITS,
            "Stop after more failures than this: a number, or a share such as 5%.",
            metavar="N|N%",
            show_default="none",
        ),
    ] = None,
    fail_fast: Annotated[bool, _option(LIMITS, "Stop at the first failure.", "--fail-fast")] = False,
    max_runtime: Annotated[
        Optional[str],
        _option(
            LIMITS,
            "Stop after this time, such as 8h; the same command goes on.",
            metavar="TIME",
            show_default="none",
        ),
    ] = None,
    fail_incomplete: Annotated[
        bool, _option(LIMITS, "Exit with 1, not 0, after --max-runtime.", "--fail-incomplete")
    ] = False,
    output: Annotated[
        Optional[Path],
        _option(
            OUTPUT,
            "Folder for results.",
            "--output",
            "-o",
            metavar="FOLDER",
            show_default=f"{DEFAULT_OUTPUT}; none with --stdout",
        ),
    ] = None,
    formats: Annotated[
        Optional[list[str]],
        _option(
            OUTPUT,
            "json, csv, csv-per-image; comma-separated or repeated.",
            "--format",
            metavar="FORMAT,...",
            show_default=",".join(DEFAULT_FORMATS),
            allow_from_autoenv=False,
        ),
    ] = None,
    stdout: Annotated[bool, _option(OUTPUT, "A JSON line per image on stdout, at once.", "--stdout")] = False,
    ordered: Annotated[bool, _option(OUTPUT, "Give results in input order.", "--ordered")] = False,
    timings: Annotated[bool, _option(OUTPUT, "Put the ms of each stage into the records.", "--timings")] = False,
    overwrite: Annotated[bool, _option(OUTPUT, "Start anew in a folder with results.", "--overwrite")] = False,
    prune: Annotated[
        bool, _option(OUTPUT, "Drop records of images that are gone from the folders walked.", "--prune")
    ] = False,
    retry_failed: Annotated[
        bool, _option(OUTPUT, "Try failures of an earlier run again.", "--retry-failed/--no-retry-failed")
    ] = True,
    summary_json: Annotated[
        bool, _option(PEOPLE, "Print the summary as JSON (stderr with --stdout).", "--summary-json")
    ] = False,
    quiet: Annotated[
        bool, _option(PEOPLE, "Nothing on stderr but errors, and one line if images failed.", "--quiet", "-q")
    ] = False,
    verbose: Annotated[bool, _option(PEOPLE, "Library messages, and tracebacks.", "--verbose", "-v")] = False,
    no_progress: Annotated[bool, _option(PEOPLE, "No bar, no progress lines.", "--no-progress")] = False,
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
            include=tuple(include or listed("YOLOCLI_INCLUDE")),
            exclude=tuple(exclude or listed("YOLOCLI_EXCLUDE")),
            hidden=hidden,
            follow_symlinks=follow_symlinks,
        ),
        detector=DetectorConfig(
            model=model,
            runtime=check_name("--runtime", runtime, [AUTO, *RUNTIMES]),
            precision=None if precision is None else parse_precision(precision, "--precision"),
            threads=threads_per_worker,
            imgsz=parse_imgsz(imgsz),
            confidence=conf,
            iou=iou,
            max_detections=max_det,
            classes=split_commas(classes) if classes else listed("YOLOCLI_CLASSES") or None,
            trust_weights=trust_weights,
            max_pixels=max_pixels,
            verbose=verbose,
        ),
        mode=check_name("--mode", mode, list(EXECUTORS)),
        workers=workers,
        devices=parse_devices(device),
        batch=batch,
        output=output or (None if stdout else DEFAULT_OUTPUT),
        formats=split_commas(formats or ()) or listed("YOLOCLI_FORMAT") or DEFAULT_FORMATS,
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
    from yolocli.cli import commands

    if dry_run:
        commands.dry_run(config, quiet)
    else:
        raise typer.Exit(
            commands.run_detect(config, stdout=stdout, quiet=quiet, progress=not no_progress, summary_json=summary_json)
        )


@app.command(cls=Command, context_settings={"auto_envvar_prefix": "YOLOCLI_EXPORT"})
def export(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The output folder of a run.", show_default=False)],
    formats: Annotated[
        Optional[list[str]],
        typer.Option(
            "--format",
            metavar="FORMAT,...",
            help="json, csv, csv-per-image; comma-separated or repeated.",
            show_default=",".join(DEFAULT_FORMATS),
        ),
    ] = None,
    conf: Annotated[
        Optional[float],
        typer.Option(metavar="SHARE", help="Keep boxes from this confidence on, 0 to 1.", show_default="the run's"),
    ] = None,
    classes: Annotated[
        Optional[list[str]],
        typer.Option(
            metavar="CLASS,...", help="Names or ids of classes to keep, comma-separated.", show_default="the run's"
        ),
    ] = None,
    output: Annotated[
        Optional[Path],
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="A new folder, needed by --conf and --classes.",
            show_default="FOLDER itself",
        ),
    ] = None,
    timings: Annotated[
        bool, typer.Option("--timings", help="With the ms of each stage, if the run kept them.")
    ] = False,
) -> None:
    """Write results again, in other formats or stricter."""
    from yolocli.cli import commands
    from yolocli.output.projection import Choice

    choice = Choice(conf, split_commas(classes) if classes else None)
    commands.export(folder, split_commas(formats or ()) or DEFAULT_FORMATS, timings, choice, output)


@app.command(cls=Command, context_settings={"auto_envvar_prefix": "YOLOCLI_BENCH"})
def bench(
    folder: Annotated[
        str, typer.Argument(metavar="FOLDER", help="Pictures like those you will run on.", show_default=False)
    ],
    models: Annotated[
        Optional[list[str]],
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL",
            help="As for detect; repeatable, all are compared with the first.",
            show_default=DEFAULT_MODEL,
        ),
    ] = None,
    modes: Annotated[
        Optional[list[str]],
        typer.Option("--mode", metavar="MODE", help="thread, locked or process; repeatable.", show_default="all"),
    ] = None,
    runtimes: Annotated[
        Optional[list[str]],
        typer.Option(
            "--runtime", metavar="RUNTIME", help="torch or openvino; repeatable.", show_default="all installed"
        ),
    ] = None,
    workers: Annotated[
        Optional[list[int]],
        typer.Option("--workers", "-j", metavar="N", help="Repeatable; 0 chooses.", show_default="0"),
    ] = None,
    batches: Annotated[
        Optional[list[int]], typer.Option("--batch", metavar="N", help="Repeatable; 0 chooses.", show_default="0")
    ] = None,
    precisions: Annotated[
        Optional[list[Precision]],
        typer.Option(
            "--precision",
            metavar="PRECISION",
            help="fp32, bf16, fp16 or int8; repeatable.",
            show_default="the model's own",
        ),
    ] = None,
    images: Annotated[int, typer.Option(metavar="N", help="Pictures of each run.", min=2)] = 60,
    repeats: Annotated[int, typer.Option(metavar="N", help="Rounds.", min=1)] = 3,
    baseline: Annotated[
        bool, typer.Option("--baseline/--no-baseline", help="Run plain `yolo predict` beside it.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Measure which mode suits this machine and your images."""
    from yolocli.cli import commands

    code = commands.run_bench(
        folder,
        models or [os.environ.get("YOLOCLI_MODEL") or DEFAULT_MODEL],
        modes=[check_name("--mode", mode, list(EXECUTORS)) for mode in modes or EXECUTORS],
        runtimes=[check_name("--runtime", runtime, [AUTO, *RUNTIMES]) for runtime in runtimes or ()],
        workers=workers or [0],
        batches=batches or [0],
        precisions=[precision.value for precision in precisions or ()],
        images=images,
        repeats=repeats,
        baseline=baseline,
        as_json=as_json,
    )
    raise typer.Exit(code)


@app.command(cls=Command, context_settings={"auto_envvar_prefix": "YOLOCLI_OPTIMIZE"})
def optimize(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Weights, an export folder, or an official name.", show_default=False)
    ],
    calibrate: Annotated[
        str, typer.Option(metavar="FOLDER", help="Pictures like those it will run on.", show_default=False)
    ],
    precision: Annotated[
        MadePrecision, typer.Option(metavar="PRECISION", help="Of the new model.")
    ] = MadePrecision.int8,
    output: Annotated[
        Optional[Path],
        typer.Option(
            "--output", "-o", metavar="FOLDER", help="Folder; by default MODEL_int8_openvino_model.", show_default=False
        ),
    ] = None,
    conf: Annotated[
        float,
        typer.Option(
            metavar="SHARE", help="Confidence you will detect with, 0 to 1: what fp32 finds at it is compared."
        ),
    ] = DetectorConfig().confidence,
    max_loss: Annotated[
        float,
        typer.Option(
            metavar="SHARE", help="Share of those boxes that may be lost, 0 to 1: not found even 0.1 below --conf."
        ),
    ] = 0.02,
    force: Annotated[bool, typer.Option("--force", help="Write it whatever it loses, and over an older one.")] = False,
    trust_weights: Annotated[
        bool, typer.Option("--trust-weights", help="Load a checkpoint that may run code of its own.")
    ] = False,
) -> None:
    """Make a faster model, and see what it costs."""
    from yolocli.cli import commands
    from yolocli.measure.optimize import OptimizeConfig

    commands.run_optimize(OptimizeConfig(model, calibrate, output, conf, max_loss, force, trust_weights))


def _usage(error: Any) -> str:
    """Returns what click found wrong, in one line."""
    command = error.ctx.command_path if error.ctx else app.info.name
    return f"{' '.join(error.format_message().split()).rstrip('.')}; see {command} --help"


def _failed(message: str, code: ExitCode, verbose: bool = False) -> ExitCode:
    if verbose:
        tell_traceback()
    tell(f"yolocli: {message}")
    with suppress(ReaderLeftError, YolocliError):
        flush_stdout()
    return code
