"""What a journal holds already: looked up while images are found, and replayed for projections."""

from __future__ import annotations

import enum
import itertools
import json
import os
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from yolocli.errors import OutputError
from yolocli.output.folder import OutputFolder
from yolocli.output.lines import DROPPED, Head, parse, path_and_status
from yolocli.output.ownership import DAMAGED, JOURNAL
from yolocli.results import ImageRef, ImageResult, Outcome, outcome_from_dict

T = TypeVar("T")


class Known(enum.Enum):
    """What a journal tells of a file."""

    NEW = enum.auto()
    CHANGED = enum.auto()
    DONE = enum.auto()
    FAILED = enum.auto()


class Past:
    """What a journal holds already: 17 bytes of memory a line, and some 70 while it is read.

    Attributes:
        first_parts: Of the paths in it that have more than one part.
    """

    def __init__(self, path: Path) -> None:
        import numpy as np

        self._path = path
        self.first_parts: set[str] = set()
        keys, offsets, dropped = array("q"), array("q"), bytearray()
        for offset, (name, status) in _scanned(path, path_and_status):
            keys.append(hash(name))
            offsets.append(offset)
            dropped.append(status == DROPPED)
            if "/" in name:
                self.first_parts.add(name.partition("/")[0])
        order = np.frombuffer(keys, np.int64).argsort(kind="stable")
        ordered = np.frombuffer(keys, np.int64)[order]
        gone = np.frombuffer(dropped, np.bool_)[order]
        latest = np.append(ordered[1:] != ordered[:-1], True)[: len(ordered)]
        self.images = int((latest & ~gone).sum())
        self._keys = array("q", ordered.tobytes())
        self._offsets = array("q", np.frombuffer(offsets, np.int64)[order].tobytes())
        self._seen = bytearray(gone.tobytes())
        self._file = open(path, "rb") if path.exists() else None

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()

    def look_up(self, ref: ImageRef) -> Known:
        """Tells what the last run with this file made of it, and remembers that it was asked for."""
        last = self._last(ref.path)
        if last is None or (head := self._head(last)).status == DROPPED:
            return Known.NEW
        self._seen[last] = True
        if not head.is_of(ref):
            return Known.CHANGED
        return Known.DONE if head.status == ImageResult.status else Known.FAILED

    def outcome(self, path: str) -> Outcome:
        """Returns what the last run made of an image that is known.

        Raises:
            OutputError: If that line of the journal is damaged.
        """
        last = self._last(path)
        assert last is not None
        return _outcome(self._path, self._line(last))

    def unseen(self) -> Iterator[Head]:
        """Yields what was not asked for, and not dropped before."""
        for i in self._latest():
            if not self._seen[i]:
                yield self._head(i)

    def dropped(self) -> Iterator[Head]:
        """Yields what was dropped."""
        marked = (self._head(i) for i in self._latest() if self._seen[i])
        return (head for head in marked if head.status == DROPPED)

    def _latest(self) -> Iterator[int]:
        """Yields the position of the last line of each image."""
        count = len(self._keys)
        return (i for i in range(count) if i + 1 == count or self._keys[i] != self._keys[i + 1])

    def _last(self, path: str) -> int | None:
        """Returns the position of the last line of an image."""
        key = hash(path)
        last = bisect_right(self._keys, key) - 1
        while last >= 0 and self._keys[last] == key:
            if self._head(last).path == path:
                return last
            last -= 1  # another path with the same hash
        return None

    def _head(self, position: int) -> Head:
        head = parse(self._line(position))
        assert head is not None
        return head

    def _line(self, position: int) -> bytes:
        assert self._file is not None
        self._file.seek(self._offsets[position])
        return self._file.readline()


def named(folder: OutputFolder) -> list[str]:
    """Returns the images that a folder holds, those of damaged lines among them as far as they can be read."""
    found: dict[str, None] = {}
    for name in (JOURNAL, DAMAGED):
        with suppress(FileNotFoundError), open(folder.root / name, "rb") as stream:
            for head in map(parse, stream):
                if head is not None and head.status == DROPPED:
                    found.pop(head.path, None)
                elif head is not None:
                    found[head.path] = None
    return list(found)


def replay(path: Path) -> Iterator[Outcome]:
    """Yields the last Outcome of every image by path, whatever the order in which they ended.

    That is the order of a walk; so a folder that was done in several runs gives the same projections as one done at
    once.

    Raises:
        OutputError: If the journal holds a line that is not its own.
    """
    # one bytes object a line, equal images side by side, the latest last
    lines = sorted(sort_key(head.path) + offset.to_bytes(8, "big") for offset, head in _scanned(path, parse))
    last = (line for line, following in itertools.pairwise([*lines, b""]) if line[:-8] != following[:-8])
    with open(path, "rb") as stream:
        for line in last:
            stream.seek(int.from_bytes(line[-8:], "big"))
            content = stream.readline()
            head = parse(content)
            if head is None or head.status != DROPPED:
                yield _outcome(path, content)


def sort_key(path: str) -> bytes:
    """Returns bytes, different for each path, that sort as a walk does: a folder's names by their bytes."""
    raw = os.fsencode(path)
    if b"\0" in raw or b"\1" in raw:  # which the separators below are made of
        raw = raw.replace(b"\1", b"\1\2").replace(b"\0", b"\1\1")
    return raw.replace(b"/", b"\0") + b"\0\0"


def _outcome(path: Path, line: bytes) -> Outcome:
    try:
        return outcome_from_dict(json.loads(line))
    except (ValueError, KeyError, TypeError) as error:
        raise OutputError(f"{path}: a damaged line ({error}); use --overwrite or another --output") from error


def heads(path: Path) -> Iterator[Head]:
    """Yields what each line begins with, in the order of the file.

    Raises:
        OutputError: If there is a line that is not the journal's own.
    """
    return (head for _, head in _scanned(path, parse))


def _scanned(path: Path, read: Callable[[bytes], T | None]) -> Iterator[tuple[int, T]]:
    """Yields what is read of each line, and where the line begins; see `heads`."""
    if not path.exists():
        return
    offset = 0
    with open(path, "rb") as stream:
        for line in stream:
            found = read(line)
            if found is None:
                raise OutputError(
                    f"{path}: byte {offset}: not a line of a journal; use --overwrite or another --output"
                )
            yield offset, found
            offset += len(line)
