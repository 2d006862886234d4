"""`yolocli draw`: pictures of what a run found, from its journal and the images."""

from __future__ import annotations

import sys

import typer

from yolocli.cli import options
from yolocli.cli.terminal import mute_libraries, tell
from yolocli.config import DEFAULTS
from yolocli.errors import ExitCode, UsageError


def draw(
    folder: options.RunFolder,
    save_crops: options.SaveCrops = DEFAULTS.save_crops,
    confidence: options.Conf = None,
    classes: options.Classes = None,
    output: options.NewFolder = None,
    quiet: options.Quiet = False,
    no_progress: options.NoProgress = False,
) -> None:
    """Draw what a run found into its images, as --save-images does while it runs."""
    from yolocli.cli.progress import make_progress
    from yolocli.executors.pictures import Pictures
    from yolocli.machine.memory import keep_freed_memory
    from yolocli.output.at_hand import to_change
    from yolocli.output.draw import draw as draw_all
    from yolocli.output.extract import Choice, extract
    from yolocli.output.formats.pictures import DRAWN_FILES
    from yolocli.results import DRAW, ImageFailure, Outcome

    choice = Choice(confidence, tuple(classes) if classes else None)
    if output is None and choice != Choice():
        raise UsageError("--conf and --classes leave boxes out: name a new folder for the others with --output")
    keep_freed_memory()
    mute_libraries()
    watcher = make_progress(sys.stderr, quiet=quiet, bar=not no_progress)
    drawn = failed_before = 0

    def told(outcome: Outcome) -> None:
        nonlocal drawn, failed_before
        if isinstance(outcome, ImageFailure) and outcome.stage != DRAW:
            failed_before += 1
            watcher.skipped(failed_before)
        else:
            drawn += not isinstance(outcome, ImageFailure)
            watcher.outcome(outcome)

    with to_change(output or folder, watcher.notice) as made:
        if output is not None:
            extract(folder, made, (), choice, notice=watcher.notice)
        watcher.started()
        try:
            missing = draw_all(
                made,
                Pictures(images=True, crops=save_crops),
                told,
                lambda images: watcher.total(images, True),
                watcher.notice,
            )
        finally:
            watcher.finished()
    if not quiet:
        without = f", {missing:,} could not be drawn" if missing else ""
        tell(f"{(output or folder).rstrip('/')}/{DRAWN_FILES.folder}: {drawn:,} images drawn{without}")
    if missing:
        raise typer.Exit(ExitCode.SOME_FAILED)
