"""CSV tables that every program reads alike, and no spreadsheet runs as formulas."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from typing import Any, Protocol, TextIO

SOURCE = "source"
"""Last column of every table: what opens the image."""
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def safe_cell(text: str) -> str:
    """Returns text that a spreadsheet takes for text: a leading quote keeps it from being run as a formula.

    After OWASP's advice on CSV injection. Text that has such a quote of its own gets another, so that taking one away
    gives back every text.
    """
    return f"'{text}" if text.startswith((*FORMULA_STARTS, "'")) else text


def safe_cells(cells: Iterable[str | float]) -> list[str | float]:
    """Returns the cells of a row, texts as `safe_cell` returns them."""
    return [safe_cell(cell) if isinstance(cell, str) else cell for cell in cells]


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
