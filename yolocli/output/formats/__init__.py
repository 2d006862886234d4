"""Output formats: projections of the journal. A new format is one module and one row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from types import MappingProxyType

from yolocli.errors import UsageError
from yolocli.output.folder import OutputFolder
from yolocli.output.formats.base import Exporter, ExporterFactory
from yolocli.output.formats.failures import FAILURES

EXPORTERS: Mapping[str, str] = MappingProxyType(
    {
        "json": "yolocli.output.formats.json_files:JsonFiles",
        "csv": "yolocli.output.formats.csv_tables:CsvTables",
        "csv-per-image": "yolocli.output.formats.csv_files:CsvFiles",
    }
)
PER_IMAGE: Mapping[str, str] = MappingProxyType({"json": ".json", "csv": ".csv"})
"""Sub-folders of the output folder with a file for each image, and the suffix of those files."""
TABLES = ("detections.csv", "images.csv", "failures.jsonl")
"""All else that exporters may put into the output folder."""


def written_by(formats: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Returns what projections may write: files in the output folder, and rows of `PER_IMAGE`.

    Raises:
        UsageError: If there is no such format.
    """
    factories = [exporter_factory(name) for name in formats]
    files = [name for factory in factories for name in factory.files]
    folders = [name for name in files if name in PER_IMAGE]
    return [*(name for name in files if name not in PER_IMAGE), FAILURES], {n: PER_IMAGE[n] for n in folders}


def exporter_factory(name: str) -> ExporterFactory:
    """Returns what makes the exporter of a format.

    Raises:
        UsageError: If there is no such format.
    """
    if name not in EXPORTERS:
        raise UsageError(f"--format {name}: choose from {', '.join(EXPORTERS)}")
    module, _, attribute = EXPORTERS[name].partition(":")
    factory: ExporterFactory = getattr(import_module(module), attribute)
    return factory


def open_exporter(name: str, folder: OutputFolder, timings: bool = False) -> Exporter:
    """Returns an exporter that writes into a folder.

    Raises:
        UsageError: If there is no such format.
    """
    return exporter_factory(name)(folder, timings)
