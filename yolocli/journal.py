"""The journal: one complete line per image, appended as it ends. All else on disk is a projection of it."""

from __future__ import annotations

import enum
import itertools
import json
import os
import re
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolocli.errors import OutputError
from yolocli.folder import OutputFolder
from yolocli.results import ImageRef, ImageResult, Outcome, outcome_from_dict, to_json

JOURNAL = "results.jsonl"

# What resuming needs stands at the head of a line, in this order, so that a journal is opened without parsing it whole
_HEAD = re.compile(
    rb'\{"schema": \d+, "path": "((?:[^"\\]|\\.)*)", "status": "(\w+)", '
    rb'"input": (\d+), "size": (-?\d+), "mtime_ns": (-?\d+)'
)
_LONGEST_HEAD = 64 * 1024


@dataclass(frozen=True, slots=True)
class _Head:
    path: str
    ok: bool
    input: int
    size: int
    mtime_ns: int


class Known(enum.Enum):
    """What a journal tells of a file."""

    NEW = enum.auto()
    CHANGED = enum.auto()
    DONE = enum.auto()
    FAILED = enum.auto()


class Journal:
    """The open journal of one output folder; see `recover` before appending to an old one."""

    def __init__(self, folder: OutputFolder, timings: bool = False) -> None:
        self._folder = folder
        self._timings = timings
        self._path = folder.in_place(JOURNAL)
        with folder.writing(self._path):
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
            self._file = os.open(self._path, flags, 0o644)
            self._end = os.fstat(self._file).st_size

    def append(self, outcome: Outcome) -> None:
        """Adds a line; when this returns, the line outlives the process.

        Raises:
            OutputError: If the line cannot be written; the journal is left as it was.
        """
        line = to_json(_entry(outcome, self._timings)) + b"\n"
        with self._folder.writing(self._path):
            try:
                written = os.write(self._file, line)
                while written < len(line):
                    written += os.write(self._file, line[written:])
            except OSError:
                os.ftruncate(self._file, self._end)
                raise
        self._end += len(line)

    def close(self) -> None:
        """Flushes the journal to the disk itself.

        Raises:
            OutputError: If the disk does not take it.
        """
        with self._folder.writing(self._path):
            try:
                os.fsync(self._file)
            finally:
                os.close(self._file)


class Past:
    """What a journal holds already: 16 bytes of memory a line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        keys, offsets = array("q"), array("q")
        for offset, head in _heads(path):
            keys.append(hash(head.path))
            offsets.append(offset)
        order = sorted(range(len(keys)), key=keys.__getitem__)
        self._keys = array("q", (keys[i] for i in order))
        self._offsets = array("q", (offsets[i] for i in order))
        self._file = open(path, "rb") if path.exists() else None

    @property
    def images(self) -> int:
        """Different images in it; an image that was tried again has more than one line."""
        return len(self._keys) - sum(1 for a, b in itertools.pairwise(self._keys) if a == b)

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()

    def status(self, ref: ImageRef) -> Known:
        """Tells what the last run with this file made of it."""
        key = hash(ref.path)
        last = bisect_right(self._keys, key) - 1
        while last >= 0 and self._keys[last] == key:
            head = self._head(self._offsets[last])
            if head.path == ref.path:
                if (head.size, head.mtime_ns) != (ref.size, ref.mtime_ns):
                    return Known.CHANGED
                return Known.DONE if head.ok else Known.FAILED
            last -= 1  # another path with the same hash
        return Known.NEW

    def _head(self, offset: int) -> _Head:
        assert self._file is not None
        self._file.seek(offset)
        head = _parse(self._file.readline(_LONGEST_HEAD))
        assert head is not None
        return head


def recover(folder: OutputFolder) -> int:
    """Cuts off a last line that a killed run left torn.

    Returns:
        Bytes cut off.

    Raises:
        OutputError: If the journal cannot be written.
    """
    path = folder.in_place(JOURNAL)
    if not path.exists():
        return 0
    with folder.writing(path), open(path, "rb+") as stream:
        end = stream.seek(0, os.SEEK_END)
        keep = end
        while keep:
            start = max(0, keep - (1 << 16))
            stream.seek(start)
            newline = stream.read(keep - start).rfind(b"\n")
            if newline >= 0:
                keep = start + newline + 1
                break
            keep = start
        if keep < end:
            stream.truncate(keep)
        return end - keep


def replay(path: Path) -> Iterator[Outcome]:
    """Yields the last Outcome of every image, in input order, whatever the order in which they ended.

    The order is by input and by path below it, which for a folder is the order of the walk; so a folder that was done
    in several runs gives the same projections as one done at once.

    Raises:
        OutputError: If the journal holds a line that is not its own.
    """
    # one bytes object a line, equal images side by side, the latest last; then in input order
    lines = sorted(
        os.fsencode(head.path).replace(b"/", b"\0")
        + b"\0\0"
        + offset.to_bytes(8, "big")
        + head.input.to_bytes(4, "big")
        for offset, head in _heads(path)
    )
    last = [line for line, following in itertools.pairwise([*lines, b""]) if line[:-12] != following[:-12]]
    last.sort(key=lambda line: (line[-4:], line[:-12]))
    with open(path, "rb") as stream:
        for line in last:
            stream.seek(int.from_bytes(line[-12:-4], "big"))
            yield _outcome(path, stream.readline())


def _outcome(path: Path, line: bytes) -> Outcome:
    try:
        return outcome_from_dict(json.loads(line))
    except (ValueError, KeyError, TypeError) as error:
        raise OutputError(f"{path}: a damaged line ({error}); use --overwrite or another --output") from error


def _entry(outcome: Outcome, timings: bool) -> dict[str, Any]:
    record = outcome.to_dict(timings=timings)
    ref = outcome.ref
    head = {key: record.pop(key) for key in ("schema", "path", "status")}
    return head | {"input": ref.input, "size": ref.size, "mtime_ns": ref.mtime_ns} | record


def _heads(path: Path) -> Iterator[tuple[int, _Head]]:
    if not path.exists():
        return
    offset = 0
    with open(path, "rb") as stream:
        for line in stream:
            head = _parse(line)
            if head is None:
                raise OutputError(
                    f"{path}: byte {offset}: not a line of a journal; use --overwrite or another --output"
                )
            yield offset, head
            offset += len(line)


def _parse(line: bytes) -> _Head | None:
    match = _HEAD.match(line)
    if match is None:
        return None
    path, status, number, size, mtime_ns = match.groups()
    try:
        name = json.loads(b'"' + path + b'"') if b"\\" in path else path.decode()
    except ValueError:
        return None
    return _Head(name, status == ImageResult.status.encode(), int(number), int(size), int(mtime_ns))
