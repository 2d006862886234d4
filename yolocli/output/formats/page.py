"""The files of the page that shows a run, so that they are known for yolocli's own; see `yolocli.report`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from yolocli.images.thumbnail import START
from yolocli.output.folder import OutputFolder
from yolocli.output.formats.base import Format
from yolocli.output.sink import File, ImageFiles

HEAD = "<!doctype html>\n<!-- yolocli report -->"
CALL = "yolocliReport."
PAGE = File("report.html", start=HEAD.encode())
PARTS = "report"
DATA = ImageFiles(PARTS, ".js", CALL.encode())
PICTURES = ImageFiles(PARTS, ".jpg", START)
FORMAT = Format(files=(PAGE,))
"""For the lists of what is yolocli's."""


def clear_parts(folder: OutputFolder, keep: str | None = None) -> None:
    """Removes what pages show beside themselves.

    Args:
        folder: No other run may be using it.
        keep: The sub-folder that a page needs.

    Raises:
        OutputError: If something cannot be removed.
    """
    for path in _below(folder.root / PARTS):
        for files in (DATA, PICTURES):
            if path.endswith(files.suffix) and path.split("/")[0] != keep:
                folder.remove_images((files,), path.removesuffix(files.suffix))


def _below(top: Path) -> Iterator[str]:
    if top.is_symlink():
        return
    for path, _, names in os.walk(top, topdown=False):
        for name in names:
            yield os.path.relpath(os.path.join(path, name), top).replace(os.sep, "/")
