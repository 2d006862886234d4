"""The journal: one complete line per image, appended as it ends. All else on disk is a projection of it.

The last field of a line is the CRC-32 of all before it; lines of earlier versions have none.
"""

from __future__ import annotations

import enum
import itertools
import json
import os
import re
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolocli.errors import OutputError
from yolocli.output.disk import sync_stream
from yolocli.output.folder import OutputFolder
from yolocli.output.ownership import JOURNAL
from yolocli.results import SCHEMA_VERSION, ImageRef, ImageResult, Outcome, file_version, outcome_from_dict, to_json

DAMAGED = "results.damaged.jsonl"
"""Lines of the journal that were found damaged."""
DROPPED = "dropped"
"""Status of a line that takes back all lines of its path before it."""

# What resuming needs stands at the head of a line, in this order, so that a journal is opened without parsing it whole.
# Earlier versions wrote size and time of modification in place of the version, and those before 0.2 the position of an
# input in place of the source
_TEXT = rb'"([^"\\]*(?:\\.[^"\\]*)*)"'
_HEAD = re.compile(
    rb'\{"schema": \d+, "path": ' + _TEXT + rb', (?:"source": ' + _TEXT + rb', )?"status": "(\w+)", '
    rb'(?:"version": ' + _TEXT + rb'|(?:"input": \d+, )?"size": (-?\d+), "mtime_ns": (-?\d+))(?:, "stage": "(\w+)")?'
)
_START = b'{"schema": '
_CHECKSUM = b', "crc": '
_UNCHECKED_FIELDS = frozenset(
    [
        "schema",
        "path",
        "source",
        "status",
        "input",
        "size",
        "mtime_ns",
        "width",
        "height",
        "detections",
        "stage",
        "error",
        "message",
        "timings_ms",
    ]
)
"""All fields of a line without a checksum; with another one, it is a line whose checksum was damaged."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a line of the journal begins with.

    Attributes:
        path: Name of the image.
        source: What opens it; None in lines of versions before 0.2.
        status: Of an Outcome, or `DROPPED`.
        version: See `ImageRef`.
        stage: Where a failure ended; None for others.
    """

    path: str
    source: str | None
    status: str
    version: str
    stage: str | None

    def is_of(self, ref: ImageRef) -> bool:
        """Tells whether it is about this very file, as it is now."""
        same_file = self.source is None or self.source == ref.source
        return same_file and self.version == ref.version


class Known(enum.Enum):
    """What a journal tells of a file."""

    NEW = enum.auto()
    CHANGED = enum.auto()
    DONE = enum.auto()
    FAILED = enum.auto()


