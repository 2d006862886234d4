"""How much rotated boxes overlap, and their non-maximum suppression, with bounded memory and no look at the clock.

What is suppressed is not measured on areas, but on normal distributions that stand for the boxes: "ProbIoU",
https://arxiv.org/abs/2106.06072. And a box goes when any better one overlaps it, also one that went itself ("fast NMS",
https://arxiv.org/abs/1904.02689). Both are as in Ultralytics' utils/nms.py and utils/metrics.py, in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

from yolocli.tasks.boxes import CLASS_OFFSET, MAX_CANDIDATES
from yolocli.tasks.candidates import BOX, CLASS, CONFIDENCE, OWN, centred

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Point: TypeAlias = tuple[float, float]

BLOCK = 64
"""Boxes that are looked at together."""
PAIRS = 1 << 13
"""Of these and better ones, compared at once: the arrays stay in a core's cache. Most boxes that go do so by one of the
best, so that few are compared with all: 30,000 candidates of 30 objects take 0.1 s in place of 17."""
EPSILON = 1e-7


def iou(one: Sequence[float], other: Sequence[float]) -> float:
    """Returns the intersection over union of two convex polygons, in [0, 1].

    Args:
        one: x1, y1, x2, y2, ... along its edges, either way round.
        other: The same of the other.
    """
    if one == other:
        return 1.0
    first, second = map(_points, sorted((tuple(one), tuple(other))))  # in one order, so that both ways round are equal
    inner = _area(_clipped(first, second))
    union = _area(first) + _area(second) - inner
    return min(max(inner / union, 0.0), 1.0) if union > 0 else 0.0


def _points(corners: Sequence[float]) -> list[Point]:
    """Returns the corners of a polygon so that what is inside lies at positive cross products with its edges."""
    points = list(zip(corners[::2], corners[1::2], strict=True))
    return points if _area(points) > 0 else points[::-1]


def _area(points: Sequence[Point]) -> float:
    """Returns the area of a polygon; less than 0 the other way round."""
    return sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in pairwise([*points, *points[:1]])) / 2


def _clipped(points: list[Point], by: list[Point]) -> list[Point]:
    """Returns the part of a polygon that lies inside a convex one, an edge of which after the other cuts some off."""
    for (x1, y1), (x2, y2) in pairwise([*by, *by[:1]]):
        sides = [(x2 - x1) * (y - y1) - (y2 - y1) * (x - x1) for x, y in points]
        left: list[Point] = []
        for place, (x, y) in enumerate(points):
            (last_x, last_y), last, side = points[place - 1], sides[place - 1], sides[place]
            if (last < 0) is not (side < 0):
                share = last / (last - side)
                left.append((last_x + share * (x - last_x), last_y + share * (y - last_y)))
            if side >= 0:
                left.append((x, y))
        points = left
    return points


def suppress(rows: NDArray[np.float32], iou: float, limit: int) -> NDArray[np.float32]:
    """Keeps the best of rotated boxes of one class that overlap.

    Args:
        rows: Array (n, 7), see `candidates`: the box before it was turned, and the angle in radians.
        iou: ProbIoU with a better box above which one is dropped, in [0, 1].
        limit: Boxes kept at most.

    Returns:
        Those kept, by falling confidence.
    """
    import numpy as np

    order = np.argsort(-rows[:, CONFIDENCE], kind="stable")[:MAX_CANDIDATES]
    rows = rows[order]
    boxes = centred(rows[:, BOX])
    boxes[:, :2] += rows[:, CLASS, None] * np.float32(CLASS_OFFSET)
    shapes = np.concatenate([boxes[:, :2], _covariances(boxes[:, 2:], rows[:, OWN])], 1)
    kept: list[int] = []
    for start in range(0, len(rows), BLOCK):
        these, done = np.arange(start, min(start + BLOCK, len(rows))), 0
        while these.size and done < these[-1]:
            better = np.arange(done, min(done + PAIRS // these.size, these[-1]))
            with np.errstate(invalid="ignore"):  # of boxes without area: nan, which suppresses nothing
                above = _probiou(shapes[better], shapes[these]) > np.float32(iou)
            above &= better[:, None] < these
            these, done = these[~above.any(0)], better[-1] + 1
        kept += these.tolist()
        if len(kept) >= limit:
            break
    return rows[kept[:limit]]


def _covariances(sides: NDArray[np.float32], angles: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns what is particular in the covariance matrices of boxes: [[a, c], [c, b]] as (n, 3)."""
    import numpy as np

    first, second = (sides**2 / np.float32(12)).T
    cos, sin = np.cos(angles[:, 0]), np.sin(angles[:, 0])
    a, b = first * cos**2 + second * sin**2, first * sin**2 + second * cos**2
    return np.stack([a, b, (first - second) * cos * sin], 1)


def _probiou(some: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the ProbIoU of every pair, (some, others), of boxes given as centre and covariance (n, 5)."""
    import numpy as np

    epsilon = np.float32(EPSILON)
    x1, y1, a1, b1, c1 = some.T[..., None]
    x2, y2, a2, b2, c2 = others.T
    a, b, c = a1 + a2, b1 + b2, c1 + c2
    determinant = a * b - c**2
    across = (a * (y1 - y2) ** 2 + b * (x1 - x2) ** 2) / (determinant + epsilon) * np.float32(0.25)
    along = c * (x2 - x1) * (y1 - y2) / (determinant + epsilon) * np.float32(0.5)
    own = np.sqrt(np.maximum(a1 * b1 - c1**2, 0) * np.maximum(a2 * b2 - c2**2, 0))
    shape = np.log(determinant / (4 * own + epsilon) + epsilon) * np.float32(0.5)
    distance = np.clip(across + along + shape, epsilon, 100)
    overlaps: NDArray[np.float32] = 1 - np.sqrt(1 - np.exp(-distance) + epsilon)
    return overlaps
