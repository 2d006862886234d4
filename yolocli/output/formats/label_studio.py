"""label-studio: tasks with predictions, the labelling config that they need, and the lines to start with."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from yolocli.output.formats.base import Context, Format
from yolocli.output.formats.json_stream import JsonList, begins, unicode_name
from yolocli.output.formats.label_studio_place import find_place
from yolocli.output.formats.label_studio_regions import BOX, CHOICE, Controls, Regions, label
from yolocli.output.formats.left_out import FAILURES, LeftOut
from yolocli.output.sink import File
from yolocli.results import CONFIDENCE_DIGITS, ImageResult, Outcome
from yolocli.tasks import find_task

CONFIG_HEAD = "<View>\n  <!-- Written by yolocli for tasks.json -->\n"
STEPS_HEAD = "Written by yolocli: how to look at tasks.json in Label Studio\n"
TASKS = File("tasks.json", start=begins(b'[\n{"data": {"image": "', b"[\n]\n"))
CONFIG = File("label_config.xml", start=CONFIG_HEAD.encode())
STEPS = File("label-studio.txt", start=STEPS_HEAD.encode())


@dataclass(frozen=True)
class Options:
    """What can be asked for.

    Attributes:
        image_root: See `find_place`.
    """

    image_root: str = ""


class LabelStudio:
    """See `Writer`."""

    def __init__(self, context: Context) -> None:
        self._sink = context.sink
        self._names = [label(name, index) for index, name in sorted(context.names.items())]
        self._task = find_task(context.task, "the output folder")
        self._model = context.model_name
        self._place = find_place(context.options.image_root, context.roots)
        self._controls = Controls()
        self._left_out = LeftOut(context, TASKS.name)
        self._stack = ExitStack()
        self._stream = self._stack.enter_context(context.sink.open(TASKS.name))
        self._stream.write(b"[")
        self._tasks = JsonList(self._stream)

    def add(self, outcome: Outcome) -> None:
        """See `Writer.add`."""
        if not isinstance(outcome, ImageResult):
            self._left_out.add(FAILURES)
            return
        address = self._place.address(outcome.ref)
        if not address:
            self._left_out.add("images in archives: give --image-root")
            return
        data = {"image": address, "path": unicode_name(outcome.path)}
        self._tasks.add({"data": data, "predictions": [self._prediction(outcome)]})

    def close(self) -> None:
        """See `Writer.close`."""
        self._stream.write(b"\n]\n")
        self._stack.close()
        if not self._controls.labels:  # there must be one
            self._controls.labels[CHOICE if self._task.whole else BOX] = {}
        view = f'{CONFIG_HEAD}  <Image name="image" value="$image" zoom="true"/>\n'
        for file, text in (
            (CONFIG, f"{view}{self._controls.to_xml(self._names)}\n</View>\n"),
            (STEPS, f"{STEPS_HEAD}\n{self._place.steps()}"),
        ):
            with self._sink.open(file.name) as stream:
                stream.write(text.encode())
        self._left_out.tell()

    def _prediction(self, outcome: ImageResult) -> dict[str, Any]:
        regions = Regions(self._controls, self._left_out, outcome.width, outcome.height)
        for record in outcome.detections:
            shape = self._task.shape(record)
            if shape.box is not None:
                regions.add(record, shape)
            elif record.confidence is None:
                self._left_out.add(f"records of {self._task.name} models")
            elif regions.made:  # an image is of one class: the likeliest
                self._left_out.add("classes that are not the likeliest of their images")
            else:
                regions.add_class(record)
        scores = [record.confidence for record in outcome.detections if record.confidence is not None]
        best = round(max(scores), CONFIDENCE_DIGITS) if scores else None
        return {"model_version": self._model, "score": best, "result": regions.made}


FORMAT = Format(final=LabelStudio, files=(TASKS, CONFIG, STEPS), options=Options())
