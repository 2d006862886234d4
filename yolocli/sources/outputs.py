"""What runs have made is no input: a marker file in every output folder names the sub-folders that are theirs."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable

from yolocli.machine.bounded import read_bounded

MARKER = ".yolocli-output"
TITLE = b"An output folder of yolocli. It made these sub-folders, which are not searched for images:\n"
RUN_FILES = frozenset(("run.json", "results.jsonl"))
MADE_BY_EARLIER = frozenset(("maps",))
"""The sub-folder of images in folders that versions before the marker wrote; they are known by the two files."""
KNOWN_BY = RUN_FILES | {MARKER}
_LARGEST = 1 << 16


def marker(made: Iterable[str]) -> bytes:
    """Returns the content of a marker file.

    Args:
        made: Names of sub-folders.
    """
    return TITLE + b"".join(os.fsencode(name) + b"\n" for name in sorted(made))


def named_in(marker: bytes) -> frozenset[str]:
    """Returns the sub-folders that a marker file names; none, if it is no such file."""
    return frozenset(map(os.fsdecode, marker.split(b"\n")[1:-1])) if marker.startswith(TITLE) else frozenset()


def made_in(folder: str | os.PathLike[str], names: Collection[str]) -> frozenset[str]:
    """Returns the sub-folders of a folder that are no input, as runs made them.

    Args:
        folder: Any folder.
        names: What lies in it; of all others than `KNOWN_BY` need not be told.
    """
    if MARKER in names:
        try:
            content = read_bounded(os.path.join(folder, MARKER), _LARGEST)
        except (OSError, ValueError):
            content = b""
        if content.startswith(TITLE):
            return named_in(content)
    return MADE_BY_EARLIER if RUN_FILES.issubset(names) else frozenset()
