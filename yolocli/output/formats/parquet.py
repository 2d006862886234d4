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
DETECTIONS = "detections"
IMAGE_FILE = File("images.parquet", START, end=END)
DETECTION_FILE = File(f"{DETECTIONS}.parquet", START, end=END)

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
        self._found = _schema(found)
        self._plain = _schema({**PATH, **SIZE, **image_columns(context), **FAILURE})
        nested = {**PATH, **SIZE, DETECTIONS: Each(found), **image_columns(context), **FAILURE}
        self._images = self._table(context, IMAGE_FILE, _schema(nested))
        self._detections = self._table(context, DETECTION_FILE, _schema({**PATH, **found}))
        self._rows: list[dict[str, Any]] = []
        self._nested: list[dict[str, Any]] = []
        self._starts: list[int | None] = []
        self._owners: list[int] = []

    def add(self, outcome: Outcome) -> None:
        """See `Writer.add`."""
        found = outcome.detections if isinstance(outcome, ImageResult) else None
        self._starts.append(None if found is None else len(self._nested))
        if found:
            self._owners += [len(self._rows)] * len(found)
            self._nested += map(detection_row, found)
        self._rows.append(image_row(outcome, self._timings))
        if len(self._rows) + len(self._nested) >= CONVERTED_AT_ONCE:
            self._convert()

    def close(self) -> None:
        """See `Writer.close`."""
        self._convert()
        self._images.end()
        self._detections.end()
        self._stack.close()

    def _table(self, context: Context, file: File, schema: pa.Schema) -> _Table:
        stream = self._stack.enter_context(context.sink.open(file.name))
        told = {f"{MARK}.{name}": value for name, value in facts(context).items()}
        return _Table(stream, schema, {**told, MARK: file.name})

    def _convert(self) -> None:
        """Hands on what was added: detections are converted once, for both tables."""
        import pyarrow as pa

        images = pa.RecordBatch.from_pylist(self._rows, self._plain)
        found = pa.RecordBatch.from_pylist(self._nested, self._found)
        starts = pa.array([*self._starts, len(self._nested)], pa.int32())  # where one is null, there is no list
        lists = pa.ListArray.from_arrays(starts, pa.StructArray.from_arrays(found.columns, fields=list(self._found)))
        nested = [lists if name == DETECTIONS else images.column(name) for name in self._images.schema.names]
        owners = pa.array(self._owners, pa.int32())
        self._images.add(pa.RecordBatch.from_arrays(nested, schema=self._images.schema))
        places = [images.column(name).take(owners) for name in PATH]
        self._detections.add(pa.RecordBatch.from_arrays([*places, *found.columns], schema=self._detections.schema))
        self._rows, self._nested, self._starts, self._owners = [], [], [], []


class _Table:
    """Rows on their way into a file, in row groups of bounded size.

    Attributes:
        schema: Of the rows.
    """

    def __init__(self, stream: IO[bytes], schema: pa.Schema, metadata: Mapping[str, str]) -> None:
        from pyarrow.parquet import ParquetWriter

        class Writer(ParquetWriter):  # type: ignore[misc]
            def __del__(self) -> None:
                """Does nothing, where its base writes an end to a file that was given up."""

        self.schema = schema
        self._metadata = metadata
        # the types are plain ones, which readers know without a copy of the schema
        self._writer = Writer(stream, schema, compression="zstd", store_schema=False)
        self._batches: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Takes rows."""
        self._batches.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        if self._rows >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self._write()

    def end(self) -> None:
        """Writes what is left, and the end of the file."""
        if self._rows:
            self._write()
        self._writer.add_key_value_metadata(self._metadata)
        self._writer.close()

    def _write(self) -> None:
        import pyarrow as pa

        self._writer.write_table(pa.Table.from_batches(self._batches), row_group_size=self._rows)
        self._batches, self._rows, self._bytes = [], 0, 0


def _schema(columns: Mapping[str, Kind]) -> pa.Schema:
    import pyarrow as pa

    return pa.schema([(name, _arrow(kind)) for name, kind in columns.items()])


def _arrow(kind: Kind) -> pa.DataType:
    import pyarrow as pa

    if isinstance(kind, Each):
        return pa.list_(_arrow(kind.kind))
    if isinstance(kind, Mapping):
        return pa.struct([(name, _arrow(inner)) for name, inner in kind.items()])
    return {int: pa.int64(), float: pa.float64(), str: pa.string()}[kind]


FORMAT = Format(final=Parquet, files=(IMAGE_FILE, DETECTION_FILE), needs=("pyarrow", "parquet"))
