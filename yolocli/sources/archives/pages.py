"""The pages of a column of a Parquet file: what they take in memory is known before one of them is decompressed.

Only their headers tell, which pyarrow does not show: it makes room for what they say, whatever the file's footer says.
They are written in Thrift's compact protocol.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from yolocli.errors import ImageError
from yolocli.sources.archives.base import File

LARGE = 2**28
MOST_RATIO = 4
"""How many times smaller a page of more bytes than that can be made by compression; pyarrow takes several times its
size. Photographs hardly get smaller, so that thousands of them can be in a page."""
WINDOW, MOST_HEADER = 2**12, 2**24
"""Bytes of a header that are read at once, and at all."""
MOST_DEPTH = 64
TRUE, FALSE, I8, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)
UNPACKED, PACKED = (2, I32), (3, I32)
"""Fields of a header, by number and type."""


def largest_page(file: File, chunk: Any) -> int:
    """Returns the bytes of the largest page of a column in a row group, once it is decompressed.

    Args:
        file: The Parquet file.
        chunk: What pyarrow tells of the column there.

    Raises:
        ImageError: If they are far more than the file's own.
    """
    largest = 0
    for unpacked, packed in _pages(file, chunk):
        if unpacked > max(LARGE, MOST_RATIO * packed):
            reason = f"{packed:,} bytes of its rows would unpack to {unpacked / 1e9:.1f} GB at once"
            raise ImageError("FileTooLarge", f"{reason}; write it in smaller pages or without compression")
        largest = max(largest, unpacked)
    return largest


def _pages(file: File, chunk: Any) -> Iterator[tuple[int, int]]:
    """Yields the sizes of pages, up to the first whose header is damaged; pyarrow ends there, too."""
    position = chunk.data_page_offset
    if chunk.has_dictionary_page and 0 < chunk.dictionary_page_offset < position:
        position = chunk.dictionary_page_offset
    end = position + chunk.total_compressed_size
    while 0 <= position < end:
        header = _header(file, position)
        if header is None:
            return
        length, unpacked, packed = header
        if packed < 0:
            return
        yield unpacked, packed
        position += length + packed


def _header(file: File, position: int) -> tuple[int, int, int] | None:
    """Returns the length of a page's header and the sizes that it tells of, None if it is damaged."""
    window = WINDOW
    while window <= MOST_HEADER:
        block = file.at(position, window)
        compact = _Compact(block)
        try:
            fields = compact.struct()
            return compact.at, fields[UNPACKED], fields[PACKED]
        except IndexError:  # it goes on
            if len(block) < window:
                return None
            window *= 4
        except (KeyError, ValueError):
            return None
    return None


class _Compact:
    """Reads Thrift's compact protocol.

    Attributes:
        at: How far it has come.
    """

    def __init__(self, block: bytes) -> None:
        self._block = block
        self.at = 0

    def struct(self, depth: int = 0) -> dict[tuple[int, int], int]:
        """Returns the numbers of 32 bits of a struct, by their field's number and type.

        Raises:
            IndexError: If it goes on behind the block.
            ValueError: If it is none.
        """
        fields: dict[tuple[int, int], int] = {}
        field = 0
        while kind := self._byte():
            field = field + (kind >> 4) if kind >> 4 else _signed(self._number())
            value = self._value(kind & 15, depth)
            if kind & 15 == I32:
                fields[field, I32] = value
        return fields

    def _value(self, kind: int, depth: int) -> int:
        """Goes past a value, and returns it if it is a number of 32 bits."""
        if depth > MOST_DEPTH or not TRUE <= kind <= STRUCT:
            raise ValueError(kind)
        if kind in {I16, I32, I64}:
            return _signed(self._number() & 0xFFFFFFFF)
        if kind == STRUCT:
            self.struct(depth + 1)
        elif kind in {LIST, SET, MAP}:
            self._items(kind, depth)
        elif kind not in {TRUE, FALSE}:
            length = {I8: 1, DOUBLE: 8}.get(kind) or self._number()  # which moves, too
            self.at += length
            if self.at > len(self._block):  # a list may say that it has any number of items
                raise IndexError(self.at)
        return 0

    def _items(self, kind: int, depth: int) -> None:
        """Goes past a list, a set or a map."""
        if kind == MAP:
            count = self._number()
            both = self._byte() if count else 0
            kinds: tuple[int, ...] = (both >> 4, both & 15)
        else:
            head = self._byte()
            count = head >> 4 if head >> 4 < 15 else self._number()
            kinds = (head & 15,)
        for _ in range(count):
            for item in kinds:
                self._value(I8 if item in {TRUE, FALSE} else item, depth + 1)

    def _number(self) -> int:
        """Returns a number of variable length."""
        number = shift = 0
        while True:
            byte = self._byte()
            number |= (byte & 127) << shift
            if byte < 128:
                return number
            shift += 7
            if shift > 63:
                raise ValueError(byte)

    def _byte(self) -> int:
        self.at += 1
        return self._block[self.at - 1]


def _signed(number: int) -> int:
    return number >> 1 ^ -(number & 1)
