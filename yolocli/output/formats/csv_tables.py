"""csv: one table of detections and one of images, quoted as in RFC 4180, lines ended as on Unix."""

from __future__ import annotations

import io
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

from yolocli.output.folder import OutputFolder
from yolocli.output.formats.tables import BOX_COLUMNS, SOURCE, Table, csv_table, safe_cell
from yolocli.results import ImageResult, Outcome


class CsvTables:
    """See `Exporter`."""

    live: ClassVar[bool] = False
    files: ClassVar[tuple[str, ...]] = ("detections.csv", "images.csv")

    def __init__(self, folder: OutputFolder, timings: bool) -> None:
        self._stack = ExitStack()
        self._detections = self._table(folder, "detections.csv", ("path", *BOX_COLUMNS, SOURCE))
        columns = ("path", "status", "width", "height", "detections", "stage", "error", SOURCE)
        self._images = self._table(folder, "images.csv", columns)

    def add(self, outcome: Outcome) -> None:
        """See `Exporter.add`."""
        path, source = safe_cell(outcome.path), safe_cell(outcome.ref.source)
        if isinstance(outcome, ImageResult):
            count = len(outcome.detections)
            self._images.writerow((path, outcome.status, outcome.width, outcome.height, count, "", "", source))
            for box in outcome.detections:
                row = (path, safe_cell(box.name), box.class_id, box.confidence, *box.xyxy, source)
                self._detections.writerow(row)
        else:
            error = safe_cell(outcome.error)
            self._images.writerow((path, outcome.status, "", "", "", outcome.stage, error, source))

    def close(self) -> None:
        """See `Exporter.close`."""
        self._stack.close()

    def _table(self, folder: OutputFolder, name: str, columns: tuple[str, ...]) -> Table:
        stream = self._stack.enter_context(folder.open(Path(name)))
        text = io.TextIOWrapper(stream, "utf-8", "backslashreplace", newline="")
        self._stack.callback(text.detach)
        self._stack.callback(text.flush)
        return csv_table(text, columns)
