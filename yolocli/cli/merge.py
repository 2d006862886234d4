"""`yolocli merge`: the output folders of shards, or of several machines, as one."""

from __future__ import annotations

from yolocli.cli import options
from yolocli.cli.terminal import tell
from yolocli.config import DEFAULTS


def merge(
    folders: options.RunFolders,
    output: options.MergedFolder,
    formats: options.MergedFormats = None,
    timings: options.KeptTimings = DEFAULTS.timings,
) -> None:
    """Join the output folders of shards, or of several machines, to one."""
    from yolocli.output.at_hand import to_change
    from yolocli.output.merge import merge as join

    with to_change(output, tell) as made:
        totals = join(folders, made, formats or None, timings, tell)
    tell(
        f"{output}: {totals.images + totals.failures:,} images of {len(folders):,} folders, {totals.failures:,} failed"
    )
