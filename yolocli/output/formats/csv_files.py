"""csv-per-image: a table of detections for each image, with its header even when empty."""

from __future__ import annotations

import io

from yolocli.output.formats.base import Context, Format
from yolocli.output.formats.tables import SOURCE, csv_table, safe_cell, safe_cells
from yolocli.output.sink import ImageFiles
from yolocli.results import ImageResult, Outcome
from yolocli.tasks import find_task

FILES = ImageFiles("csv", ".csv", start=b"name,class,")


class CsvFiles:
    """See `Writer`."""

    def __init__(self, context: Context) -> None:
        self._sink = context.sink
        self._task = find_task(context.task, "the output folder")

    def add(self, outcome: Outcome) -> None:
        """See `Writer.add`."""
        text = io.StringIO(newline="")
        table = csv_table(text, (*self._task.columns, SOURCE))
        if isinstance(outcome, ImageResult):
            source = safe_cell(outcome.ref.source)
            table.writerows((*safe_cells(self._task.cells(one)), source) for one in outcome.detections)
        self._sink.write_image(FILES, outcome.path, text.getvalue().encode("utf-8", "backslashreplace"))

    def close(self) -> None:
        """See `Writer.close`."""


FORMAT = Format(live=CsvFiles, images=(FILES,))
