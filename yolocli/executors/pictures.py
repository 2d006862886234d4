"""Pictures of what was found in an image, made by whoever has its pixels: with all drawn into it, and cut out."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from yolocli.errors import ImageError
from yolocli.images.decode import alone_if_large, decode
from yolocli.images.drawing import Mark, draw
from yolocli.images.jpeg import jpeg
from yolocli.images.picture import Picture
from yolocli.images.plates import Plates
from yolocli.results import Detection, ImageResult
from yolocli.sources import read, source_of
from yolocli.sources.suffixes import suffix_of
from yolocli.tasks.base import Task

if TYPE_CHECKING:
    from yolocli.images.picture import Pixels

DRAWN, CROPS = "drawn", "crops"
"""What they are called in `ImageResult.files`: the crop of the first record is `crops/0`."""
DRAWN_QUALITY, CROP_QUALITY = 90, 95
COLOUR = 3
"""Channels, whatever the model takes."""
MOST_CROP_BYTES = 1 << 28
"""Of an image, as all wait in memory to be written."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """Which are wanted.

    Attributes:
        images: Images with what was found drawn into them.
        crops: A picture of each box.
    """

    images: bool = False
    crops: bool = False

    def __bool__(self) -> bool:
        return self.images or self.crops


NO_PICTURES = Pictures()


def make_pictures(picture: Picture, result: ImageResult, task: Task, wanted: Pictures) -> dict[str, bytes]:
    """Makes pictures of an image.

    Args:
        picture: In colour; it is drawn into.
        result: What was found in it.
        task: That found it.
        wanted: Which to make.

    Returns:
        JPEG files by what they are called; see `DRAWN`.

    Raises:
        ImageError: If one cannot be made.
    """
    import numpy as np

    pixels: Pixels = np.require(picture.pixels, requirements=["C", "W"])
    made: dict[str, bytes] = {}
    if wanted.crops:  # before anything is drawn
        for index, record in enumerate(result.detections):
            cut = crop_of(record, picture.width, picture.height)
            if cut is not None:
                left, top, right, bottom = cut
                made[f"{CROPS}/{index}"] = jpeg(pixels[top:bottom, left:right], CROP_QUALITY)
        if sum(map(len, made.values())) > MOST_CROP_BYTES:
            raise ImageError("TooManyCrops", f"its crops take more than {MOST_CROP_BYTES >> 20} MB")
    if wanted.images:
        draw(pixels, marks_of(result, task), _plates())
        made[DRAWN] = jpeg(pixels, DRAWN_QUALITY)
    return made


def make_again(result: ImageResult, task: Task, wanted: Pictures) -> dict[str, bytes]:
    """Reads an image that was done before, and makes pictures of it; see `make_pictures`.

    Raises:
        OSError: If it cannot be read.
        ImageError: If it is no image any more or not the one that was done, or a picture cannot be made.
    """
    ref, size = result.ref, result.width * result.height
    if ref.version and source_of(ref.source).version(ref.source, walked=True) != ref.version:
        raise ImageError("Changed", "the file has changed since")
    with alone_if_large(size * COLOUR):
        data = read(ref.source)
        picture = decode(data, suffix_of(ref.source), channels=COLOUR, max_pixels=size)
        if (picture.width, picture.height) != (result.width, result.height):
            raise ImageError("Changed", f"is {picture.width} x {picture.height} pixels now")
        return make_pictures(picture, result, task, wanted)


def crop_of(record: Detection, width: int, height: int) -> tuple[int, int, int, int] | None:
    """Returns the pixels of a box, as left, top, right and bottom of a cut; None if it has none in the image."""
    if record.xyxy is None:
        return None
    left, top = (max(math.floor(value), 0) for value in record.xyxy[:2])
    right, bottom = min(math.ceil(record.xyxy[2]), width), min(math.ceil(record.xyxy[3]), height)
    return (left, top, right, bottom) if left < right and top < bottom else None


def marks_of(result: ImageResult, task: Task) -> list[Mark]:
    """Returns what to draw of an image."""
    return [_mark(record, task) for record in result.detections]


def _mark(record: Detection, task: Task) -> Mark:
    shape = task.shape(record)
    plain = replace(record, name=f"class {record.class_id}")
    return Mark(
        record.class_id,
        (task.caption(record), task.caption(plain)),
        shape.box or (),
        shape.corners,
        shape.rings,
        shape.rle,
        {index: (point.x, point.y) for index, point in enumerate(shape.keypoints) if point.seen},
        shape.limbs,
    )


@cache
def _plates() -> Plates:
    """Returns the captions of this process."""
    return Plates()
