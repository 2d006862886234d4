"""Parquet files with a column of image files, as Hugging Face and others write them; a row is a member.

A row cannot be read by itself: what it is compressed with begins at its row group. So the threads of a process go
through a group together, as its rows are asked for, and keep those they have passed last; they begin again only for a
row that lies before these.
"""

from __future__ import annotations

import os
import re
import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

from yolocli.errors import ImageError, UsageError, install_hint
from yolocli.sources.archives.base import Entry, File, clean, damaged, stamp_of
from yolocli.sources.archives.pages import largest_page
from yolocli.sources.base import check_size

IMAGES = ("image", "img", "bytes", "image_bytes", "jpg", "jpeg", "png", "webp", "content", "data")
"""Columns that hold image files, the first that there is; else the only column of bytes."""
NAMES = ("path", "file_name", "filename", "file_path", "filepath", "name", "__key__", "key", "image_id", "id")
"""Columns that hold their names."""
ROWS, NAMED_ROWS = 8, 4096
"""Images and names that are read at once."""
AT_ONCE_BYTES = 2**26
"""The most that they take, but for a single one: a value can be as large as its page, and be in each row."""
KEPT_BYTES = 2**26
"""Of the rows that were passed last: more than workers are at."""
MOST_PASSAGES = 2
BUFFER = 2**20
_HAS_SUFFIX = re.compile(r"[^/]\.[A-Za-z][A-Za-z0-9]{1,4}$")
SUFFIX = ".jpg"
"""Of names that have none; what an image is, its first bytes say."""


class Parquet:
    """A Parquet file; see `Archive`. A position is a row."""

    def __init__(self, path: str) -> None:
        """Opens a file.

        Raises:
            OSError: If it cannot be opened.
            ImageError: If it is no Parquet file, or has no column of images.
            UsageError: If pyarrow is not installed.
        """
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError:
            hint = install_hint("parquet")
            raise UsageError(f"{path}: pyarrow, which reads Parquet files, is not installed; {hint}") from None
        self.path = path
        self._bytes_in = File(path).size
        self._stamp = stamp_of(path)
        self._lock = threading.Lock()
        self._passages: deque[_Passage] = deque(maxlen=MOST_PASSAGES)
        self._at_once: dict[int, int | ImageError] = {}
        opened = self._reader()
        self._metadata: Any = opened.metadata
        self._column, self._names = _columns(opened.schema_arrow)
        groups = (self._metadata.row_group(i).num_rows for i in range(self._metadata.num_row_groups))
        self._starts = [0, *accumulate(groups)]
        if self._starts[-1] != self._metadata.num_rows or self._starts[-1] > self._bytes_in or min(self._starts) < 0:
            raise damaged("it says that it has more rows than it can have")

    def file(self) -> str:
        """See `Archive.file`."""
        return ""

    def entries(self) -> Iterator[Entry]:
        """See `Archive.entries`."""
        rows = self._starts[-1]
        if not self._names:
            yield from (self._entry("", row) for row in range(rows))
            return
        row = 0
        largest = max((self._largest_page(group, self._names) for group in range(len(self._starts) - 1)), default=0)
        at_once = _rows_at_once(NAMED_ROWS, largest)
        batches = _parts(self._reader().iter_batches(at_once, columns=[self._names], use_threads=False))
        for batch in batches:
            for name in _values(batch):
                yield self._entry(name, row)
                row += 1
        if row != rows:
            raise damaged(f"it has {row:,} of {rows:,} names")

    def entry(self, position: int) -> Entry:
        """See `Archive.entry`; its name is not looked up again."""
        return self._entry("", position)

    def read(self, position: int) -> bytes:
        """See `Archive.read`."""
        group = bisect_right(self._starts, position) - 1
        if not 0 <= group < len(self._starts) - 1:
            raise damaged(f"it has no row {position:,}")
        with self._lock:
            passage = next((passage for passage in self._passages if passage.leads_to(group, position)), None)
            if passage is None:
                at_once = self._images_at_once(group)
                passage = _Passage(self._reader(), self._column, group, self._starts[group], at_once)
                self._passages.append(passage)
            value = passage.value(position)
        if value is None:
            raise ImageError("EmptyFile", "the row has no bytes")
        check_size(len(value))
        return bytes(value)

    def _entry(self, name: object, row: int) -> Entry:
        text = os.fsdecode(name) if isinstance(name, str | bytes) else "" if name is None else str(name)
        text = clean(text) or f"row-{row:06}"
        return Entry(text if _HAS_SUFFIX.search(text) else text + SUFFIX, row, f"{self._stamp}-{row}")

    def _images_at_once(self, group: int) -> int:
        """Returns how many rows of a group are read at once.

        Raises:
            ImageError: If a page of it is far larger than what it is packed in.
        """
        if group not in self._at_once:
            try:
                self._at_once[group] = _rows_at_once(ROWS, self._largest_page(group, self._column))
            except ImageError as error:
                self._at_once[group] = error
        rows = self._at_once[group]
        if isinstance(rows, ImageError):
            raise ImageError(rows.kind, str(rows))
        return rows

    def _largest_page(self, group: int, name: str) -> int:
        file, row_group = File(self.path), self._metadata.row_group(group)
        chunks = (row_group.column(number) for number in range(row_group.num_columns))
        return max((largest_page(file, chunk) for chunk in chunks if chunk.path_in_schema == name), default=0)

    def _reader(self) -> Any:
        import pyarrow
        from pyarrow.parquet import ParquetFile

        metadata = getattr(self, "_metadata", None)
        try:
            return ParquetFile(self.path, metadata=metadata, pre_buffer=False, buffer_size=BUFFER)
        except pyarrow.ArrowException as error:
            raise damaged(f"not a Parquet file: {_first_line(error)}") from error


