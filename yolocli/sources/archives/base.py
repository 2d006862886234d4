"""What an archive is: members in an order of its own, each of which can be read by its position."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import threading
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from yolocli.errors import ImageError
from yolocli.results import file_version

LONGEST = 2**15
"""Characters of a member's name that are kept, from its end; more than any system has in a path."""
FEW = 4096
"""Numbers that are no trouble in a set."""
_ODD = re.compile(r"[\0\\]|(^|/)(\.{0,2}(/|$)|[A-Za-z]:)")
_DRIVE = re.compile(r"^[A-Za-z]:")


@dataclass(frozen=True, slots=True)
class Entry:
    """A member, as the archive tells of it.

    Attributes:
        name: As it is written there, whatever that is.
        position: What `Archive.read` takes.
        version: See `ImageRef.version`.
        error: Why it cannot be read, if that is known already.
    """

    name: str
    position: int
    version: str
    error: ImageError | None = None


class Archive(Protocol):
    """An archive that has been opened; all threads of a process share it.

    Attributes:
        path: Where it lies.
    """

    path: str

    def entries(self) -> Iterator[Entry]:
        """Yields the members that are files or links, in the order of the archive, each as soon as it is known.

        Raises:
            ImageError: Where the archive is damaged, after what could be told before.
        """
        ...

    def entry(self, position: int) -> Entry:
        """Returns the member at a position.

        Raises:
            ImageError: If there is none.
        """
        ...

    def read(self, position: int) -> bytes:
        """Returns the bytes of the member at a position.

        Raises:
            OSError: If it cannot be read.
            ImageError: If it is damaged, no file, encrypted or larger than an image can be.
        """
        ...

    def file(self) -> str:
        """Returns what another process is to read the positions in; empty for the archive itself."""
        ...


class Bytes(Protocol):
    """Bytes that are read from any place, by many threads at once."""

    def at(self, offset: int, size: int) -> bytes:
        """Returns bytes; fewer where they end."""
        ...

    def keep(self, offset: int, size: int) -> None:
        """Makes sure that a piece can be read later.

        Raises:
            ImageError: If it cannot, or there is not so much.
        """
        ...

    def finish(self) -> None:
        """Looks at what is behind the last member.

        Raises:
            ImageError: If it says that what was read before is damaged.
        """
        ...


class File:
    """A file; see `Bytes`. It is closed when nobody has it any more.

    Attributes:
        size: Bytes, when it was opened or found to have grown.
    """

    def __init__(self, path: str) -> None:
        """Opens a file.

        Raises:
            OSError: If it cannot be opened.
            ImageError: If it is no file.
        """
        self._number = -1
        self._seeking = threading.Lock()
        # O_NONBLOCK: a FIFO must not hang whoever opens it
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        self._number = os.open(path, flags)
        if not stat.S_ISREG(os.fstat(self._number).st_mode):
            raise ImageError("NotAFile", "not a regular file")
        self.size = os.fstat(self._number).st_size

    def __del__(self) -> None:
        if self._number >= 0:
            os.close(self._number)

    def at(self, offset: int, size: int) -> bytes:
        """See `Bytes.at`."""
        size = self._there(offset, size)  # what an archive says of its size must not take memory
        parts = []
        while size > 0 and (part := self._piece(offset, size)):
            parts.append(part)
            offset, size = offset + len(part), size - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def keep(self, offset: int, size: int) -> None:
        """See `Bytes.keep`."""
        if self._there(offset, size) < size:
            raise ends_within()

    def finish(self) -> None:
        """See `Bytes.finish`; nothing is."""

    def _piece(self, offset: int, size: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._number, size, offset)
        with self._seeking:  # Windows
            os.lseek(self._number, offset, os.SEEK_SET)
            return os.read(self._number, size)

    def _there(self, offset: int, size: int) -> int:
        """Returns how many of so many bytes there are."""
        if offset + size > self.size:
            self.size = os.fstat(self._number).st_size
        return max(0, min(size, self.size - offset))


def stamp_of(path: str) -> str:
    """Returns what differs when an archive has changed.

    Raises:
        OSError: If it cannot be looked at.
    """
    status = os.stat(path)
    return file_version(status.st_size, status.st_mtime_ns)


def damaged(reason: str) -> ImageError:
    """Returns the failure of an archive, or of a member, that is not what it should be."""
    return ImageError("DamagedArchive", reason)


def ends_within() -> ImageError:
    """Returns the failure of a member that an archive ends in."""
    return damaged("the archive ends within this member")


def clean(name: str) -> str:
    """Returns what a member would be called if it were unpacked: a path that leads to nowhere above.

    Empty for what is no name. Backslashes separate, as they do where such archives are made, and a name ends with its
    first NUL.
    """
    name = name[-LONGEST:]
    if not _ODD.search(name):
        return name
    parts = (_DRIVE.sub("", part) for part in name.split("\0")[0].replace("\\", "/").split("/"))
    return "/".join(part for part in parts if part not in {"", ".", ".."})


def distinct(entries: Iterable[Entry], mark: str) -> Iterator[tuple[str, Entry]]:
    """Yields members with names that no two of them have: a second `a.jpg` is called `a.jpg::2.jpg`."""
    seen = _Seen()
    times: dict[int, int] = {}
    for entry in entries:
        name = plain = clean(entry.name)
        key = first = digest(name)
        while key in seen:
            times[first] = number = times.get(first, 1) + 1
            name = f"{plain}{mark}{number}{os.path.splitext(plain)[1]}"
            key = digest(name)
        seen.add(key)
        yield name, entry


class _Seen:
    """Numbers of 64 bits: 8 bytes of memory for each, and 82 for those that came last."""

    def __init__(self) -> None:
        self._sorted = array("Q")
        self._last: set[int] = set()

    def __contains__(self, number: int) -> bool:
        at = bisect_left(self._sorted, number)
        return number in self._last or (at < len(self._sorted) and self._sorted[at] == number)

    def add(self, number: int) -> None:
        """Adds one that is not among them."""
        self._last.add(number)
        if len(self._last) > FEW + len(self._sorted) // 8:
            import numpy as np

            self._sorted.extend(self._last)
            np.frombuffer(self._sorted, np.uint64).sort()
            self._last = set()


def digest(name: str) -> int:
    """Returns a number of 64 bits that stands for a name."""
    return int.from_bytes(hashlib.blake2b(os.fsencode(name), digest_size=8).digest(), "big")
