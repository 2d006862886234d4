"""csv-per-image: a table of detections for each image, with its header even when empty."""

from __future__ import annotations

import io

from yolocli.output.formats.base import Context, Format
from yolocli.output.formats.tables import BOX_COLUMNS, SOURCE, csv_table, safe_cell
from yolocli.output.sink import ImageFiles
from yolocli.results import ImageResult, Outcome

FILES = ImageFiles("csv", ".csv", start=b"name,class,confidence,x1,")


class CsvFiles:
    """See `Writer`."""

    def __init__(self, context: Context) -> None:
        self._sink = context.sink

    def add(self, outcome: Outcome) -> None:
        """See `Writer.add`."""
        text = io.StringIO(newline="")
        table = csv_table(text, (*BOX_COLUMNS, SOURCE))
        if isinstance(outcome, ImageResult):
            source = safe_cell(outcome.ref.source)
            table.writerows(
                (safe_cell(box.name), box.class_id, box.confidence, *box.xyxy, source) for box in outcome.detections
            )
        self._sink.write_image(FILES, outcome.path, text.getvalue().encode("utf-8", "backslashreplace"))

    def close(self) -> None:
        """See `Writer.close`."""


FORMAT = Format(live=CsvFiles, images=(FILES,))
