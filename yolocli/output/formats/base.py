"""The seam between a run and an output format."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from typing import Any, ClassVar, Protocol, TextIO, runtime_checkable

from yolocli.output.folder import OutputFolder
from yolocli.results import Outcome
from yolocli.tasks.detect import Detect

SOURCE = "source"
"""Last column of every table: what opens the image."""
BOX_COLUMNS = Detect.columns
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class Exporter(Protocol):
    """Writes outcomes in one format; see the rules for each `live` value.

    Attributes:
        live: True for formats with a file per image: `add` is called as images end, in any order, perhaps again for an
            image. False for formats with one file for all: `add` is called in input order, once for each image, and
            nothing appears before `close`.
    """

    live: ClassVar[bool]

    def add(self, outcome: Outcome) -> None:
        """Takes one outcome.

        Raises:
            OutputError: If it cannot be written.
        """
        ...

    def close(self) -> None:
        """Publishes what has been added.

        Raises:
            OutputError: If it cannot be written.
        """
        ...


@runtime_checkable
class LiveExporter(Exporter, Protocol):
    """An exporter with a file per image."""

    def holds(self, path: str) -> bool:
        """Tells whether the file of an image is there, and not empty."""
        ...


class ExporterFactory(Protocol):
    """What the registry holds: a class of exporters.

    Attributes:
        live: See `Exporter`.
        files: What it writes into the output folder: files, or a sub-folder with a file for each image.
    """

    live: ClassVar[bool]
    files: ClassVar[tuple[str, ...]]

    def __call__(self, folder: OutputFolder, timings: bool) -> Exporter:
        """Makes an exporter that writes into a folder, with the milliseconds of each stage if asked."""
        ...


def safe_cell(text: str) -> str:
    """Returns text that a spreadsheet takes for text: a leading quote keeps it from being run as a formula.

    After OWASP's advice on CSV injection. Text that has such a quote of its own gets another, so that taking one away
    gives back every text.
    """
    return f"'{text}" if text.startswith((*FORMULA_STARTS, "'")) else text


class Table(Protocol):
    """What `csv.writer` returns."""

    def writerow(self, row: Iterable[Any], /) -> Any:
        """Writes a row."""
        ...

    def writerows(self, rows: Iterable[Iterable[Any]], /) -> Any:
        """Writes rows."""
        ...


def csv_table(stream: TextIO, columns: Iterable[str]) -> Table:
    """Starts a CSV table: RFC 4180, but with lines that end as on Unix, so that `cut` and `awk` see no stray character.

    Args:
        stream: Made with `newline=""`.
        columns: The header.
    """
    table = csv.writer(_Unix(stream))
    table.writerow(columns)
    return table


class _Unix:
    """Takes the rows of a csv.writer, which quotes line breaks in cells only if its rows end in the same characters."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, row: str) -> int:
        return self._stream.write(row[:-2] + "\n")
