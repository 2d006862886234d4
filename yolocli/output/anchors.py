"""Sub-folders held open, so that a link that somebody puts in the place of one takes no file elsewhere."""

from __future__ import annotations

import os
import stat
import time
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

_CALLS = {os.open, os.mkdir, os.rename, os.stat, os.unlink, os.symlink, os.readlink, os.utime}
HOLDS_FOLDERS = os.supports_dir_fd >= _CALLS and hasattr(os, "O_NOFOLLOW")
"""Whether the system has openat(2) and its kin; elsewhere folders go by their path, and are looked at before use."""
MOST_OPEN = 32
TRUSTED_SECONDS = 0.5
"""An open folder is still written to when it has been moved away; after so long it is looked for in its place."""


@dataclass(frozen=True, slots=True)
class Place:
    """A folder, as the `dir_fd` and the beginning of a path that functions of `os` take.

    Attributes:
        fd: The open folder; None where the system works by paths alone.
        path: Of the folder; empty with an `fd`.
    """

    fd: int | None
    path: str

    def at(self, name: str) -> str:
        """Returns the path of a file in it, relative to `fd`."""
        return os.path.join(self.path, name)

    def status(self, name: str) -> os.stat_result | None:
        """Returns what lies there, a link not followed; None if nothing does."""
        try:
            return os.stat(self.at(name), dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def start(self, name: str, count: int) -> bytes:
        """Returns the first bytes of a regular file.

        Raises:
            OSError: If there is none, or it cannot be read.
        """
        file = self._open(name)
        try:
            return os.read(file, count)
        finally:
            os.close(file)

    def end(self, name: str, count: int) -> bytes:
        """Returns the last bytes of a regular file; see `start`."""
        file = self._open(name)
        try:
            os.lseek(file, max(os.fstat(file).st_size - count, 0), os.SEEK_SET)
            return os.read(file, count)
        finally:
            os.close(file)

    def _open(self, name: str) -> int:
        flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        return os.open(self.at(name), flags, dir_fd=self.fd)


@dataclass(slots=True)
class _Open:
    place: Place
    until: float


class Anchors:
    """The sub-folders of a root folder, and the root itself, under the name ''.

    Names are '/'-separated. The root may lie behind a link, and no folder below it.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self._root = os.fspath(root)
        self._open: OrderedDict[str, _Open] = OrderedDict()  # the one used last is the last
        weakref.finalize(self, _close_all, self._open)  # where nobody has closed them
        self._known: dict[str, tuple[int, int]] = {}
        self._made: set[str] = set()

    def at(self, name: str, make: bool = True) -> Place:
        """Returns a folder.

        Args:
            name: Of the folder.
            make: Make it, and those that hold it, if it is not there.

        Raises:
            OSError: If it leads out of the root, is not what it was when it was used before, or cannot be made.
        """
        held = self._open.get(name)
        if held is not None and time.monotonic() < held.until:
            self._open.move_to_end(name)
            return held.place
        place = self._look_up(name, make)
        self._forget(name)
        self._open[name] = _Open(place, time.monotonic() + TRUSTED_SECONDS)
        while len(self._open) > MOST_OPEN:
            self._forget(next(iter(self._open)))
        return place

    def is_new(self, name: str) -> bool:
        """Tells whether a folder was made here, so that nobody else's files can lie in it."""
        return name in self._made

    def check(self) -> None:
        """Makes sure that every folder used is still in its place.

        Raises:
            OSError: If one is not.
        """
        self.close()
        for name in self._known:
            self.at(name, make=False)

    def remove_empty(self, parts: Sequence[str]) -> None:
        """Removes a folder and those that hold it, up to the first that holds more.

        Args:
            parts: Of its name.
        """
        with suppress(OSError):
            for depth in range(len(parts), 0, -1):
                outer = self.at("/".join(parts[: depth - 1]), make=False)
                os.rmdir(outer.at(parts[depth - 1]), dir_fd=outer.fd)
                self.forget()

    def forget(self) -> None:
        """Takes folders as they are from now on, after some were removed."""
        self.close()
        self._known.clear()
        self._made.clear()

    def close(self) -> None:
        """Closes all folders; they are opened again when they are used."""
        _close_all(self._open)

    def _look_up(self, name: str, make: bool) -> Place:
        place = self._open_folder(None, self._root)
        self._recognise("", place)
        parts = name.split("/") if name else []
        for depth, part in enumerate(parts, 1):
            sub = "/".join(parts[:depth])
            outer = place
            try:
                if make and outer.status(part) is None:
                    if sub in self._known:
                        raise OSError(f"{sub} was moved away by another program during the run")
                    with suppress(FileExistsError):  # somebody was faster
                        os.mkdir(outer.at(part), dir_fd=outer.fd)
                        self._made.add(sub)
                found = outer.status(part)
                if found is not None and stat.S_ISLNK(found.st_mode):
                    real = os.path.realpath(os.path.join(self._root, sub))
                    raise OSError(f"it leads out of the output folder, by the link {sub}, to {real}")
                place = self._open_folder(outer, part)
            finally:
                if outer.fd is not None:
                    os.close(outer.fd)
            self._recognise(sub, place)
        return place

    def _open_folder(self, outer: Place | None, name: str) -> Place:
        path = outer.at(name) if outer is not None else name
        if not HOLDS_FOLDERS:
            os.stat(path)  # it is there
            if outer is not None and os.path.dirname(os.path.realpath(path)) != os.path.realpath(outer.path):
                raise OSError(f"it leads out of the output folder, to {os.path.realpath(path)}")
            return Place(None, path)
        flags = os.O_DIRECTORY | getattr(os, "O_PATH", os.O_RDONLY)
        if outer is None:
            return Place(os.open(path, flags), "")
        return Place(os.open(path, flags | os.O_NOFOLLOW, dir_fd=outer.fd), "")

    def _recognise(self, name: str, place: Place) -> None:
        """Remembers a folder, or sees whether it is the one that it was."""
        found = os.stat(place.path) if place.fd is None else os.fstat(place.fd)
        identity = (found.st_dev, found.st_ino)
        if self._known.setdefault(name, identity) != identity:
            if place.fd is not None:
                os.close(place.fd)
            raise OSError(f"{name or 'the folder'} was replaced by another program during the run")

    def _forget(self, name: str) -> None:
        held = self._open.pop(name, None)
        if held is not None and held.place.fd is not None:
            os.close(held.place.fd)


def _close_all(folders: OrderedDict[str, _Open]) -> None:
    while folders:
        _, held = folders.popitem()
        if held.place.fd is not None:
            os.close(held.place.fd)
