"""JSON files that are written as they grow: an entry of a list on each line, and no list is ever held."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import IO, Any

from yolocli.output.sink import Start

ESCAPE = "\\udc"
"""What the escape of a byte that is not UTF-8 begins with."""


def to_ascii_json(value: Any) -> bytes:
    """Returns JSON in ASCII: many programs open a file in the encoding of their system, which need not be UTF-8."""
    return _dumps(value).encode("ascii")


_dumps = json.JSONEncoder().encode


def unicode_name(path: str) -> str:
    r"""Returns the name of an image for programs that take nothing but Unicode. No two names become the same.

    It is the name itself, but where a byte of it is not UTF-8: that is written as `\udcXX`, and then each backslash of
    the name twice. So it is in a name that holds such an escape as text.
    """
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        pass
    else:
        if ESCAPE not in path:
            return path
    return path.replace("\\", "\\\\").encode("utf-8", "backslashreplace").decode("utf-8")


def begins(*texts: bytes) -> Start:
    """Returns what tells a file that begins with one of some texts, whole or torn; see `Start`."""
    whole = [re.escape(text) for text in texts]
    torn = [re.escape(text[:length]) + rb"\Z" for text in texts for length in range(len(text))]
    return re.compile(b"|".join([*whole, *torn]))


class JsonList:
    """A list in a stream."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._between = b"\n"

    def add(self, entry: Mapping[str, Any]) -> None:
        """Writes an entry.

        Raises:
            OSError: If it cannot be written.
        """
        self._stream.write(self._between + to_ascii_json(entry))
        self._between = b",\n"
