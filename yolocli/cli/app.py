"""The command line: its commands, and errors to exit codes. No logic."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Annotated, Any

import typer

from yolocli import __version__
from yolocli.cli.bench import bench
from yolocli.cli.convert import convert
from yolocli.cli.declare import VARIABLES, Command
from yolocli.cli.detect import detect
from yolocli.cli.draw import draw
from yolocli.cli.export import export
from yolocli.cli.failures import failures
from yolocli.cli.merge import merge
from yolocli.cli.optimize import optimize
from yolocli.cli.report import report
from yolocli.cli.terminal import ReaderLeftError, flush_stdout, tell, tell_traceback
from yolocli.errors import ExitCode, YolocliError

app = typer.Typer(
    name="yolocli",
    help="Batch object detection on Ultralytics YOLO.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # boxes take twice the lines, and rich takes a third of the time
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(cls=Command, epilog=VARIABLES)(detect)
app.command(cls=Command)(export)
app.command(cls=Command)(merge)
app.command(cls=Command)(report)
app.command(cls=Command)(failures)
app.command(cls=Command)(draw)
app.command(cls=Command)(bench)
app.command(cls=Command)(optimize)
app.command(cls=Command)(convert)

_WrongUsage: type[Exception] = typer.BadParameter.__bases__[0]
"""UsageError of click, or of the copy of click in newer versions of typer."""


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
