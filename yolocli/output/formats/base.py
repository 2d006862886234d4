"""The seam between a run and an output format."""

from __future__ import annotations

from typing import ClassVar, Protocol, runtime_checkable

from yolocli.output.folder import OutputFolder
from yolocli.results import Outcome


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
