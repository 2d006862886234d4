"""The marker file of an output folder, by which later runs know what in it is no input."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from yolocli.errors import UsageError
from yolocli.output.anchors import Anchors
from yolocli.output.disk import sync_names, sync_stream
from yolocli.output.ownership import MARKER_FILE, below, is_foreign, refusal
from yolocli.output.partial import Partial
from yolocli.sources.outputs import KNOWN_BY, MARKER, made_in, marker
from yolocli.sources.suffixes import is_image


class Marker:
    """See `yolocli.sources.outputs`."""

    def __init__(self, root: Path, folders: Anchors, partial: Partial) -> None:
        self._root = root
        self._folders = folders
        self._partial = partial
        self._asked: frozenset[str] | None = None

    def name(self, *made: str) -> None:
        """Sees to it that the file is there and names sub-folders; a power cut then takes neither away.

        One that holds pictures of somebody else is not named: they are input.

        Args:
            made: The sub-folders, before anything is written to them.

        Raises:
            OSError: If it cannot be written.
            UsageError: If a file that is not yolocli's stands there.
        """
        if self._asked is not None and self._asked.issuperset(made):
            return
        names = [name for name in KNOWN_BY if os.path.lexists(self._root / name)]
        before = made_in(self._root, names)
        self._asked = before.union(self._asked or (), made)
        named = before.union(name for name in made if name not in before and not self._holds_pictures(name))
        if named == before and MARKER in names:
            return
        self._write(named)

    def forget_gone(self) -> None:
        """Names sub-folders no more that are gone: what somebody puts there is input; see `name`."""
        self._asked = None
        before = made_in(self._root, [MARKER])
        left = {name for name in before if os.path.lexists(self._root / name)}
        if left != before:
            self._write(left)

    def _holds_pictures(self, name: str) -> bool:
        """Tells whether there are pictures in a sub-folder, which are somebody else's before a run has named it."""
        return any(map(is_image, below(self._root, name)))

    def _write(self, made: Iterable[str]) -> None:
        if is_foreign(self._folders.at(""), MARKER, MARKER_FILE):
            raise UsageError(refusal(self._root, [MARKER]))
        with self._partial.open(Path(MARKER), lambda path: (self._folders.at(""), path.name)) as stream:
            stream.write(marker(made))
            sync_stream(stream)
        sync_names(self._root)
