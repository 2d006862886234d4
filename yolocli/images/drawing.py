"""What was found, drawn into its picture: in place, in sizes that fit the picture, legible on whatever is there."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

from yolocli.images import rle
from yolocli.images.colours import Colour, class_colour, text_colour
from yolocli.images.plates import Plates

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from yolocli.images.picture import Pixels

LINE_SHARE = 1 / 400
TEXT_SHARE = 1 / 65
"""Of the side of a square as large as the picture: thickness of lines, and size of text."""
LEAST_TEXT = 11
"""Pixels; smaller letters cannot be read."""
ALPHA = 0.4
"""How much a mask hides."""
BAND_PIXELS = 1 << 18
"""Of a mask that are filled at once."""
FAR = 1 << 17
"""Pixels outside of every picture; what lies beyond, as corners of rotated boxes may, is drawn there."""

Points: TypeAlias = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Mark:
    """A thing to be drawn, in pixels of the picture; what is empty is left out.

    Attributes:
        colour: Index of its class.
        captions: What to write, or else the next; see `Plates.plate`.
        box: Left, top, right and bottom of an upright box, or of one around a turned one.
        corners: Those of a turned box, along its edges.
        rings: Outlines of its mask, filled by the even-odd rule.
        rle: Its mask instead; see `rle`.
        points: Its keypoints that are seen, each by its index.
        limbs: Lines between them, each by two indices.
    """

    colour: int
    captions: tuple[str, ...] = ()
    box: Sequence[float] = ()
    corners: Points = ()
    rings: Sequence[Points] = ()
    rle: Mapping[str, Any] | None = None
    points: Mapping[int, tuple[float, float]] | None = None
    limbs: Sequence[tuple[int, int]] = ()


def draw(pixels: Pixels, marks: Sequence[Mark], plates: Plates) -> None:
    """Draws marks, the first on top.

    Args:
        pixels: (height, width, 3), BGR; drawn into.
        marks: What to draw; captions of those without a box are listed at the top left.
        plates: Renders captions.
    """
    side = math.sqrt(pixels.shape[0] * pixels.shape[1])
    line = max(round(side * LINE_SHARE), 1)
    for mark in reversed(marks):
        _fill(pixels, mark, line)
    for mark in reversed(marks):
        _draw_lines(pixels, mark, line)
    _write(pixels, marks, plates, max(round(side * TEXT_SHARE), LEAST_TEXT), line)


def _fill(pixels: Pixels, mark: Mark, line: int) -> None:
    """Tints the pixels of a mask, and draws its outlines."""
    import cv2
    import numpy as np

    colour = class_colour(mark.colour)
    rings = [_whole(ring) for ring in mark.rings]
    if mark.rle is not None:
        mask, left = _mask_of(mark.rle)
        rings = [
            ring[:, 0] for ring in cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE, offset=(left, 0))[0]
        ]
        _tint(pixels[:, left : left + mask.shape[1]], mask, colour)
    elif rings:
        points = np.concatenate(rings)
        (left, top), (right, bottom) = points.min(0).clip(0), points.max(0) + 1
        part = pixels[top:bottom, left:right]
        if part.size:
            mask = np.zeros(part.shape[:2], np.uint8)
            cv2.fillPoly(mask, rings, 1, offset=(-int(left), -int(top)))
            _tint(part, mask, colour)
    if rings:
        cv2.polylines(pixels, rings, True, colour, max(line // 2, 1), cv2.LINE_AA)


def _tint(part: Pixels, mask: Pixels, colour: Colour) -> None:
    """Mixes a colour into the pixels of a mask, some rows at a time."""
    import cv2
    import numpy as np

    rows = max(BAND_PIXELS // part.shape[1], 1)
    tables = np.arange(256)[:, None] * (1 - ALPHA) + np.array(colour) * ALPHA
    table = tables.round().astype(np.uint8)[None]
    for start in range(0, len(part), rows):
        band = part[start : start + rows]
        cv2.copyTo(cv2.LUT(band, table), mask[start : start + rows], band)


def _mask_of(coded: Mapping[str, Any]) -> tuple[Pixels, int]:
    """Returns the columns of an image that a mask is in, (height, columns) of 0 and 1, and the first of them."""
    import numpy as np

    height, _ = coded["size"]
    edges = rle.decode(coded["counts"])
    if not len(edges):
        return np.zeros((height, 1), np.uint8), 0
    first, last = int(edges[0]) // height, (int(edges[-1]) - 1) // height
    steps = np.zeros((last - first + 1) * height + 1, np.int8)
    steps[edges[::2] - first * height] = 1
    steps[edges[1::2] - first * height] -= 1
    mask = np.cumsum(steps[:-1], dtype=np.int8).view(np.uint8).reshape(-1, height)
    return np.ascontiguousarray(mask.T), first


def _draw_lines(pixels: Pixels, mark: Mark, line: int) -> None:
    """Draws a box, limbs and keypoints, with an edge that shows where the background has their colour."""
    import cv2

    colour = class_colour(mark.colour)
    points = mark.points or {}
    lines = [_whole((points[one], points[other])) for one, other in mark.limbs if one in points and other in points]
    if mark.box and not mark.corners:
        _frame(pixels, _box(mark, pixels), colour, line)
    for shade, thickness in ((text_colour(colour), line + 2 * _edge(line)), (colour, line)):
        if mark.corners:
            cv2.polylines(pixels, [_whole(mark.corners)], True, shade, thickness, cv2.LINE_AA)
        if lines:
            cv2.polylines(pixels, lines, False, shade, thickness, cv2.LINE_AA)
    for index, point in points.items():
        x, y = _whole([point])[0].tolist()
        own = class_colour(index)
        cv2.circle(pixels, (x, y), line * 2 + 1, text_colour(own), -1, cv2.LINE_AA)
        cv2.circle(pixels, (x, y), line * 2 - line // 2, own, -1, cv2.LINE_AA)


def _frame(pixels: Pixels, box: tuple[int, int, int, int], colour: Colour, line: int) -> None:
    """Draws an upright box as four bars, each row of pixels once: it takes a tenth of the time that lines do."""
    import cv2
    import numpy as np

    edge, shade = _edge(line), text_colour(colour)
    left, top, right, bottom = box[0] - line // 2, box[1] - line // 2, box[2] - line // 2, box[3] - line // 2
    for y in (top, bottom):
        corner = (right + line - 1 + edge, y + line - 1 + edge)
        cv2.rectangle(pixels, (left - edge, y - edge), corner, shade, -1)
    bar = np.array([shade] * edge + [colour] * line + [shade] * edge, np.uint8)
    for x in (left - edge, right - edge):
        first, last = max(x, 0), max(x + len(bar), 0)
        part = pixels[max(top, 0) : max(bottom + line, 0), first:last]
        part[:] = bar[first - x :][: part.shape[1]]
    for y in (top, bottom):
        cv2.rectangle(pixels, (left, y), (right + line - 1, y + line - 1), colour, -1)


def _edge(line: int) -> int:
    """Returns how thick the edge of a line is."""
    return max(line // 4, 1)


def _box(mark: Mark, pixels: Pixels) -> tuple[int, int, int, int]:
    """Returns the box of a mark in whole pixels, its edges on pixels of the picture."""
    left, top, right, bottom = map(round, mark.box)
    height, width = pixels.shape[:2]
    return max(left, 0), max(top, 0), min(right, width - 1), min(bottom, height - 1)


def _write(pixels: Pixels, marks: Sequence[Mark], plates: Plates, size: int, line: int) -> None:
    """Puts captions where they hide no other, as far as there is room; of two in one place the first is on top."""
    import cv2
    import numpy as np

    height, width = pixels.shape[:2]
    taken = np.zeros((len(marks), 4), np.int64)
    written: list[Pixels] = []
    down = 0
    for index, mark in enumerate(marks):
        plate = plates.plate(mark.captions, size, width)
        tall, wide = plate.shape
        if mark.box:
            left, top = _free(_places(_box(mark, pixels), tall, wide, line), tall, wide, pixels, taken[:index])
        else:
            left, top, down = 0, down, down + tall
            if down > height and top:
                break
        taken[index] = left, top, left + wide, top + tall
        written.append(plate)
    for mark, plate, (left, top, right, bottom) in reversed(list(zip(marks, written, taken.tolist(), strict=False))):
        place = pixels[top:bottom, left:right]
        if place.size:
            place[:] = cv2.applyColorMap(plate, _tints(class_colour(mark.colour)))[: len(place), : place.shape[1]]


@cache
def _tints(colour: Colour) -> NDArray[np.uint8]:
    """Returns the colours from that of a plate to that of its text, (256, 1, 3)."""
    import numpy as np

    share = np.arange(256)[:, None, None] / 255
    tints = np.array(colour) * (1 - share) + np.array(text_colour(colour)) * share
    return np.asarray(tints.round(), np.uint8)


def _places(box: tuple[int, int, int, int], tall: int, wide: int, line: int) -> Iterator[tuple[int, int]]:
    """Yields where a plate may go, the best place first: above its box, inside of it, below or beside it."""
    half = line // 2
    left, top, right, bottom = box
    for x in (left - half, right + half + 1 - wide):
        yield x, top - half - tall
        yield x, top + half + 1
        yield x, bottom + half + 1
        yield x, bottom - half - tall
    yield right + half + 1, top - half
    yield left - half - wide, top - half


def _free(
    places: Iterator[tuple[int, int]], tall: int, wide: int, pixels: Pixels, taken: NDArray[np.int64]
) -> tuple[int, int]:
    """Returns the first place for a plate that is in the picture and free, or else in the picture."""
    below, beside = max(pixels.shape[0] - tall, 0), max(pixels.shape[1] - wide, 0)
    best = None
    for left, top in places:
        x, y = min(max(left, 0), beside), min(max(top, 0), below)
        best = best or (x, y)
        if y == top and not _hits(taken, x, y, x + wide, y + tall):
            return x, y
    assert best is not None
    return best


def _hits(taken: NDArray[np.int64], left: int, top: int, right: int, bottom: int) -> bool:
    """Tells whether a place has pixels of one that is taken, (n, 4)."""
    hit = (taken[:, 0] < right) & (taken[:, 2] > left) & (taken[:, 1] < bottom) & (taken[:, 3] > top)
    return bool(hit.any())


def _whole(points: Points) -> NDArray[np.int32]:
    """Returns points (n, 2) in whole pixels."""
    import numpy as np

    return np.asarray(np.array(points, np.float64).round().clip(-FAR, FAR), np.int32)
