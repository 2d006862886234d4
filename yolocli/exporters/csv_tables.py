"""csv: one table of detections and one of images, RFC 4180."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar, Protocol

from yolocli.exporters.base import BOX_COLUMNS, safe_cell
from yolocli.folder import OutputFolder
from yolocli.results import ImageResult, Outcome


class Table(Protocol):
    """What `csv.writer` returns."""

    def writerow(self, row: Iterable[Any], /) -> Any:
        """Writes a row."""
        ...


class CsvTables:
    """See `Exporter`."""

    live: ClassVar[bool] = False

    def __init__(self, folder: OutputFolder, timings: bool) -> None:
        self._stack = ExitStack()
        self._detections = self._table(folder, "detections.csv", ("path", *BOX_COLUMNS))
        columns = ("path", "status", "width", "height", "detections", "stage", "error")
        self._images = self._table(folder, "images.csv", columns)

    def add(self, outcome: Outcome) -> None:
        """See `Exporter.add`."""
        path = safe_cell(outcome.path)
        if isinstance(outcome, ImageResult):
            count = len(outcome.detections)
            self._images.writerow((path, outcome.status, outcome.width, outcome.height, count, "", ""))
            for box in outcome.detections:
                self._detections.writerow((path, safe_cell(box.name), box.class_id, box.confidence, *box.xyxy))
        else:
            error = safe_cell(outcome.error)
            self._images.writerow((path, outcome.status, "", "", "", outcome.stage, error))

    def close(self) -> None:
        """See `Exporter.close`."""
        self._stack.close()

    def _table(self, folder: OutputFolder, name: str, columns: tuple[str, ...]) -> Table:
        stream = self._stack.enter_context(folder.open(Path(name)))
        text = io.TextIOWrapper(stream, "utf-8", "backslashreplace", newline="")
        self._stack.callback(text.detach)
        self._stack.callback(text.flush)
        table = csv.writer(text)
        table.writerow(columns)
        return table
