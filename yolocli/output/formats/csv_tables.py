"""csv: one table of detections and one of images, quoted as in RFC 4180, lines ended as on Unix."""

from __future__ import annotations

import io
from contextlib import ExitStack

from yolocli.output.formats.base import Context, Format
from yolocli.output.formats.tables import BOX_COLUMNS, SOURCE, Table, csv_table, safe_cell
from yolocli.output.sink import File, Sink
from yolocli.results import ImageResult, Outcome

DETECTIONS = File("detections.csv", start=b"path,name,class,confidence,x1,")
IMAGES = File("images.csv", start=b"path,status,width,height,detections,")


class CsvTables:
    """See `Writer`."""

    def __init__(self, context: Context) -> None:
        self._stack = ExitStack()
        self._detections = self._table(context.sink, DETECTIONS, ("path", *BOX_COLUMNS, SOURCE))
        columns = ("path", "status", "width", "height", "detections", "stage", "error", SOURCE)
        self._images = self._table(context.sink, IMAGES, columns)

    def add(self, outcome: Outcome) -> None:
        """See `Writer.add`."""
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
        """See `Writer.close`."""
        self._stack.close()

    def _table(self, sink: Sink, file: File, columns: tuple[str, ...]) -> Table:
        stream = self._stack.enter_context(sink.open(file.name))
        text = io.TextIOWrapper(stream, "utf-8", "backslashreplace", newline="")
        self._stack.callback(text.detach)
        self._stack.callback(text.flush)
        return csv_table(text, columns)


FORMAT = Format(final=CsvTables, files=(DETECTIONS, IMAGES))
