"""Files of trees on disk: each put in place whole, and replaced or removed only if it is known by its mark."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from yolocli.errors import UsageError
from yolocli.output.anchors import Anchors, Place
from yolocli.output.disk import writing
from yolocli.output.ownership import below, mark_found, refusal
from yolocli.output.partial import Partial
from yolocli.output.sink import Link
from yolocli.sources.outputs import MARKER, made_in
from yolocli.sources.paths import slashes
from yolocli.sources.suffixes import is_image


class TreeDisk:
    """See `TreePlace`."""

    def __init__(
        self, root: Path, folders: Anchors, partial: Partial, place: Callable[[Path, bool], tuple[Place, str]]
    ) -> None:
        self._root = root
        self._folders = folders
        self._partial = partial
        self._place = place

    def put(self, name: str, content: bytes | Link, over: str = "", modified_ns: int | None = None) -> None:
        """See `TreePlace.put`."""
        if self.mark(name) not in {"", over}:
            raise UsageError(refusal(self._root, [name]))
        with writing(self._root / name):
            where = self._place(Path(name), True)
            if isinstance(content, Link):
                self._partial.link(content.target, *where)
            else:
                self._partial.write(content, *where, modified_ns)

    def mark(self, name: str) -> str:
        """See `TreePlace.mark`."""
        with suppress(OSError, ValueError):  # no such folder, or no such name can be; else it is said when it is put
            return mark_found(*self._place(Path(name), False))
        return ""

    def is_at(self, name: str, source: str) -> bool:
        """See `TreePlace.is_at`."""
        path = self._root / name
        with suppress(OSError, ValueError):
            itself = os.path.join(os.path.realpath(path.parent), path.name) == source
            return itself or (os.path.samefile(path, source) and not path.is_symlink())
        return False

    def place_in(self, folder: str, source: str) -> str:
        """See `TreePlace.place_in`."""
        above = os.path.join(os.path.realpath(self._root / folder), "")
        return slashes(source[len(above) :]) if source.startswith(above) else ""

    def strange_pictures(self, folder: str) -> Iterator[str]:
        """See `TreePlace.strange_pictures`."""
        if folder not in made_in(self._root, [MARKER]):
            yield from (name.replace(os.sep, "/") for name in below(self._root, folder) if is_image(name))

    def take_away(self, name: str, mark: str) -> None:
        """See `TreePlace.take_away`."""
        if mark and self.mark(name) == mark:
            with writing(self._root / name):
                place, last = self._place(Path(name), False)
                os.unlink(place.at(last), dir_fd=place.fd)
                self._folders.remove_empty(name.split("/")[:-1])