class Journal:
    """The open journal of one output folder; see `mend` before appending to an old one."""

    def __init__(self, folder: OutputFolder, timings: bool = False) -> None:
        self._folder = folder
        self._timings = timings
        self._path = folder.root / JOURNAL
        with folder.writing(self._path):
            self._file = folder.open_in_place(JOURNAL, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            self._end = self._durable = os.fstat(self._file).st_size

    def append(self, outcome: Outcome) -> None:
        """Adds a line; when this returns, the line outlives the process.

        Raises:
            OutputError: If the line cannot be written; the journal is left as it was.
        """
        self._write(_entry(outcome, self._timings))

    def drop(self, head: Head) -> None:
        """Takes back what was written of an image.

        Raises:
            OutputError: As for `append`.
        """
        line: dict[str, Any] = {"schema": SCHEMA_VERSION, "path": head.path}
        line |= {"source": head.source} if head.source else {}
        self._write(line | {"status": DROPPED, "version": ""})

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

    def _write(self, entry: Mapping[str, Any]) -> None:
        line = _with_checksum(to_json(entry)[:-1])
        with self._folder.writing(self._path):
            try:
                written = os.write(self._file, line)
                while written < len(line):
                    written += os.write(self._file, line[written:])
            except OSError:
                os.ftruncate(self._file, self._end)
                raise
        self._end += len(line)

    def sync(self) -> None:
        """Makes all lines durable.

        Raises:
            OutputError: If the disk does not take them.
        """
        if self._durable != self._end:
            with self._folder.writing(self._path):
                os.fsync(self._file)
            self._durable = self._end

    def close(self) -> None:
        """Makes all lines durable, and closes the journal.

        Raises:
            OutputError: If the disk does not take them.
        """
        try:
            self.sync()
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

    def dropped(self) -> Iterator[Head]:
        """Yields what was dropped."""
        marked = (self._head(i) for i in self._latest() if self._seen[i])
        return (head for head in marked if head.status == DROPPED)

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


def set_aside(folder: OutputFolder) -> int:
    """Takes damaged lines out of a journal and keeps them in a file beside it, so that their images are done again.

    Returns:
        Lines taken out.

    Raises:
        OutputError: If the journal or that file cannot be written.
    """
    path = folder.in_place(JOURNAL)
    if not path.exists():
        return 0
    with folder.writing(path), open(path, "rb") as stream:
        if all(map(_is_sound, stream)):
            return 0
        count = 0
        stream.seek(0)
        aside = folder.open_in_place(DAMAGED, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        with open(aside, "ab") as taken, folder.open(Path(JOURNAL)) as kept:
            for damaged, sound in map(_split, stream):
                count += bool(damaged)
                taken.write(damaged)
                kept.write(sound)
            sync_stream(taken)  # first, so that no line is in neither
            sync_stream(kept)
        folder.sync_names()
    return count


def mend(folder: OutputFolder, notice: Callable[[str], None]) -> int:
    """Makes a journal whole after whatever happened to it: see `recover` and `set_aside`.

    Args:
        folder: No run may be writing to it.
        notice: Told of damage.

    Returns:
        Lines that were damaged.

    Raises:
        OutputError: If it cannot be written.
    """
    recover(folder)
    damaged = set_aside(folder)
    if damaged:
        lines = f"{damaged:,} damaged line{'s' * (damaged > 1)}"
        notice(f"{folder.root / JOURNAL}: {lines} put into {DAMAGED}; a run does their images again")
    return damaged


def named(folder: OutputFolder) -> list[str]:
    """Returns the images that a folder holds, those of damaged lines among them as far as they can be read."""
    found: dict[str, None] = {}
    for name in (JOURNAL, DAMAGED):
        with suppress(FileNotFoundError), open(folder.root / name, "rb") as stream:
            for head in map(_parse, stream):
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
    lines = sorted(_sort_key(head.path) + offset.to_bytes(8, "big") for offset, head in _heads(path))
    last = (line for line, following in itertools.pairwise([*lines, b""]) if line[:-8] != following[:-8])
    with open(path, "rb") as stream:
        for line in last:
            stream.seek(int.from_bytes(line[-8:], "big"))
            content = stream.readline()
            head = _parse(content)
            if head is None or head.status != DROPPED:
                yield _outcome(path, content)


def _with_checksum(body: bytes) -> bytes:
    """Returns a line.

    Args:
        body: A record as JSON, but for the bracket at its end.
    """
    # a number, as what is left of one after a cut never ends a record that lost its own end, as that of a string may
    return b"%b%b%d}\n" % (body, _CHECKSUM, zlib.crc32(body))


def _is_sound(line: bytes) -> bool:
    body, mark, _ = line.rpartition(_CHECKSUM)
    return line == _with_checksum(body) if mark else _is_of_earlier_version(line)


def _is_of_earlier_version(line: bytes) -> bool:
    if not line.endswith(b"}\n") or (head := _parse(line)) is None:
        return False
    try:
        record: dict[str, Any] = json.loads(line)
        if head.status != DROPPED:
            outcome_from_dict(record)
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
    return record.keys() <= _UNCHECKED_FIELDS


def _split(line: bytes) -> tuple[bytes, bytes]:
    """Returns what is damaged in a line, and what is sound: all of it, none, or its end.

    Where the line break between two lines was damaged, the second may be sound.
    """
    if _is_sound(line):
        return b"", line
    start = line.rfind(_START)
    if start > 0 and _is_sound(line[start:]):
        return line[:start] + b"\n", line[start:]
    return line, b""


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
    head = {key: record.pop(key) for key in ("schema", "path", "source", "status") if key in record}
    return head | {"version": outcome.ref.version} | record


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
    path, source, status, version, size, mtime_ns, stage = match.groups()
    try:
        return Head(
            _text(path),
            None if source is None else _text(source),
            status.decode(),
            file_version(int(size), int(mtime_ns)) if version is None else _text(version),
            None if stage is None else stage.decode(),
        )
    except ValueError:
        return None


def _text(raw: bytes) -> str:
    """Returns what a JSON string holds."""
    return str(json.loads(b'"' + raw + b'"')) if b"\\" in raw else raw.decode()
