"""`yolocli report`: the page of a run, from its journal; `detect --report` makes it at the end of a run."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

from yolocli.cli import options
from yolocli.cli.terminal import mute_libraries, tell, tell_traceback
from yolocli.config import DEFAULT_SAMPLE, RunConfig
from yolocli.errors import YolocliError
from yolocli.summary import RunSummary


def report(
    folder: options.RunFolder,
    sample: options.Sample = str(DEFAULT_SAMPLE),
    seed: options.Seed = 0,
    no_progress: options.NoProgress = False,
) -> None:
    """Make a page of a run, with figures and pictures, that opens from disk."""
    from yolocli.cli.signals import end_on_signals
    from yolocli.output.at_hand import to_change
    from yolocli.output.formats.page import PAGE
    from yolocli.stores import is_url

    end_on_signals()
    mute_libraries()
    with to_change(folder, tell) as root:
        shown = f"{folder.rstrip('/')}/{PAGE.name}" if is_url(folder) else ""
        _make(root, sample, seed, bar=not no_progress, shown=shown)  # type: ignore[arg-type]  # by its parser


def check_report(output: Path) -> None:
    """Makes sure, before a run, that its page will replace nothing of somebody else's.

    Raises:
        UsageError: If it would.
    """
    from yolocli.output.formats.page import DATA, PAGE, PICTURES
    from yolocli.output.ownership import refuse_foreign

    refuse_foreign(output, [PAGE], [DATA, PICTURES])


def report_at_end(config: RunConfig, summary: RunSummary, asked: bool, *, quiet: bool, bar: bool) -> None:
    """Makes the page of a run that has ended, if it was asked for, or one is there that would fall behind.

    Whatever goes wrong is said, and no more: the results are written.

    Args:
        config: Of the run.
        summary: Of the run.
        asked: The page was asked for.
        quiet: Say nothing but what went wrong.
        bar: Show progress.
    """
    from yolocli.cli.signals import CODES, end_on_signals
    from yolocli.output.anchors import Place
    from yolocli.output.formats.page import PAGE
    from yolocli.output.ownership import is_own_file

    changed = summary.images + summary.failures + summary.pruned > 0
    if config.output is None or summary.exit_code in CODES.values():
        return
    there = is_own_file(Place(None, str(config.output)), PAGE.name, PAGE)
    if asked or (changed and there):
        end_on_signals()
        with suppress(OSError):  # of stderr, that nobody reads any more
            try:
                from yolocli.report import asked_before

                shown = f"{config.store}/{PAGE.name}" if config.store else ""
                _make(config.output, *asked_before(config.output), quiet=quiet, bar=bar and not quiet, shown=shown)
            except Exception as error:
                if config.detector.verbose:
                    tell_traceback()
                what = str(error) if isinstance(error, YolocliError) else f"{type(error).__name__}: {error}"
                tell(f"no report: {what} (the results are written; `yolocli report {config.output}` tries again)")


def _make(
    folder: Path,
    sample: int | None = DEFAULT_SAMPLE,
    seed: int = 0,
    *,
    quiet: bool = False,
    bar: bool,
    shown: str = "",
) -> None:
    from tqdm import tqdm

    from yolocli.report import make_report

    def say(text: str) -> None:
        if not quiet:
            tell(text)

    with tqdm(unit="img", dynamic_ncols=True, leave=False, disable=not (bar and sys.stderr.isatty())) as meter:

        def progress(done: int, total: int) -> None:
            meter.total = total
            meter.update(done - meter.n)

        page = make_report(folder, sample, seed, say, progress)
    say(f"Report: {shown or page}")
