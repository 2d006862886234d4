"""A line of the journal: a record, what resuming needs at its head, and at its end the CRC-32 of all before it.

Lines of earlier versions have no CRC.
"""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass
from typing import Any

from yolocli.results import ImageRef, Outcome, file_version, outcome_from_dict

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


def with_checksum(body: bytes) -> bytes:
    """Returns a line.

    Args:
        body: A record as JSON, but for the bracket at its end.
    """
    # a number, as what is left of one after a cut never ends a record that lost its own end, as that of a string may
    return b"%b%b%d}\n" % (body, _CHECKSUM, zlib.crc32(body))


def is_sound(line: bytes) -> bool:
    """Tells whether a line is as it was written."""
    body, mark, _ = line.rpartition(_CHECKSUM)
    return line == with_checksum(body) if mark else _is_of_earlier_version(line)


def _is_of_earlier_version(line: bytes) -> bool:
    if not line.endswith(b"}\n") or (head := parse(line)) is None:
        return False
    try:
        record: dict[str, Any] = json.loads(line)
        if head.status != DROPPED:
            outcome_from_dict(record)
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
    return record.keys() <= _UNCHECKED_FIELDS


def split(line: bytes) -> tuple[bytes, bytes]:
    """Returns what is damaged in a line, and what is sound: all of it, none, or its end.

    Where the line break between two lines was damaged, the second may be sound.
    """
    if is_sound(line):
        return b"", line
    start = line.rfind(_START)
    if start > 0 and is_sound(line[start:]):
        return line[:start] + b"\n", line[start:]
    return line, b""


def entry(outcome: Outcome, timings: bool) -> dict[str, Any]:
    """Returns what a line holds of an outcome, but for its checksum."""
    record = outcome.to_dict(timings=timings)
    head = {key: record.pop(key) for key in ("schema", "path", "source", "status") if key in record}
    return head | {"version": outcome.ref.version} | record


def parse(line: bytes) -> Head | None:
    """Returns what a line begins with; None if it is not the journal's own."""
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


def path_and_status(line: bytes) -> tuple[str, str] | None:
    """Returns of what `parse` gives the path and the status, in less time."""
    match = _HEAD.match(line)
    if match is None:
        return None
    try:
        return _text(match[1]), match[3].decode()
    except ValueError:
        return None


def _text(raw: bytes) -> str:
    """Returns what a JSON string holds."""
    return str(json.loads(b'"' + raw + b'"')) if b"\\" in raw else raw.decode()
