"""What both COCO formats are made of: categories, images, and objects in their images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from yolocli.images import rle
from yolocli.images.exif import moment_of
from yolocli.images.rings import area, depths, fill
from yolocli.output.formats.base import Context
from yolocli.output.formats.json_stream import unicode_name
from yolocli.output.formats.left_out import FAILURES, LeftOut
from yolocli.results import PIXEL_DIGITS, ImageResult, Outcome
from yolocli.tasks import find_task
from yolocli.tasks.shape import Keypoint, Point, Shape, limbs_of

SEEN, NOT_SEEN, OUTSIDE = 2, 1, 0
"""COCO's flags of keypoints: labelled and visible, labelled but not visible, not labelled."""


class Categories:
    """The classes of a model, and those met in records that it does not name."""

    def __init__(self, names: Mapping[int, str], keypoints: int) -> None:
        self._names = dict(names)
        self._keypoints = keypoints

    def add(self, class_id: int, name: str, shape: Shape) -> int:
        """Returns the category of an object: COCO's ids begin at 1, and some programs take 0 for the background."""
        self._names.setdefault(class_id, name)
        self._keypoints = self._keypoints or len(shape.keypoints)
        return class_id + 1

    def listed(self) -> list[dict[str, Any]]:
        """Returns them as COCO lists them, by id."""
        more = _skeleton(self._keypoints) if self._keypoints else {}
        return [{"id": index + 1, "name": name, **more} for index, name in sorted(self._names.items())]


class Parts:
    """Makes COCO's images and objects of outcomes, which are numbered from 1 in the order in which they come."""

    def __init__(self, context: Context, file: str) -> None:
        self._task = find_task(context.task, "the output folder")
        self._left_out = LeftOut(context, file)
        self._categories = Categories(context.names, context.keypoints)
        self._images = 0

    def take(self, outcome: Outcome) -> tuple[dict[str, Any], list[dict[str, Any]]] | None:
        """Returns an image and the objects in it; None of an image that failed, which keeps its number."""
        self._images += 1
        if not isinstance(outcome, ImageResult):
            self._left_out.add(FAILURES)
            return None
        width, height = outcome.width, outcome.height
        image = {"id": self._images, "file_name": unicode_name(outcome.path), "width": width, "height": height}
        if moment := moment_of(outcome.more):
            image["date_captured"] = moment.replace("T", " ")
        objects = []
        for record in outcome.detections:
            shape = self._task.shape(record)
            if shape.box is None:
                self._left_out.add(f"records of {self._task.name} models")
                continue
            category = self._categories.add(record.class_id, record.name, shape)
            head = {"image_id": self._images, "category_id": category, "score": record.confidence}
            objects.append(head | _geometry(shape, shape.box, width, height))
        return image, objects

    def end(self) -> list[dict[str, Any]]:
        """Says what was left out, and returns the categories."""
        self._left_out.tell()
        return self._categories.listed()


def _skeleton(keypoints: int) -> dict[str, Any]:
    return {
        "keypoints": [str(index) for index in range(keypoints)],
        "skeleton": [[first + 1, second + 1] for first, second in limbs_of(keypoints)],
    }


def _geometry(shape: Shape, box: Sequence[float], width: int, height: int) -> dict[str, Any]:
    x1, y1, x2, y2 = box
    box_width, box_height = round(x2 - x1, PIXEL_DIGITS), round(y2 - y1, PIXEL_DIGITS)
    fields: dict[str, Any] = {"bbox": [x1, y1, box_width, box_height], "area": box_width * box_height}
    if shape.rle is not None:
        fields |= _mask(dict(shape.rle))
    elif shape.rings and any(depths(shape.rings)):  # polygons have no holes
        counts = rle.encode(fill(shape.rings, width, height), width * height)
        fields |= _mask({"size": [height, width], "counts": counts})
    elif rings := shape.rings or ((shape.corners,) if shape.corners else ()):
        fields |= {"segmentation": [_polygon(ring) for ring in rings], "area": sum(map(area, rings))}
    if shape.keypoints:
        flags = [_flag(point, width, height) for point in shape.keypoints]
        points = ((point.x, point.y, flag) for point, flag in zip(shape.keypoints, flags, strict=True))
        fields |= {"keypoints": list(chain.from_iterable(points)), "num_keypoints": sum(map(bool, flags))}
    return fields | {"area": round(fields["area"], PIXEL_DIGITS)}


def _mask(encoded: dict[str, Any]) -> dict[str, Any]:
    return {"segmentation": encoded, "area": rle.area(encoded["counts"])}


def _polygon(ring: Sequence[Point]) -> list[float]:
    """Returns the points of a ring, one after another; a pixel or a line repeats its last, as three are asked for."""
    points = [*ring, *[ring[-1]] * (3 - len(ring))]
    return list(chain.from_iterable(points))


def _flag(point: Keypoint, width: int, height: int) -> int:
    if point.seen:
        return SEEN
    return NOT_SEEN if 0 <= point.x <= width and 0 <= point.y <= height else OUTSIDE
