"""An output folder that is made of others: whole, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from yolocli.errors import UsageError
from yolocli.output.folder import OutputFolder
from yolocli.output.ownership import LOCK
from yolocli.output.partial import PARTIAL
from yolocli.sources.made import MARKER


def refuse_used(target: Path) -> None:
    """Makes sure that a folder can be a new one.

    Raises:
        UsageError: If something lies in it.
    """
    if target.exists() and any(entry.name not in {LOCK, MARKER} for entry in target.iterdir()):
        raise UsageError(f"--output {target}: is not empty; name a new folder")


@contextmanager
def new_folder(target: Path) -> Iterator[OutputFolder]:
    """Makes a folder this process's own in the block, and empties it if that fails: half would be in the way.

    Args:
        target: See `refuse_used`.

    Raises:
        UsageError: If another run has it.
        OutputError: If it cannot be written.
    """
    made = OutputFolder(target)
    with made.held():
        try:
            yield made
        except BaseException:
            made.remove(*(entry.name for entry in made.root.iterdir() if entry.name not in {LOCK, PARTIAL}))
            raise
