"""An output folder that is made of others: whole, or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from yolocli.errors import UsageError
from yolocli.output.folder import OutputFolder
from yolocli.output.ownership import LOCK
from yolocli.output.partial import PARTIAL
from yolocli.sources.outputs import MARKER


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
            with suppress(OSError):  # what went wrong first is what is to be said
                _empty(made.root)
            raise


def _empty(root: Path) -> None:
    """Removes all that lies in a folder that was empty before, links themselves and not what they lead to."""
    for entry in list(os.scandir(root)):
        if entry.is_dir(follow_symlinks=False) and entry.name != PARTIAL:
            shutil.rmtree(entry.path, ignore_errors=True)
        elif entry.name not in {LOCK, PARTIAL}:
            os.unlink(entry.path)
