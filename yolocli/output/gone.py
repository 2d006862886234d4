"""Whether what a journal is about is still there."""

from __future__ import annotations

import os
from collections.abc import Iterator

from yolocli.sources.names import LONGEST


def upwards(path: str) -> Iterator[str]:
    """Yields the folders that hold a path, the nearest first."""
    path = path[: LONGEST + 1]
    while (parent := os.path.dirname(path)) != path:
        yield parent
        path = parent


def is_gone(source: str) -> bool:
    """Tells whether a file is not there any more, and not merely out of reach; nor that a link leads to it now."""
    try:
        os.lstat(source)
        return os.path.realpath(os.path.dirname(source)) != os.path.dirname(source)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False


def can_be_listed(folder: str) -> bool:
    """Tells whether a folder is one that can be walked into."""
    try:
        with os.scandir(folder):
            return True
    except OSError:
        return False
