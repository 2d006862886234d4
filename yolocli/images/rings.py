"""Outlines of masks, filled by the even-odd rule: which of them are holes, what they enclose, the pixels they cover."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Ring: TypeAlias = Sequence[tuple[float, float]]
ON_LINE = 0.02
"""Pixels: rounded points of a hole that touch the outline of its part may lie so far outside."""


def area(ring: Ring) -> float:
    """Returns the square pixels that a ring encloses (shoelace formula)."""
    following = [*ring[1:], *ring[:1]]
    return abs(sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in zip(ring, following, strict=True))) / 2


def depths(rings: Sequence[Ring]) -> list[int]:
    """Tells how many others each ring of a mask lies in: that of a hole in an odd number of them.

    Rings do not cross, so one point tells of all; where a hole's ring is that of its part, the part comes first.
    """
    if len(rings) == 1:
        return [0]
    import cv2
    import numpy as np

    points = [np.array(ring, np.float32) for ring in rings]
    low, high = (np.stack([edge(ring, axis=0) for ring in points]) for edge in (np.min, np.max))
    sizes = np.array([area(ring) for ring in rings])
    order = np.argsort(np.argsort(-sizes, kind="stable"), kind="stable")  # 0 for the largest, the first of equal ones
    inside = (low[:, None] >= low - ON_LINE).all(2) & (high[:, None] <= high + ON_LINE).all(2)
    found = [0] * len(rings)
    for inner, outer in zip(*np.nonzero(inside & (order[:, None] > order)), strict=True):
        x, y = points[inner][0].tolist()
        found[inner] += cv2.pointPolygonTest(points[outer], (x, y), True) >= -ON_LINE
    return found


def fill(rings: Sequence[Ring], width: int, height: int) -> NDArray[np.int64]:
    """Returns the edges of a mask, see `rle`, from its outlines; lines belong to it.

    Args:
        rings: Its outlines.
        width: Of the image, in pixels.
        height: Of the image, in pixels.
    """
    import cv2
    import numpy as np

    most = np.array([width, height]) - 1
    points = [np.clip(np.array(ring).round().astype(np.int32), 0, most) for ring in rings]
    (left, top), (right, bottom) = (edge(np.concatenate(points), axis=0) for edge in (np.min, np.max))
    filled = np.zeros((bottom - top + 1, right - left + 1), np.uint8)
    cv2.fillPoly(filled, [(ring - [left, top]).astype(np.int32) for ring in points], 1)
    around = np.zeros((filled.shape[1], filled.shape[0] + 2), np.uint8)
    around[:, 1:-1] = filled.T
    column, row = np.nonzero(around[:, 1:] != around[:, :-1])
    edges, times = np.unique((column + left) * height + row + top, return_counts=True)
    single: NDArray[np.int64] = edges[times == 1]  # where one run ends as the next begins there is no edge
    return single


def trace(edges: NDArray[np.int64], height: int) -> list[list[tuple[float, float]]]:
    """Returns the outlines of a mask, see `masks.outlines`, from its edges, see `rle`.

    Args:
        edges: Of the mask.
        height: Of the image, in pixels.
    """
    from yolocli.images.masks import from_edges, outlines

    found = outlines(from_edges(edges, height)) if len(edges) else []
    return [[(float(x), float(y)) for x, y in ring.tolist()] for ring in found]
