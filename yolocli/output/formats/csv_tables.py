"""csv: one table of detections and one of images, quoted as in RFC 4180, lines ended as on Unix."""

from __future__ import annotations

import io
from contextlib import ExitStack

from yolocli.output.formats.base import Context, Format
from yolocli.output.formats.tables import SOURCE, Table, csv_table, safe_cell, safe_cells
from yolocli.output.sink import File, Sink
from yolocli.results import ImageResult, Outcome
from yolocli.tasks import find_task

DETECTIONS = File("detections.csv", start=b"path,name,class,")
IMAGES = File("images.csv", start=b"path,status,width,height,detections,")


class CsvTables:
    """See `Writer`."""

    def __init__(self, context: Context) -> None:
        self._stack = ExitStack()
        self._task = find_task(context.task, "the output folder")
        self._detections = self._table(context.sink, DETECTIONS, ("path", *self._task.columns, SOURCE))
        columns = ("path", "status", "width", "height", "detections", "stage", "error", SOURCE)
        self._images = self._table(context.sink, IMAGES, columns)

    def add(self, outcome: Outcome) -> None:
        """See `Writer.add`."""
        path, source = safe_cell(outcome.path), safe_cell(outcome.ref.source)
        if isinstance(outcome, ImageResult):
            count = len(outcome.detections)
            self._images.writerow((path, outcome.status, outcome.width, outcome.height, count, "", "", source))
            for detection in outcome.detections:
                self._detections.writerow((path, *safe_cells(self._task.cells(detection)), source))
        else:
            error = safe_cell(outcome.error)
            self._images.writerow((path, outcome.status, "", "", "", outcome.stage, error, source))

    def close(self) -> None:
        """See `Writer.close`."""
        self._stack.close()

    def _table(self, sink: Sink, file: File, columns: tuple[str, ...]) -> Table:
        stream = self._stack.enter_context(sink.open(file.name))
        text = io.TextIOWrapper(stream, "utf-8", "backslashreplace", newline="")
        self._stack.callback(text.detach)
        self._stack.callback(text.flush)
        return csv_table(text, columns)


FORMAT = Format(final=CsvTables, files=(DETECTIONS, IMAGES))
