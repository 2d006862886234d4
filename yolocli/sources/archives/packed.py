"""Tar archives that are compressed as a whole, and so can only be read from their beginning.

Each is decompressed once, by the process that lists it, into a file of the cache that workers read by offset. It has
holes where no image is, so it takes the room of the images alone. It is removed when the process ends, and before that
when room gets short: whoever still needs it decompresses again.
"""

from __future__ import annotations

import atexit
import gzip
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from yolocli.errors import ImageError, UsageError, install_hint
from yolocli.machine.cache import cache_folder
from yolocli.sources.archives.base import File, damaged, ends_within, stamp_of
from yolocli.sources.archives.tar import Tar

PIECE = 2**20
KEPT_FREE = 2**30
"""Bytes of the disk that are left to others."""
CHECKED_EVERY = 2**26
"""Bytes that are written between two looks at the room that is left."""
ENDINGS = ".tar", ".lock"

_made: dict[tuple[str, str], Unpacked] = {}
_making = threading.Lock()


def open_gz(path: str) -> Tar:
    """Opens an archive that gzip compressed; see `open_tar`."""
    return _open(path, lambda file: gzip.GzipFile(fileobj=file))


def open_bz2(path: str) -> Tar:
    """Opens an archive that bzip2 compressed; see `open_tar`."""
    import bz2

    return _open(path, bz2.BZ2File)


def open_zst(path: str) -> Tar:
    """Opens an archive that zstd compressed; see `open_tar`.

    Raises:
        UsageError: If the library for it is not installed.
    """
    try:
        import zstandard
    except ImportError:
        hint = install_hint("zstd")
        raise UsageError(f"{path}: zstandard, which reads archives of zstd, is not installed; {hint}") from None
    return _open(path, lambda file: zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True))


def _open(path: str, decompress: Callable[[Any], Any]) -> Tar:
    key = path, stamp_of(path)
    with _making:
        if key not in _made:
            if not _made:
                _sweep()
                atexit.register(_remove_all)
            _made[key] = Unpacked(path, decompress)
        unpacked = _made[key]
    return Tar(path, unpacked, unpacked.name)


class Unpacked:
    """What comes out of a compressed file, as it is asked for from its beginning to its end; see `Bytes`.

    Attributes:
        name: The file that it is kept in.
    """

    def __init__(self, path: str, decompress: Callable[[Any], Any]) -> None:
        """Begins to decompress.

        Raises:
            OSError: If it cannot be opened, or there is no room for what comes out.
            ImageError: If it is no file.
        """
        File(path)  # which says so if it is none
        self._packed = open(path, "rb")
        self._stream = decompress(self._packed)
        self._lock = threading.RLock()
        self._done = 0
        self._error: ImageError | None = None
        self._unchecked = CHECKED_EVERY
        number, self.name = tempfile.mkstemp(ENDINGS[0], "", _folder())
        self._owned = FileLock(self.name + ENDINGS[1], thread_local=False)
        self._owned.acquire()
        os.close(number)
        self._kept = File(self.name)
        self._out = open(self.name, "r+b", buffering=0)

    def at(self, offset: int, size: int) -> bytes:
        """See `Bytes.at`.

        Raises:
            ImageError: If there is none of it, as what is before it is damaged.
        """
        there = min(size, self._reach(offset, size) - offset)
        if there <= 0 and self._error is not None:
            raise self._error
        return self._kept.at(offset, max(0, there))

    def keep(self, offset: int, size: int) -> None:
        """See `Bytes.keep`."""
        if self._reach(offset, size) < offset + size:
            raise self._error or ends_within()

    def finish(self) -> None:
        """See `Bytes.finish`: a checksum stands at the end."""
        with self._lock:
            while piece := self._next(PIECE):
                self._done += len(piece)
        if self._error is not None:
            raise self._error

    def _reach(self, offset: int, size: int) -> int:
        """Decompresses up to the end of a piece, and keeps the piece; returns how far it came."""
        with self._lock:
            while self._done < offset and (piece := self._next(offset - self._done)):
                self._done += len(piece)
            while offset <= self._done < offset + size and (piece := self._next(offset + size - self._done)):
                try:
                    self._write(piece)
                except ImageError as error:
                    self._error = error
                    break
                self._done += len(piece)
            return self._done

    def remove(self) -> None:
        """Frees the room that it takes."""
        with suppress(OSError):
            self._out.close()
            self._stream.close()
        self._packed.close()
        with suppress(OSError):
            os.unlink(self.name)
        self._owned.release()
        with suppress(OSError):
            os.unlink(self._owned.lock_file)

    def _next(self, most: int) -> bytes:
        """Returns what comes next, nothing at the end and from where it is damaged."""
        if self._error is not None:
            return b""
        try:
            piece: bytes = self._stream.read1(min(most, PIECE))  # `read` loses what it had before an error
        except Exception as error:  # each library has its own
            self._error = damaged(f"it cannot be decompressed from byte {self._done:,} on: {error}")
            return b""
        return piece

    def _write(self, piece: bytes) -> None:
        self._unchecked += len(piece)
        if self._unchecked >= CHECKED_EVERY:
            self._unchecked = 0
            _make_room(self)
        try:
            self._out.seek(self._done)
            left = memoryview(piece)
            while left:
                left = left[self._out.write(left) :]
        except (OSError, ValueError) as error:  # closed, as the room was needed
            raise _no_room(self.name) from error


def _folder() -> Path:
    return cache_folder("unpacked")


def _make_room(wanted: Unpacked) -> None:
    """Removes what was unpacked first, until there is room.

    Raises:
        ImageError: If there is none.
    """
    while shutil.disk_usage(os.path.dirname(wanted.name)).free < KEPT_FREE:
        oldest = next((key for key, other in list(_made.items()) if other is not wanted), None)
        if oldest is None:
            raise _no_room(wanted.name)
        _made.pop(oldest).remove()


def _no_room(name: str) -> ImageError:
    return ImageError(
        "NoRoom",
        f"no room to decompress it in {os.path.dirname(name)}; give a folder on another disk with "
        "YOLOCLI_CACHE_DIR, or unpack it",
    )


def _sweep() -> None:
    """Removes what processes left behind that were killed."""
    for lock in _folder().glob(f"*{ENDINGS[0]}{ENDINGS[1]}"):
        try:
            with FileLock(lock, timeout=0):
                os.unlink(str(lock).removesuffix(ENDINGS[1]))
        except (Timeout, OSError):
            continue
        with suppress(OSError):
            os.unlink(lock)


def _remove_all() -> None:
    while _made:
        _made.popitem()[1].remove()
