"""parquet: a typed table of images, their detections nested in it, and one with a row for each detection."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, Any

from yolocli.output.formats.base import Context, Format
from yolocli.output.formats.columns import (
    FAILURE,
    PATH,
    SIZE,
    detection_columns,
    detection_row,
    facts,
    image_columns,
    image_row,
)
from yolocli.output.sink import File
from yolocli.results import ImageResult, Outcome
from yolocli.tasks.fields import Each, Kind

if TYPE_CHECKING:
    import pyarrow as pa

MARK = "yolocli"
"""Key of what the metadata at the end of a file holds last, so that it is known for its own."""
START = b"PAR1"
END = re.compile(rb"(?s)(?:%b.*%b|(?<!%b)|\A%b)\Z" % (MARK.encode(), START, START, START))
IMAGES = File("images.parquet", START, end=END)
DETECTIONS = File("detections.parquet", START, end=END)

CONVERTED_AT_ONCE = 1_000
"""Images and detections that are held as Python's objects."""
GROUP_ROWS, GROUP_BYTES = 100_000, 16 << 20
"""A row group is written when it holds as much, before compression: a reader has to hold one in memory."""


class Parquet:
    """See `Writer`."""

    def __init__(self, context: Context) -> None:
        self._timings = context.timings
        self._stack = ExitStack()
        found = detection_columns(context)
        nested = {"detections": Each(found)}
        columns = {**PATH, **SIZE, **nested, **image_columns(context), **FAILURE}
        self._images = self._table(context, IMAGES, columns)
        self._detections = self._table(context, DETECTIONS, {**PATH, **found})

    def add(self, outcome: Outcome) -> None:
        """See `Writer.add`."""
        row = image_row(outcome, self._timings)
        if isinstance(outcome, ImageResult):
            place = {name: row.get(name) for name in PATH}
            row["detections"] = [detection_row(one) for one in outcome.detections]
            for one in row["detections"]:
                self._detections.add({**place, **one})
        self._images.add(row, 1 + len(row.get("detections", ())))

    def close(self) -> None:
        """See `Writer.close`."""
        self._images.end()
        self._detections.end()
        self._stack.close()

    def _table(self, context: Context, file: File, columns: Mapping[str, Kind]) -> _Table:
        stream = self._stack.enter_context(context.sink.open(file.name))
        told = {f"{MARK}.{name}": value for name, value in facts(context).items()}
        return _Table(stream, columns, {**told, MARK: file.name})


class _Table:
    """Rows on their way into a file, in row groups of bounded size."""

    def __init__(self, stream: IO[bytes], columns: Mapping[str, Kind], metadata: Mapping[str, str]) -> None:
        import pyarrow as pa
        from pyarrow.parquet import ParquetWriter

        class Writer(ParquetWriter):  # type: ignore[misc]
            def __del__(self) -> None:
                """Does nothing, where its base writes an end to a file that was given up."""

        self._schema = pa.schema([(name, _arrow(kind)) for name, kind in columns.items()])
        self._metadata = metadata
        # the types are plain ones, which readers know without a copy of the schema
        self._writer = Writer(stream, self._schema, compression="zstd", store_schema=False)
        self._rows: list[dict[str, Any]] = []
        self._weight = 0
        self._batches: list[pa.RecordBatch] = []

    def add(self, row: dict[str, Any], weight: int = 1) -> None:
        """Takes a row, which counts for so many; a column that it does not have is null."""
        self._rows.append(row)
        self._weight += weight
        if self._weight >= CONVERTED_AT_ONCE:
            self._convert()
            rows, size = (sum(getattr(batch, of) for batch in self._batches) for of in ("num_rows", "nbytes"))
            if rows >= GROUP_ROWS or size >= GROUP_BYTES:
                self._write()

    def end(self) -> None:
        """Writes what is left, and the end of the file."""
        self._convert()
        self._write()
        self._writer.add_key_value_metadata(self._metadata)
        self._writer.close()

    def _convert(self) -> None:
        import pyarrow as pa

        if self._rows:
            self._batches.append(pa.RecordBatch.from_pylist(self._rows, self._schema))
        self._rows, self._weight = [], 0

    def _write(self) -> None:
        import pyarrow as pa

        if self._batches:
            self._writer.write_table(pa.Table.from_batches(self._batches), row_group_size=GROUP_ROWS * 2)
        self._batches = []


def _arrow(kind: Kind) -> pa.DataType:
    import pyarrow as pa

    if isinstance(kind, Each):
        return pa.list_(_arrow(kind.kind))
    if isinstance(kind, Mapping):
        return pa.struct([(name, _arrow(inner)) for name, inner in kind.items()])
    return {int: pa.int64(), float: pa.float64(), str: pa.string()}[kind]


FORMAT = Format(final=Parquet, files=(IMAGES, DETECTIONS), needs=("pyarrow", "parquet"))
