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
