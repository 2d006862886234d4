"""coco-dataset: a COCO dataset of what was found, with the images in which nothing was."""

from __future__ import annotations

import shutil
from contextlib import ExitStack

from yolocli.output.formats.base import Context, Format
from yolocli.output.formats.coco_parts import Parts
from yolocli.output.formats.json_stream import JsonList, to_ascii_json
from yolocli.output.sink import File
from yolocli.results import Outcome

HEAD = b'{"info": {"description": "Found by yolocli"},\n"annotations": ['
DATASET = File("coco-dataset.json", start=HEAD[:45])


class CocoDataset:
    """See `Writer`. Images are the shorter list, so they are the one that waits until the other is whole."""

    def __init__(self, context: Context) -> None:
        self._stack = ExitStack()
        self._parts = Parts(context, DATASET.name)
        self._stream = self._stack.enter_context(context.sink.open(DATASET.name))
        self._spool = self._stack.enter_context(context.sink.spool())
        self._stream.write(HEAD)
        self._annotations, self._images = JsonList(self._stream), JsonList(self._spool)
        self._count = 0

    def add(self, outcome: Outcome) -> None:
        """See `Writer.add`."""
        if taken := self._parts.take(outcome):
            image, objects = taken
            self._images.add(image)
            for entry in objects:
                self._count += 1
                self._annotations.add({"id": self._count, **entry, "iscrowd": 0})

    def close(self) -> None:
        """See `Writer.close`."""
        self._stream.write(b'\n],\n"images": [')
        self._spool.seek(0)
        shutil.copyfileobj(self._spool, self._stream)
        self._stream.write(b'\n],\n"categories": ' + to_ascii_json(self._parts.end()) + b"}\n")
        self._stack.close()


FORMAT = Format(final=CocoDataset, files=(DATASET,))
