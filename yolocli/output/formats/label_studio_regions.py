"""Label Studio's regions: where records are, in percent of their image, each by a control of the labelling config."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import quoteattr

from yolocli.images import rle
from yolocli.images.rings import depths, trace
from yolocli.output.formats.left_out import LeftOut
from yolocli.results import Box, Detection
from yolocli.tasks.shape import Point, Shape

PERCENT_DIGITS = 5
"""Decimals kept: less than a thousandth of a pixel of a picture of 8K."""
BOX, OUTLINE, POINT, CHOICE = "RectangleLabels", "PolygonLabels", "KeyPointLabels", "Choices"
NAMES = {BOX: "box", OUTLINE: "outline", POINT: "point", CHOICE: "class"}
"""Controls, by their tag, and what they are called."""
POINT_SIZE = 0.75
"""Of a keypoint on the screen, in percent of the image's width."""
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def label(name: str, class_id: int) -> str:
    """Returns what a class is called in Label Studio: text that XML can hold, and that is not blank."""
    return _NOT_IN_XML.sub(lambda found: f"\\x{ord(found[0]):02x}", name).strip() or str(class_id)


@dataclass
class Controls:
    """The controls that regions need, each with its labels in the order in which they came.

    Attributes:
        labels: By the tag of the control.
    """

    labels: dict[str, dict[str, None]] = field(default_factory=dict)

    def to_xml(self, names: Sequence[str]) -> str:
        """Returns them as a labelling config has them, with the classes of the model before others."""
        lines = []
        for tag, own in self.labels.items():
            entry = "Choice" if tag == CHOICE else "Label"
            choice = ' choice="single"' if tag == CHOICE else ""
            labels = dict.fromkeys([*(() if tag == POINT else names), *own])
            lines.append(f'  <{tag} name="{NAMES[tag]}" toName="image"{choice}>')
            lines += [f"    <{entry} value={quoteattr(text)}/>" for text in labels]
            lines.append(f"  </{tag}>")
        return "\n".join(lines)


class Regions:
    """Makes the regions of the records of one image."""

    def __init__(self, controls: Controls, left_out: LeftOut, width: int, height: int) -> None:
        self._controls = controls
        self._left_out = left_out
        self._width = width
        self._height = height
        self.made: list[dict[str, Any]] = []

    def add_class(self, record: Detection) -> None:
        """Adds what the image as a whole is said to be."""
        self._add(CHOICE, {"choices": [label(record.name, record.class_id)]}, record.confidence)

    def add(self, record: Detection, shape: Shape) -> None:
        """Adds an object: the parts of its mask, or its box; and its keypoints, which belong to that."""
        name = label(record.name, record.class_id)
        outlines = self._outlines(shape)
        for ring in outlines:
            value = {"points": [self._percent(point) for point in ring], "closed": True, "polygonlabels": [name]}
            self._add(OUTLINE, value, record.confidence)
        if not outlines and shape.box is not None:
            self._add(BOX, {**self._rectangle(shape, shape.box), "rectanglelabels": [name]}, record.confidence)
        whole = self.made[-1]["id"]
        for index, point in enumerate(shape.keypoints):
            if not (0 <= point.x <= self._width and 0 <= point.y <= self._height):
                self._left_out.add("keypoints outside of their images")
                continue
            x, y = self._percent((point.x, point.y))
            value = {"x": x, "y": y, "width": POINT_SIZE, "keypointlabels": [str(index)]}
            self._add(POINT, value, point.visible, parentID=whole)

    def _add(self, tag: str, value: dict[str, Any], score: float | None, **more: str) -> None:
        kind = tag.lower()
        self._controls.labels.setdefault(tag, {}).update(dict.fromkeys(value[kind]))
        self.made.append(
            {
                "id": str(len(self.made) + 1),
                **more,
                "type": kind,
                "from_name": NAMES[tag],
                "to_name": "image",
                "original_width": self._width,
                "original_height": self._height,
                "image_rotation": 0,
                "score": score,
                "value": value,
            }
        )

    def _outlines(self, shape: Shape) -> list[Sequence[Point]]:
        """Returns the parts of a mask; no polygon is a pixel or a line, and none has holes."""
        rings: Sequence[Sequence[Point]] = shape.rings
        if shape.rle is not None:
            rings = trace(rle.decode(shape.rle["counts"]), self._height)
        if not rings:
            return []
        holes = [depth % 2 == 1 for depth in depths(rings)]
        self._left_out.add("holes in masks", sum(holes))
        return [ring for ring, hole in zip(rings, holes, strict=True) if len(ring) >= 3 and not hole]

    def _rectangle(self, shape: Shape, box: Box) -> dict[str, float]:
        if shape.corners:
            if turned := self._turned(shape.corners):
                return turned
            self._left_out.add("rotations of boxes that reach too far out of their images")
        x1, x2 = (min(max(x, 0.0), self._width) for x in box[::2])
        y1, y2 = (min(max(y, 0.0), self._height) for y in box[1::2])
        (left, top), (width, height) = self._percent((x1, y1)), self._percent((x2 - x1, y2 - y1))
        return {"x": left, "y": top, "width": width, "height": height, "rotation": 0}

    def _turned(self, corners: Sequence[Point]) -> dict[str, float] | None:
        """Returns a rotated box as Label Studio has it: turned clockwise about the corner that is its upper left one.

        Any corner can be that; of those with numbers that Label Studio takes it is the one that turns the least.
        """
        (x1, y1), (x2, y2), _, (x4, y4) = corners
        clockwise = (x2 - x1) * (y4 - y1) >= (y2 - y1) * (x4 - x1)
        order = list(corners) if clockwise else list(corners)[::-1]
        found = []
        for index, (x, y) in enumerate(order):
            (right_x, right_y), (down_x, down_y) = order[(index + 1) % 4], order[index - 1]
            degrees = round(math.degrees(math.atan2(right_y - y, right_x - x)) % 360, PERCENT_DIGITS)
            left, top = self._percent((x, y))
            width, height = self._percent((math.dist((x, y), (right_x, right_y)), math.dist((x, y), (down_x, down_y))))
            if all(0 <= value <= 100 for value in (left, top, width, height)):
                value = {"x": left, "y": top, "width": width, "height": height, "rotation": degrees}
                found.append((min(degrees, 360 - degrees), index, value))
        return min(found)[2] if found else None

    def _percent(self, point: Point) -> tuple[float, float]:
        x, y = point
        return round(100 * x / self._width, PERCENT_DIGITS), round(100 * y / self._height, PERCENT_DIGITS)
