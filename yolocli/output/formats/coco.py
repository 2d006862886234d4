"""coco: COCO's results, a flat list of objects; and a dataset without annotations that says what its ids stand for."""

from __future__ import annotations

from contextlib import ExitStack

from yolocli.output.formats.base import Context, Format
from yolocli.output.formats.coco_parts import Parts
from yolocli.output.formats.json_stream import JsonList, begins, to_ascii_json
from yolocli.output.sink import File
from yolocli.results import Outcome

HEAD = b'{"info": {"description": "Images of a yolocli run"},\n"annotations": [],\n"images": ['
RESULTS = File("coco.json", start=begins(b'[\n{"image_id": ', b"[\n]\n"))
IMAGES = File("images.json", start=HEAD[:51])
ONLY_IN_DATASETS = ("area", "num_keypoints")


class Coco:
    """See `Writer`."""

    def __init__(self, context: Context) -> None:
        self._stack = ExitStack()
        self._parts = Parts(context, RESULTS.name)
        self._results = self._stack.enter_context(context.sink.open(RESULTS.name))
        self._images = self._stack.enter_context(context.sink.open(IMAGES.name))
        self._results.write(b"[")
        self._images.write(HEAD)
        self._result_list, self._image_list = JsonList(self._results), JsonList(self._images)

    def add(self, outcome: Outcome) -> None:
        """See `Writer.add`."""
        if taken := self._parts.take(outcome):
            image, objects = taken
            self._image_list.add(image)
            for entry in objects:
                self._result_list.add({name: entry[name] for name in entry if name not in ONLY_IN_DATASETS})

    def close(self) -> None:
        """See `Writer.close`."""
        self._results.write(b"\n]\n")
        self._images.write(b'\n],\n"categories": ' + to_ascii_json(self._parts.end()) + b"}\n")
        self._stack.close()


FORMAT = Format(final=Coco, files=(RESULTS, IMAGES))
