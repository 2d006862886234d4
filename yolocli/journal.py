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
from yolocli.results import SCHEMA_VERSION, ImageRef, ImageResult, Outcome, outcome_from_dict, to_json

JOURNAL = "results.jsonl"
DROPPED = "dropped"
"""Status of a line that takes back all lines of its path before it."""

# What resuming needs stands at the head of a line, in this order, so that a journal is opened without parsing it whole.
# Versions before 0.2 wrote the position of an input in place of the source
_TEXT = rb'"((?:[^"\\]|\\.)*)"'
_HEAD = re.compile(
    rb'\{"schema": \d+, "path": ' + _TEXT + rb', (?:"source": ' + _TEXT + rb', )?"status": "(\w+)", '
    rb'(?:"input": \d+, )?"size": (-?\d+), "mtime_ns": (-?\d+)(?:, "stage": "(\w+)")?'
)


@dataclass(frozen=True, slots=True)
class Head:
    """What a line of the journal begins with.

    Attributes:
        path: Name of the image.
        source: What opens it; None in lines of versions before 0.2.
        status: Of an Outcome, or `DROPPED`.
        size: See `ImageRef`.
        mtime_ns: See `ImageRef`.
        stage: Where a failure ended; None for others.
    """

    path: str
    source: str | None
    status: str
    size: int
    mtime_ns: int
    stage: str | None

    def is_of(self, ref: ImageRef) -> bool:
        """Tells whether it is about this very file, as it is now."""
        same_file = self.source is None or self.source == ref.source
        return same_file and (self.size, self.mtime_ns) == (ref.size, ref.mtime_ns)


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
        self._path = folder.root / JOURNAL
        with folder.writing(self._path):
            self._file = folder.open_in_place(JOURNAL, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            self._end = os.fstat(self._file).st_size

    def append(self, outcome: Outcome) -> None:
        """Adds a line; when this returns, the line outlives the process.

        Raises:
            OutputError: If the line cannot be written; the journal is left as it was.
        """
        self._write(to_json(_entry(outcome, self._timings)) + b"\n")

    def drop(self, head: Head) -> None:
        """Takes back what was written of an image.

        Raises:
            OutputError: As for `append`.
        """
        line: dict[str, Any] = {"schema": SCHEMA_VERSION, "path": head.path}
        line |= {"source": head.source} if head.source else {}
        self._write(to_json(line | {"status": DROPPED, "size": -1, "mtime_ns": -1}) + b"\n")

    def check(self) -> None:
        """Makes sure that what lies at the journal's path is what was written.

        Raises:
            OutputError: If it was replaced, cut or added to by somebody else.
        """
        with self._folder.writing(self._path):
            mine, found = os.fstat(self._file), os.stat(self._path)
        if not os.path.samestat(mine, found) or found.st_size != self._end:
            raise OutputError(
                f"{self._path}: was replaced or changed by another program during the run, so results may be missing. "
                "Put it back, or run again with --overwrite"
            )

    def _write(self, line: bytes) -> None:
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
    """What a journal holds already: 17 bytes of memory a line.

    Attributes:
        first_parts: Of the paths in it that have more than one part.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.first_parts: set[str] = set()
        keys, offsets, dropped = array("q"), array("q"), bytearray()
        for offset, head in _heads(path):
            keys.append(hash(head.path))
            offsets.append(offset)
            dropped.append(head.status == DROPPED)
            if "/" in head.path:
                self.first_parts.add(head.path.split("/", 1)[0])
        order = sorted(range(len(keys)), key=keys.__getitem__)
        self._keys = array("q", (keys[i] for i in order))
        self._offsets = array("q", (offsets[i] for i in order))
        self._seen = bytearray(dropped[i] for i in order)
        self._file = open(path, "rb") if path.exists() else None
        self.images = sum(not self._seen[i] for i in self._latest())

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()

    def look_up(self, ref: ImageRef) -> Known:
        """Tells what the last run with this file made of it, and remembers that it was asked for."""
        key = hash(ref.path)
        last = bisect_right(self._keys, key) - 1
        while last >= 0 and self._keys[last] == key:
            head = self._head(last)
            if head.path == ref.path:
                if head.status == DROPPED:
                    return Known.NEW
                self._seen[last] = True
                if not head.is_of(ref):
                    return Known.CHANGED
                return Known.DONE if head.status == ImageResult.status else Known.FAILED
            last -= 1  # another path with the same hash
        return Known.NEW

    def unseen(self) -> Iterator[Head]:
        """Yields what was not asked for, and not dropped before."""
        for i in self._latest():
            if not self._seen[i]:
                yield self._head(i)

    def _latest(self) -> Iterator[int]:
        """Yields the position of the last line of each image."""
        count = len(self._keys)
        return (i for i in range(count) if i + 1 == count or self._keys[i] != self._keys[i + 1])

    def _head(self, position: int) -> Head:
        assert self._file is not None
        self._file.seek(self._offsets[position])
        head = _parse(self._file.readline())
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
    with folder.writing(path), open(folder.open_in_place(JOURNAL, os.O_RDWR), "rb+") as stream:
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
    """Yields the last Outcome of every image by path, whatever the order in which they ended.

    That is the order of a walk; so a folder that was done in several runs gives the same projections as one done at
    once.

    Raises:
        OutputError: If the journal holds a line that is not its own.
    """
    # one bytes object a line, equal images side by side, the latest last
    lines = sorted(_sort_key(head.path) + offset.to_bytes(8, "big") for offset, head in _heads(path))
    last = (line for line, following in itertools.pairwise([*lines, b""]) if line[:-8] != following[:-8])
    with open(path, "rb") as stream:
        for line in last:
            stream.seek(int.from_bytes(line[-8:], "big"))
            content = stream.readline()
            head = _parse(content)
            if head is None or head.status != DROPPED:
                yield _outcome(path, content)


def _sort_key(path: str) -> bytes:
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


def _entry(outcome: Outcome, timings: bool) -> dict[str, Any]:
    record = outcome.to_dict(timings=timings)
    ref = outcome.ref
    head = {key: record.pop(key) for key in ("schema", "path", "source", "status") if key in record}
    return head | {"size": ref.size, "mtime_ns": ref.mtime_ns} | record


def heads(path: Path) -> Iterator[Head]:
    """Yields what each line begins with, in the order of the file.

    Raises:
        OutputError: If there is a line that is not the journal's own.
    """
    return (head for _, head in _heads(path))


def _heads(path: Path) -> Iterator[tuple[int, Head]]:
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


def _parse(line: bytes) -> Head | None:
    match = _HEAD.match(line)
    if match is None:
        return None
    path, source, status, size, mtime_ns, stage = match.groups()
    try:
        return Head(
            _text(path),
            None if source is None else _text(source),
            status.decode(),
            int(size),
            int(mtime_ns),
            None if stage is None else stage.decode(),
        )
    except ValueError:
        return None


def _text(raw: bytes) -> str:
    """Returns what a JSON string holds."""
    return str(json.loads(b'"' + raw + b'"')) if b"\\" in raw else raw.decode()
