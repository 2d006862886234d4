"""The list of a tree: a line for each file, with its mark, so that what somebody has changed or added is known."""

from __future__ import annotations

import json
import os
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

from yolocli.output.folder import OutputFolder
from yolocli.output.sink import Tree
from yolocli.results import SCHEMA_VERSION, to_json

LIST_START = b'{"schema": 1, "file": "'
"""What lists begin with."""
UNFINISHED: dict[str, Any] = {"schema": SCHEMA_VERSION, "file": "", "unfinished": True}
"""A line of a list while files are put in place: until they are durable, a power cut may have left them blank."""
BLANK = "-0"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a list.

    Attributes:
        file: See `TreeFile.name`.
        image: Path of the image that it is about, as in its record.
        mark: See `TreePlace.mark`.
        source: What opens the image, if this is a copy of it; empty for others.
        version: Of the image, if this is a copy of it; see `ImageRef.version`.
    """

    file: str
    image: str
    mark: str
    source: str = ""
    version: str = ""

    def encoded(self) -> bytes:
        """Returns it as JSON, ended by a newline."""
        line: dict[str, Any] = {"schema": SCHEMA_VERSION, "file": self.file, "image": self.image, "mark": self.mark}
        copied = {"source": self.source, "version": self.version} if self.source else {}
        return to_json(line | copied) + b"\n"


class Listed:
    """The list of a tree as earlier runs left it: 17 bytes of memory a line.

    Attributes:
        finished: Nobody was stopped while adding to it.
        torn: Its last line has no end.
    """

    def __init__(self, stream: IO[bytes], tree: Tree) -> None:
        self._stream = stream
        self._folders = tree.folders
        self.finished, self.torn = True, False
        hashes, offsets, offset = array("q"), array("q"), 0
        stream.seek(0)
        for text in stream:
            if (line := self._parse(text)) is not None:
                hashes.append(hash(line.file))
                offsets.append(offset)
            self.finished &= b'"unfinished": true' not in text
            self.torn = not text.endswith(b"\n")
            offset += len(text)
        order = sorted(range(len(hashes)), key=hashes.__getitem__)
        self._hashes = array("q", (hashes[i] for i in order))
        self._offsets = array("q", (offsets[i] for i in order))
        self._seen = bytearray(len(order))

    def about(self, file: str) -> list[Line]:
        """Returns the lines of a file."""
        return [line for line in map(self._at, self._positions(file)) if line.file == file]

    def see(self, file: str) -> list[Line]:
        """Returns the lines of a file; they are not among the `unseen` any more."""
        found = []
        for position in self._positions(file):
            if (line := self._at(position)).file == file:
                self._seen[position] = True
                found.append(line)
        return found

    def unseen(self) -> Iterator[Line]:
        """Yields all other lines."""
        return (self._at(i) for i in range(len(self._seen)) if not self._seen[i])

    def is_own(self, mark: str, lines: Iterable[Line]) -> bool:
        """Tells whether a file is as a run wrote it, or a power cut left it.

        Args:
            mark: Of the file.
            lines: About it.
        """
        marks = [line.mark for line in lines]
        return mark in marks or (bool(marks) and not self.finished and mark.endswith(BLANK))

    def _positions(self, file: str) -> Iterator[int]:
        key = hash(file)
        i = bisect_left(self._hashes, key)
        while i < len(self._hashes) and self._hashes[i] == key:
            yield i
            i += 1

    def _at(self, position: int) -> Line:
        self._stream.seek(self._offsets[position])
        line = self._parse(self._stream.readline())
        assert line is not None
        return line

    def _parse(self, text: bytes) -> Line | None:
        """Returns a line; None if it is torn, or names what does not lie in the tree."""
        try:
            entry = json.loads(text)
            line = Line(entry["file"], entry["image"], entry["mark"], entry.get("source", ""), entry.get("version", ""))
            first, *others = line.file.split("/")
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
        inside = first in self._folders and others and not {"", os.curdir, os.pardir} & {*others}
        return line if inside else None


def lists_of(folder: OutputFolder, trees: Iterable[Tree]) -> Iterator[Listed]:
    """Yields the lists of trees, where there are some, each to be used before the next is asked for."""
    for tree in trees:
        with suppress(FileNotFoundError), open(folder.in_place(tree.list.name), "rb") as stream:
            yield Listed(stream, tree)
