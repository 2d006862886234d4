"""A format that is none of the product's: what somebody who adds one writes, but for the row."""

from __future__ import annotations

import re
from contextlib import ExitStack
from dataclasses import dataclass

from yolocli.output.formats.base import Context, Format
from yolocli.output.sink import File, ImageFiles
from yolocli.results import ImageResult, Outcome

COUNTS = File("counts.txt", start=b"task ")
LABELS = ImageFiles("labels", ".txt", start=re.compile(rb"(\d+ )*(\d+)?\n?$"))
"""One line of class ids, as files of many programs that have no head to be known by."""


@dataclass(frozen=True)
class Options:
    """Attributes.

    least_count: Images with fewer boxes are not in the table.
    names: Put class names into the table.
    """

    least_count: int = 0
    names: bool = False


class Labels:
    """See `Writer`."""

    def __init__(self, context: Context) -> None:
        self._sink = context.sink

    def add(self, outcome: Outcome) -> None:
        """Writes the classes of an image; nothing for one that failed."""
        if isinstance(outcome, ImageResult):
            ids = " ".join(str(box.class_id) for box in outcome.detections)
            self._sink.write_image(LABELS, outcome.path, f"{ids}\n".encode())

    def close(self) -> None:
        """See `Writer.close`."""


class Counts:
    """See `Writer`."""

    def __init__(self, context: Context) -> None:
        self._options: Options = context.options
        self._stack = ExitStack()
        self._stream = self._stack.enter_context(context.sink.open(COUNTS.name))
        names = ",".join(context.names.values()) if self._options.names else ""
        roots = len(context.roots)
        self._stream.write(f"task {context.task} mode {context.settings['mode']} roots {roots} {names}\n".encode())

    def add(self, outcome: Outcome) -> None:
        """Writes a row."""
        if isinstance(outcome, ImageResult) and len(outcome.detections) >= self._options.least_count:
            self._stream.write(f"{outcome.path} {len(outcome.detections)}\n".encode())

    def close(self) -> None:
        """See `Writer.close`."""
        self._stack.close()


FORMAT = Format(live=Labels, final=Counts, images=(LABELS,), files=(COUNTS,), options=Options())
