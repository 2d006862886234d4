"""voc: an XML file for each image, as Pascal VOC has them, with the boxes of what was found."""

from __future__ import annotations

import math
import re
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from yolocli.output.formats.base import Context, Format
from yolocli.output.formats.left_out import FAILURES, LeftOut
from yolocli.output.sink import File, Tree
from yolocli.output.stems import Stems, plainer
from yolocli.output.tree_list import LIST_START
from yolocli.output.trees import TreeFile, TreeWriter
from yolocli.results import Box, ImageResult, Outcome
from yolocli.tasks import find_task

FOLDER = "voc"
TREE = Tree((FOLDER,), File("voc.jsonl", start=LIST_START))
DEPTH = 3
"""Channels of an image as it is decoded."""
_FORBIDDEN = re.compile(r"[\0-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
"""Of these XML has some in no way, and readers change the others."""
_ESCAPED = re.compile(r"\\(x[0-9a-f]{2}|ud[89a-f]|ufff[ef])")
"""What the escape of one of them begins with."""


class Voc:
    """See `Writer`."""

    def __init__(self, context: Context) -> None:
        self._tree = TreeWriter(context.sink, TREE)
        self._stems = Stems()
        self._task = find_task(context.task, "the output folder")
        self._left_out = LeftOut(context, f"{FOLDER}/")

    def add(self, outcome: Outcome) -> None:
        """See `Writer.add`."""
        if not isinstance(outcome, ImageResult):
            self._left_out.add(FAILURES)
        elif self._task.whole:
            self._left_out.add(f"images of a model for {self._task.name}")
        else:
            content = self._xml(outcome)
            names = (self._stems.name(outcome.path)[0], plainer(outcome.path))
            self._tree.put(outcome.ref, [[TreeFile(f"{FOLDER}/{name}.xml", content)] for name in names])

    def close(self) -> None:
        """See `Writer.close`."""
        self._tree.close()
        self._left_out.tell()

    def _xml(self, result: ImageResult) -> bytes:
        folder, _, name = result.path.rpartition("/")
        root = Element("annotation")
        _texts(root, {"folder": _unique(folder), "filename": _unique(name)})
        _texts(SubElement(root, "size"), {"width": result.width, "height": result.height, "depth": DEPTH})
        _texts(root, {"segmented": 0})
        for record in result.detections:
            box = self._task.shape(record).box
            if box is not None:
                thing = SubElement(root, "object")
                _texts(thing, {"name": record.name, "pose": "Unspecified", "truncated": 0, "difficult": 0})
                sides = zip(("xmin", "ymin", "xmax", "ymax"), _pixels(box, result.width, result.height), strict=True)
                _texts(SubElement(thing, "bndbox"), dict(sides))
        indent(root, "\t")
        return f"{tostring(root, 'unicode')}\n".encode()


def _pixels(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """Returns the first and the last pixels that a box touches, counted from 1."""
    left, top, right, bottom = box
    first_x, first_y = (min(max(math.floor(at) + 1, 1), side) for at, side in ((left, width), (top, height)))
    last_x, last_y = (min(math.ceil(at), side) for at, side in ((right, width), (bottom, height)))
    return first_x, first_y, max(last_x, first_x), max(last_y, first_y)


def _unique(name: str) -> str:
    """Returns a name of which `_texts` makes what it makes of no other; see `unicode_name`."""
    return name.replace("\\", "\\\\") if _FORBIDDEN.search(name) or _ESCAPED.search(name) else name


def _texts(parent: Element, values: dict[str, object]) -> None:
    for name, value in values.items():
        SubElement(parent, name).text = _FORBIDDEN.sub(lambda found: _escaped(found[0]), str(value))


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


FORMAT = Format(final=Voc, trees=(TREE,))
