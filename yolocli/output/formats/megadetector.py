"""megadetector: what camera trap programs read, such as Timelapse (https://lila.science/megadetector-output-format)."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from yolocli.images.exif import moment_of
from yolocli.output.formats.base import Context, Format
from yolocli.output.formats.json_stream import JsonList, to_ascii_json, unicode_name
from yolocli.output.formats.left_out import LeftOut
from yolocli.output.sink import File
from yolocli.results import Box, Detection, ImageResult, Outcome
from yolocli.tasks import find_task

HEAD = b'{"info": {"written_by": "yolocli", "format_version": "1.6"'
RESULTS = File("megadetector.json", start=HEAD)
SHARE_DIGITS = 6
"""Decimals kept of a share of a side: less than a hundredth of a pixel of a picture of 8K."""
WHOLE = (0.0, 0.0, 1.0, 1.0)
IMAGE = "1"
"""The category of a detection that is the image as a whole: it is to detections that classes are given."""


class MegaDetector:
    """See `Writer`."""

    def __init__(self, context: Context) -> None:
        self._task = find_task(context.task, "the output folder")
        self._names = dict(context.names)
        self._left_out = LeftOut(context, RESULTS.name)
        self._stack = ExitStack()
        self._stream = self._stack.enter_context(context.sink.open(RESULTS.name))
        self._stream.write(HEAD + b', "detector": ' + to_ascii_json(context.model_name) + b'},\n"images": [')
        self._images = JsonList(self._stream)

    def add(self, outcome: Outcome) -> None:
        """See `Writer.add`."""
        image: dict[str, Any] = {"file": unicode_name(outcome.path)}
        if isinstance(outcome, ImageResult):
            if moment := moment_of(outcome.more):
                image["datetime"] = moment.replace("-", ":").replace("T", " ")  # as EXIF has it
            self._images.add(image | {"detections": self._detections(outcome)})
        else:
            failure = f"{outcome.stage}: {outcome.error}: {unicode_name(outcome.message)}"
            self._images.add(image | {"failure": failure, "detections": None})

    def close(self) -> None:
        """See `Writer.close`."""
        names = {_category(index): name.strip() or str(index) for index, name in sorted(self._names.items())}
        categories: dict[str, Any] = {"detection_categories": names}
        if self._task.whole:
            categories = {"detection_categories": {IMAGE: "image"}, "classification_categories": names}
        self._stream.write(b"\n],\n" + to_ascii_json(categories)[1:] + b"\n")
        self._stack.close()
        self._left_out.tell()

    def _detections(self, outcome: ImageResult) -> list[dict[str, Any]]:
        found, classes = [], []
        for record in outcome.detections:
            box = self._task.shape(record).box
            if record.confidence is None:
                self._left_out.add(f"records of {self._task.name} models")
                continue
            self._names.setdefault(record.class_id, record.name)
            if box is None:
                classes.append([_category(record.class_id), record.confidence])
            else:
                found.append(
                    _detection(_category(record.class_id), record, _shares(box, outcome.width, outcome.height))
                )
        if classes:
            found.append(_detection(IMAGE, outcome.detections[0], WHOLE) | {"classifications": classes})
        return found


def _category(class_id: int) -> str:
    """Returns the id of a category: "0" is taken for an empty image."""
    return str(class_id + 1)


def _detection(category: str, record: Detection, shares: Box) -> dict[str, Any]:
    return {"category": category, "conf": float(record.confidence or 0), "bbox": list(shares)}


def _shares(box: Box, width: int, height: int) -> Box:
    """Returns left, top, width and height of what lies in the image, as shares of its sides."""
    left, right = (min(max(value / width, 0.0), 1.0) for value in box[::2])
    top, bottom = (min(max(value / height, 0.0), 1.0) for value in box[1::2])
    x, y, across, down = (round(value, SHARE_DIGITS) for value in (left, top, right - left, bottom - top))
    return x, y, across, down


FORMAT = Format(final=MegaDetector, files=(RESULTS,))
