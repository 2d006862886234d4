"""json: a JSON file for each image."""

from __future__ import annotations

from yolocli.output.formats.base import Context, Format
from yolocli.output.sink import ImageFiles
from yolocli.results import Outcome, to_json_file

FILES = ImageFiles("json", ".json", start=b'{\n  "schema": 1,\n  "path": "')


class JsonFiles:
    """See `Writer`."""

    def __init__(self, context: Context) -> None:
        self._sink = context.sink
        self._timings = context.timings

    def add(self, outcome: Outcome) -> None:
        """See `Writer.add`."""
        self._sink.write_image(FILES, outcome.path, to_json_file(outcome.to_dict(timings=self._timings)))

    def close(self) -> None:
        """See `Writer.close`."""


FORMAT = Format(live=JsonFiles, images=(FILES,))
