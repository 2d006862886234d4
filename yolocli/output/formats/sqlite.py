"""sqlite: a database of images, detections and the run. What is nested is a text of JSON there."""

from __future__ import annotations

import errno
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from typing import Any, TypeAlias

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
    to_text,
)
from yolocli.output.sink import File
from yolocli.results import ImageResult, Outcome
from yolocli.tasks.fields import Kind

APPLICATION = int.from_bytes(b"yolo", "big")
"""What the header of the file has at its place for the program that it belongs to."""
_HEAD, _AT = b"SQLite format 3\0", 68
_BETWEEN = _AT - len(_HEAD)
_TORN = rb"[%b]{0,%d}\Z|%b.{0,%d}\Z" % (_HEAD, len(_HEAD) - 1, _HEAD, _BETWEEN + 3)
START = re.compile(rb"(?s)%b.{%d}yolo|" % (_HEAD, _BETWEEN) + _TORN)
"""See https://www.sqlite.org/fileformat2.html#the_database_header."""
NAME = "results.sqlite"
DATABASE = File(NAME, START, in_use=(f"{NAME}-wal", f"{NAME}-journal"))

_SETTINGS = (
    "PRAGMA page_size = 4096",
    "PRAGMA auto_vacuum = NONE",
    "PRAGMA encoding = 'UTF-8'",
    f"PRAGMA application_id = {APPLICATION}",
    "PRAGMA journal_mode = OFF",  # the file is nobody's before it is whole
    "PRAGMA synchronous = OFF",  # as for all files: what makes them durable comes at the end of the run
    "PRAGMA foreign_keys = ON",
)
_INDEXES = (
    "CREATE INDEX images_status ON images (status)",
    "CREATE INDEX detections_image ON detections (image)",
    "CREATE INDEX detections_name ON detections (name)",
)
_TYPES: Mapping[type, str] = {int: "INTEGER", float: "REAL", str: "TEXT"}
NESTED = "TEXT"
COUNT: Mapping[str, Kind] = {"detections": int}
IMAGE: Mapping[str, Kind] = {"image": int}
"""The number of an image, which is its place in input order."""

_Add: TypeAlias = Callable[[Iterable[Mapping[str, Any]]], None]


class Sqlite:
    """See `Writer`."""

    def __init__(self, context: Context) -> None:
        self._timings = context.timings
        self._stack = ExitStack()
        path = self._stack.enter_context(context.sink.build(DATABASE))
        with _as_errors_of_files():
            self._database = self._stack.enter_context(closing(sqlite3.connect(path, isolation_level=None)))
            self._number = 0
            for setting in _SETTINGS:
                self._database.execute(setting)
            self._database.execute("BEGIN")
            self._make_run(facts(context))
            images = {**PATH, **SIZE, **COUNT, **image_columns(context), **FAILURE}
            self._add_images = self._make("images", images, "UNIQUE (path)")
            detections = {**IMAGE, **detection_columns(context)}
            self._add_detections = self._make("detections", detections, "FOREIGN KEY (image) REFERENCES images (id)")
            for index in _INDEXES:  # at once, as to make one later takes files in the system's own temporary folder
                self._database.execute(index)

    def add(self, outcome: Outcome) -> None:
        """See `Writer.add`."""
        self._number += 1
        row = image_row(outcome, self._timings)
        with _as_errors_of_files():
            if isinstance(outcome, ImageResult):
                self._add_images([row | {"detections": len(outcome.detections)}])
                self._add_detections(detection_row(one) | {"image": self._number} for one in outcome.detections)
            else:
                self._add_images([row])

    def close(self) -> None:
        """See `Writer.close`."""
        with _as_errors_of_files():
            self._database.execute("COMMIT")
        self._stack.close()

    def _make_run(self, told: Mapping[str, str]) -> None:
        self._database.execute("CREATE TABLE run (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
        self._database.executemany("INSERT INTO run VALUES (?, ?)", told.items())

    def _make(self, table: str, columns: Mapping[str, Kind], *constraints: str) -> _Add:
        """Makes a table, whose rows are numbered from 1; returns what adds rows to it."""
        typed = [f'"{name}" {_type(kind)}' for name, kind in columns.items()]
        self._database.execute(f"CREATE TABLE {table} ({', '.join(('id INTEGER PRIMARY KEY', *typed, *constraints))})")
        insert = f"INSERT INTO {table} VALUES (NULL{', ?' * len(columns)})"

        def add(rows: Iterable[Mapping[str, Any]]) -> None:
            self._database.executemany(insert, (tuple(_cell(row.get(name)) for name in columns) for row in rows))

        return add


@contextmanager
def _as_errors_of_files() -> Iterator[None]:
    """Raises an OSError in place of an error of the database, which, as it is made here, is one of the disk."""
    try:
        yield
    except sqlite3.Error as error:
        raise OSError(errno.EIO, str(error)) from error


def _type(kind: Kind) -> str:
    return _TYPES.get(kind, NESTED) if isinstance(kind, type) else NESTED


def _cell(value: Any) -> Any:
    return to_text(value) if isinstance(value, (dict, list)) else value


FORMAT = Format(final=Sqlite, files=(DATABASE,))
