"""The pictures of a benchmark, gathered in a folder of its own."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from yolocli.config import SourceConfig
from yolocli.errors import NoImagesError
from yolocli.results import ImageFailure
from yolocli.sources.discover import discover

NAMES_SHOWN = 3

Say: TypeAlias = Callable[[str], None]


def gather(folder: str, target: Path, count: int, say: Say = lambda text: None) -> dict[str, str]:
    """Puts pictures into a new folder: links to those of the user, or copies.

    Args:
        folder: Where the pictures are.
        target: The folder to make.
        count: Pictures to put there at most.
        say: Told what is left out.

    Returns:
        For each file in `target` its path in `folder`.

    Raises:
        NoImagesError: If there is none.
    """
    target.mkdir()
    names: dict[str, str] = {}
    for item in discover(SourceConfig((folder,)), notice=say):
        if len(names) == count:
            break
        if isinstance(item, ImageFailure):
            say(left_out([f"{item.path} ({item.message})"]))
            continue
        name = f"{len(names):05d}{Path(item.source).suffix.lower()}"
        try:
            _link(item.source, target / name)
        except OSError as error:
            say(left_out([f"{item.path} ({error.strerror or error})"]))
        else:
            names[name] = item.path
    if not names:
        raise NoImagesError(f"{folder}: no image found")
    return names


def repeat(folder: Path, count: int) -> dict[str, str]:
    """Links the files of a folder again and again, until there are so many.

    Returns:
        For each new name the file it is the same as.
    """
    there = sorted(os.listdir(folder))
    again = zip(range(len(there), count), itertools.cycle(there), strict=False)
    copies = {f"again-{number:05d}{Path(name).suffix}": name for number, name in again}
    for copy, name in copies.items():
        _link(str(folder / name), folder / copy)
    return copies


def _link(source: str, name: Path) -> None:
    try:
        os.link(os.path.realpath(source), name)  # the file itself: a relative link leads nowhere from here
    except OSError:  # another file system, or somebody else's file
        shutil.copyfile(source, name)


def left_out(names: Sequence[str]) -> str:
    """Returns what to say of pictures that cannot be read."""
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return f"left out, as it cannot be read: {', '.join(names[:NAMES_SHOWN])}{more}"
