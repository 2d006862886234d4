"""The seam between a run and an output format."""

from __future__ import annotations

from typing import ClassVar, Protocol

from yolocli.folder import OutputFolder
from yolocli.results import Outcome

BOX_COLUMNS = ("name", "class", "confidence", "x1", "y1", "x2", "y2")
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


class ExporterFactory(Protocol):
    """What the registry holds: a class of exporters."""

    live: ClassVar[bool]

    def __call__(self, folder: OutputFolder, timings: bool) -> Exporter:
        """Makes an exporter that writes into a folder, with the milliseconds of each stage if asked."""
        ...


def safe_cell(text: str) -> str:
    """Returns text that a spreadsheet takes for text: a leading quote keeps it from being run as a formula.

    After OWASP's advice on CSV injection.
    """
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
