"""csv-per-image: a table of detections for each image, with its header even when empty."""

from __future__ import annotations

import io
from typing import ClassVar

from yolocli.output.folder import OutputFolder
from yolocli.output.formats.tables import BOX_COLUMNS, SOURCE, csv_table, safe_cell
from yolocli.results import ImageResult, Outcome


class CsvFiles:
    """See `Exporter`."""

    live: ClassVar[bool] = True
    files: ClassVar[tuple[str, ...]] = ("csv",)

    def __init__(self, folder: OutputFolder, timings: bool) -> None:
        self._folder = folder

    def add(self, outcome: Outcome) -> None:
        """See `Exporter.add`."""
        text = io.StringIO(newline="")
        table = csv_table(text, (*BOX_COLUMNS, SOURCE))
        if isinstance(outcome, ImageResult):
            source = safe_cell(outcome.ref.source)
            table.writerows(
                (safe_cell(box.name), box.class_id, box.confidence, *box.xyxy, source) for box in outcome.detections
            )
        data = text.getvalue().encode("utf-8", "backslashreplace")
        self._folder.write_image("csv", outcome.path, ".csv", data)

    def holds(self, path: str) -> bool:
        """See `LiveExporter.holds`."""
        return self._folder.has_image("csv", path, ".csv")

    def close(self) -> None:
        """See `Exporter.close`."""
