"""The marker file of an output folder, by which later runs know what in it is no input."""

from __future__ import annotations

import os
from pathlib import Path

from yolocli.errors import UsageError
from yolocli.output.anchors import Anchors
from yolocli.output.disk import sync_names, sync_stream
from yolocli.output.ownership import MARKER_FILE, is_foreign, refusal
from yolocli.output.partial import Partial
from yolocli.sources.made import KNOWN_BY, MARKER, made_in, marker


class Marker:
    """See `yolocli.sources.made`."""

    def __init__(self, root: Path, folders: Anchors, partial: Partial) -> None:
        self._root = root
        self._folders = folders
        self._partial = partial
        self._made: frozenset[str] | None = None

    def name(self, *made: str) -> None:
        """Sees to it that the file is there and names sub-folders; a power cut then takes neither away.

        Args:
            made: The sub-folders, before anything is written to them.

        Raises:
            OSError: If it cannot be written.
            UsageError: If a file that is not yolocli's stands there.
        """
        if self._made is not None and self._made.issuperset(made):
            return
        names = [name for name in KNOWN_BY if os.path.lexists(self._root / name)]
        before = made_in(self._root, names)
        self._made = before.union(made)
        if self._made == before and MARKER in names:
            return
        if is_foreign(self._folders.at(""), MARKER, MARKER_FILE):
            raise UsageError(refusal(self._root, [MARKER]))
        with self._partial.open(Path(MARKER), lambda path: (self._folders.at(""), path.name)) as stream:
            stream.write(marker(self._made))
            sync_stream(stream)
        sync_names(self._root)
