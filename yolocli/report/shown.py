"""An outcome as the script of the page reads it: names that can be seen, links that lead to the file, shapes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from yolocli.errors import printable
from yolocli.images import rle
from yolocli.images.rings import trace
from yolocli.report.figures import Class
from yolocli.results import Detection, ImageResult, Outcome
from yolocli.sources import DISK, scheme_of
from yolocli.tasks.base import Task
from yolocli.tasks.shape import Point, Shape

OUTLINE_STEPS = 400
"""Points of an outline that are closer than the longer side of the image in so many steps are one on the page."""
SIDES_OF_AREA = 3
FILE = "file:"
"""What the address of an image begins with that the page may show by itself."""
WEB = ("http://", "https://")


def readable(name: str) -> str:
    r"""Returns a name as people see it: bytes that are not UTF-8 as \xff, what moves text about as its code."""
    return printable(os.fsencode(name).decode("utf-8", "backslashreplace"))


def address(source: str) -> str:
    """Returns what a browser opens an image by; empty if it cannot."""
    if source.startswith(WEB):
        return source.encode("utf-8", "replace").decode()
    return Path(source).as_uri() if scheme_of(source) == DISK and os.path.isabs(source) else ""


def to_script(value: object) -> str:
    """Returns a value as JavaScript that nothing in it can end or add to, within HTML either."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c").replace(">", "\\u003e")


def shown(outcome: Outcome, task: Task, classes: Mapping[Class, int]) -> dict[str, Any]:
    """Returns what the page knows of an image.

    Args:
        outcome: Of the image.
        task: Of the model.
        classes: The place of each class in the list that the page has.
    """
    entry: dict[str, Any] = {"name": readable(outcome.path), "url": address(outcome.ref.source)}
    if not isinstance(outcome, ImageResult):
        return entry | {"failed": [outcome.stage, outcome.error, readable(outcome.message)]}
    step = max(outcome.width, outcome.height) / OUTLINE_STEPS
    things = [_thing(record, task, classes, step) for record in outcome.detections]
    return entry | {"width": outcome.width, "height": outcome.height, "things": things}


def _thing(record: Detection, task: Task, classes: Mapping[Class, int], step: float) -> dict[str, Any]:
    thing: dict[str, Any] = {"kind": classes[record.class_id, record.name]}
    if record.confidence is None:
        thing["text"] = readable(task.caption(record))
    else:
        thing["score"] = record.confidence
    shape = task.shape(record)
    rings = [shape.corners] if shape.corners else [thinned(ring, step) for ring in _outlines(shape)]
    if rings:
        thing["rings"] = [_flat(ring) for ring in rings]
    if shape.box is not None:
        thing["box"] = [round(value, 1) for value in shape.box]
    points = shape.keypoints
    if points:
        thing["points"] = _flat((point.x, point.y) for point in points if point.seen)
        pairs = ((points[start], points[end]) for start, end in shape.limbs)
        thing["lines"] = [
            _flat(((one.x, one.y), (other.x, other.y))) for one, other in pairs if one.seen and other.seen
        ]
    return thing


def _outlines(shape: Shape) -> Sequence[Sequence[Point]]:
    """Returns those of a mask, whatever form it is recorded in: browsers know polygons alone."""
    if shape.rle is None:
        return shape.rings
    return trace(rle.decode(shape.rle["counts"]), shape.rle["size"][0])


def thinned(ring: Sequence[Point], step: float) -> list[Point]:
    """Returns an outline without the points that lie within a step of the one before; all of one as small as that."""
    kept: list[Point] = []
    for x, y in ring:
        if not kept or max(abs(x - kept[-1][0]), abs(y - kept[-1][1])) >= step:
            kept.append((x, y))
    return kept if len(kept) >= SIDES_OF_AREA else list(ring)


def _flat(points: Iterable[Point]) -> list[float]:
    return [round(value, 1) for point in points for value in point]
