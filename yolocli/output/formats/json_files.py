"""json: a JSON file for each image."""

from __future__ import annotations

from typing import ClassVar

from yolocli.output.folder import OutputFolder
from yolocli.results import Outcome, to_json_file


class JsonFiles:
    """See `Exporter`."""

    live: ClassVar[bool] = True
    files: ClassVar[tuple[str, ...]] = ("json",)

    def __init__(self, folder: OutputFolder, timings: bool) -> None:
        self._folder = folder
        self._timings = timings

    def add(self, outcome: Outcome) -> None:
        """See `Exporter.add`."""
        data = to_json_file(outcome.to_dict(timings=self._timings))
        self._folder.write_image("json", outcome.path, ".json", data)

    def holds(self, path: str) -> bool:
        """See `LiveExporter.holds`."""
        return self._folder.has_image("json", path, ".json")

    def close(self) -> None:
        """See `Exporter.close`."""
