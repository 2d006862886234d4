"""Non-maximum suppression of rotated boxes, as Ultralytics does it, with bounded memory and no look at the clock.

How much two boxes overlap is not measured on their areas, but on normal distributions that stand for them: "ProbIoU",
https://arxiv.org/abs/2106.06072. And a box goes when any better one overlaps it, also one that went itself ("fast NMS",
https://arxiv.org/abs/1904.02689). Both are as in Ultralytics' utils/nms.py and utils/metrics.py, in float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from yolocli.tasks.boxes import CLASS_OFFSET, MAX_CANDIDATES
from yolocli.tasks.candidates import BOX, CLASS, CONFIDENCE, OWN, centred

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK = 32
"""Boxes compared with all better ones at once: 30,000 of these take 4 MB for each of some arrays."""
EPSILON = 1e-7


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
        these = np.arange(start, min(start + BLOCK, len(rows)))
        better = np.arange(these[-1] + 1)
        with np.errstate(invalid="ignore"):  # of boxes without area: nan, which suppresses nothing
            above = _probiou(shapes[better], shapes[these]) > np.float32(iou)
        above &= better[:, None] < these
        kept += these[~above.any(0)].tolist()
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