class _Passage:
    """A way through a row group, with the rows that were passed last."""

    def __init__(self, reader: Any, column: str, group: int, first: int, at_once: int) -> None:
        batches = reader.iter_batches(at_once, row_groups=[group], columns=[column], use_threads=False)
        self._batches = _parts(batches)
        self._group = group
        self._first, self._next = first, first
        self._kept: deque[Any] = deque()
        self._bytes = 0

    def leads_to(self, group: int, row: int) -> bool:
        """Tells whether a row lies ahead, or not far behind."""
        return group == self._group and row >= self._first

    def value(self, row: int) -> Any:
        """Returns the bytes of a row, None if it has none.

        Raises:
            ImageError: If it cannot be read.
        """
        while row >= self._next:
            batch = next(self._batches, None)
            if batch is None:
                raise damaged(f"its row group ends before row {row:,}")
            self._keep(batch)
        batch, at = self._kept[0], row - self._first
        for batch in self._kept:
            if at < len(batch):
                break
            at -= len(batch)
        return batch[at].as_buffer() if batch[at].is_valid else None

    def _keep(self, batch: Any) -> None:
        self._kept.append(batch)
        self._next += len(batch)
        self._bytes += batch.nbytes
        while self._bytes > KEPT_BYTES and len(self._kept) > 1:
            gone = self._kept.popleft()
            self._first += len(gone)
            self._bytes -= gone.nbytes


def _rows_at_once(most: int, page: int) -> int:
    return max(1, min(most, AT_ONCE_BYTES // max(1, page)))


def _parts(batches: Iterator[Any]) -> Iterator[Any]:
    """Yields batches of one column: the innermost part of a column that has parts."""
    import pyarrow

    errors = pyarrow.ArrowException, OSError, ValueError  # at the interpreter's end the module may be gone before this
    try:
        for batch in batches:
            column = batch.column(0)
            while pyarrow.types.is_struct(column.type):
                column = column.field(0)
            yield column
    except errors as error:
        raise damaged(f"it cannot be read: {_first_line(error)}") from error


def _values(column: Any) -> list[Any]:
    import pyarrow

    if pyarrow.types.is_string(column.type):  # which may be no UTF-8
        column = column.view(pyarrow.binary())
    elif pyarrow.types.is_large_string(column.type):
        column = column.view(pyarrow.large_binary())
    return column.to_pylist()  # type: ignore[no-any-return]


def _columns(schema: Any) -> tuple[str, str]:
    """Returns the columns of images and of names; the second is empty if there is none.

    Raises:
        ImageError: If it cannot be told which column holds images.
    """
    fields = {field.name: field.type for field in schema}
    images = {name: place for name, kind in fields.items() if (place := _place_of_bytes(name, kind))}
    found = next((name for name in IMAGES if name in images), None)
    if found is None:
        if len(images) != 1:
            seen = ", ".join(sorted(fields)) or "none"
            raise damaged(f"no column of images, such as {IMAGES[0]} or {IMAGES[2]}; its columns: {seen}")
        (found,) = images
    if images[found] != found and (own := _part(fields[found], "path")) is not None:
        return images[found], f"{found}.{own}"
    return images[found], next((name for name in NAMES if name in fields and _is_name(fields[name])), "")


def _place_of_bytes(name: str, kind: Any) -> str:
    """Returns the path of a column that holds bytes, itself or in a part of that name; empty for another column."""
    if _is_binary(kind):
        return name
    part = _part(kind, "bytes")
    return f"{name}.{part}" if part is not None else ""


def _part(kind: Any, name: str) -> str | None:
    import pyarrow

    if not pyarrow.types.is_struct(kind):
        return None
    wanted = _is_binary if name == "bytes" else _is_name
    return next((part.name for part in kind if part.name == name and wanted(part.type)), None)


def _is_binary(kind: Any) -> bool:
    import pyarrow

    return bool(pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind))


def _is_name(kind: Any) -> bool:
    import pyarrow

    kinds = pyarrow.types
    return bool(kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_integer(kind))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
