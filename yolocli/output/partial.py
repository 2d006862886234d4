"""Files being written: they lie in a sub-folder of their own, until a rename publishes them whole."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from yolocli.output.anchors import Anchors, Place
from yolocli.output.ownership import in_use, is_output_folder
from yolocli.output.sink import File

PARTIAL = ".partial"
"""Sub-folder for files being written; on the same file system, so that a rename publishes them."""
PARTIAL_FILE = "yolocli-"
"""What the names in it begin with; others are somebody else's, or of an earlier version."""
PARTIAL_EARLIER = re.compile(r"file|[0-9a-f]{32}")
NO_LINK, BINARY = getattr(os, "O_NOFOLLOW", 0), getattr(os, "O_BINARY", 0)


class Partial:
    """The sub-folder for files being written, of an output folder."""

    def __init__(self, root: Path, folders: Anchors) -> None:
        self._root = root
        self._folders = folders

    def make(self) -> None:
        """Makes it, and clears what a killed run left half-written.

        Raises:
            OSError: If it cannot be made or written.
        """
        root = self._folders.at("")
        found = root.status(PARTIAL)
        if found is not None and stat.S_ISLNK(found.st_mode):
            os.unlink(root.at(PARTIAL), dir_fd=root.fd)
        self.clear()
        self._folders.at(PARTIAL)

    def clear(self) -> None:
        """Removes it, if nobody put other files there.

        Raises:
            OSError: If it cannot be looked at or written.
        """
        with suppress(FileNotFoundError):
            partial = self._folders.at(PARTIAL, make=False)
            names = os.listdir(self._root / PARTIAL)
            earlier = PARTIAL_EARLIER.fullmatch if names and is_output_folder(self._root) else lambda name: None
            for name in (name for name in names if name.startswith(PARTIAL_FILE) or earlier(name)):
                with suppress(FileNotFoundError):
                    os.unlink(partial.at(name), dir_fd=partial.fd)
            self._folders.remove_empty((PARTIAL,))

    def write(self, data: bytes, place: Place, name: str, modified_ns: int | None = None) -> None:
        """Writes a file: one open, one write, one rename, as this is done for every image.

        Args:
            data: Its content.
            place: The folder that it goes to.
            name: Its name there.
            modified_ns: When it was changed last, in nanoseconds; None for now.

        Raises:
            OSError: If it cannot be written.
        """
        partial = self._folders.at(PARTIAL)
        file = _open_new(partial, PARTIAL_FILE, 0o644)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(file, rest) :]
        finally:
            os.close(file)
        if modified_ns is not None:
            os.utime(partial.at(PARTIAL_FILE), ns=(modified_ns, modified_ns), dir_fd=partial.fd)
        _publish(partial, PARTIAL_FILE, place, name)

    def link(self, target: str, place: Place, name: str) -> None:
        """Makes a link; see `write`.

        Raises:
            OSError: If it cannot be made.
        """
        partial = self._folders.at(PARTIAL)
        try:
            os.symlink(target, partial.at(PARTIAL_FILE), dir_fd=partial.fd)
        except FileExistsError:
            os.unlink(partial.at(PARTIAL_FILE), dir_fd=partial.fd)
            os.symlink(target, partial.at(PARTIAL_FILE), dir_fd=partial.fd)
        _publish(partial, PARTIAL_FILE, place, name)

    def spool(self) -> IO[bytes]:
        """Opens a file that has no name, and is gone when it is closed.

        Raises:
            OSError: If it cannot be made.
        """
        self._folders.at(PARTIAL)
        return tempfile.TemporaryFile(dir=self._root / PARTIAL, prefix=PARTIAL_FILE)

    @contextmanager
    def open(self, path: Path, find: Callable[[Path], tuple[Place, str]]) -> Iterator[IO[bytes]]:
        """Opens a file that appears, whole, when the block ends well.

        Args:
            path: What tells it from others that are being written.
            find: See `build`.

        Raises:
            OSError: If it cannot be written.
        """
        with self._unfinished(path, find) as (_, file), open(file, "wb") as stream:
            yield stream

    @contextmanager
    def build(self, file: File, find: Callable[[Path], tuple[Place, str]]) -> Iterator[Path]:
        """Gives the path of an empty file that appears, as it is then, when the block ends well.

        Args:
            file: Which one.
            find: Returns where it goes, when the block has ended.

        Raises:
            OSError: If it cannot be written, or a program has open what it would take the place of.
        """

        def free(path: Path) -> tuple[Place, str]:
            place, name = find(path)
            if reason := in_use(place, file):
                raise OSError(reason)
            return place, name

        with self._unfinished(Path(file.name), free) as (unfinished, opened):
            os.close(opened)
            yield self._root / PARTIAL / unfinished

    @contextmanager
    def _unfinished(self, path: Path, find: Callable[[Path], tuple[Place, str]]) -> Iterator[tuple[str, int]]:
        """Gives the name of the file, and the file, which the block closes; see `open`."""
        unfinished = PARTIAL_FILE + hashlib.blake2b(os.fsencode(path), digest_size=16).hexdigest()
        partial = self._folders.at(PARTIAL)
        try:
            yield unfinished, _open_new(partial, unfinished, 0o666)
            _publish(self._folders.at(PARTIAL), unfinished, *find(path))
        except OSError:
            with suppress(OSError):
                partial = self._folders.at(PARTIAL)
                os.unlink(partial.at(unfinished), dir_fd=partial.fd)
            raise


def _open_new(place: Place, name: str, mode: int) -> int:
    """Opens a file that is not there yet."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINK | BINARY
    try:
        return os.open(place.at(name), flags, mode, dir_fd=place.fd)
    except FileExistsError:  # what a write that failed has left, or somebody has put in the way
        os.unlink(place.at(name), dir_fd=place.fd)
        return os.open(place.at(name), flags, mode, dir_fd=place.fd)


def _publish(partial: Place, unfinished: str, place: Place, name: str) -> None:
    os.replace(partial.at(unfinished), place.at(name), src_dir_fd=partial.fd, dst_dir_fd=place.fd)
