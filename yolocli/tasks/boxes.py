"""How much boxes overlap, and non-maximum suppression that looks at boxes and never at the clock.

Ultralytics' own stops after a limit of wall-clock time and leaves the images it did not reach without boxes; on a
loaded machine that is a silently wrong record. This one gives the same boxes as torchvision's kernel, on plain arrays,
so that a run on OpenVINO needs no torch at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from yolocli.tasks.candidates import BOX, CLASS, CONFIDENCE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CLASS_OFFSET = 7680
"""Pixels between classes when all are suppressed in one pass (Ultralytics' max_wh); it must be the same number, as
float32 rounding of the shifted boxes decides ties."""
MAX_CANDIDATES = 30_000
"""Candidates of an image looked at, best first (Ultralytics' max_nms)."""
BLOCK = 64
"""Boxes compared with all lesser ones at once: most images are done in one go, and 30,000 candidates take 10 MB each
for a few arrays."""


def iou(one: Sequence[float], two: Sequence[float]) -> float:
    """Returns the intersection over union of two boxes given as x1, y1, x2, y2, in [0, 1]."""
    width = min(one[2], two[2]) - max(one[0], two[0])
    height = min(one[3], two[3]) - max(one[1], two[1])
    inner = max(width, 0.0) * max(height, 0.0)
    areas = (one[2] - one[0]) * (one[3] - one[1]) + (two[2] - two[0]) * (two[3] - two[1])
    return inner / (areas - inner) if areas > inner else 0.0


def suppress(rows: NDArray[np.float32], iou: float, limit: int) -> NDArray[np.float32]:
    """Keeps the best of boxes of one class that overlap.

    Greedy NMS, as in torchvision.ops.nms: by falling score, drop all that overlap a kept box by more than `iou`.

    Args:
        rows: Array (n, 6 + k), see `candidates`.
        iou: Intersection over union above which the lesser box is dropped, in [0, 1].
        limit: Boxes kept at most.

    Returns:
        Those kept, by falling confidence.
    """
    import numpy as np

    order = np.argsort(-rows[:, CONFIDENCE], kind="stable")[:MAX_CANDIDATES]
    rows = rows[order]
    boxes = rows[:, BOX] + rows[:, CLASS, None] * np.float32(CLASS_OFFSET)
    alive = np.arange(len(rows))
    kept: list[int] = []
    while alive.size and len(kept) < limit:
        overlapping = _overlapping(boxes[alive[:BLOCK]], boxes[alive], iou)
        dropped = np.zeros(len(alive), np.bool_)
        for position, overlaps in enumerate(overlapping):
            if not dropped[position]:
                kept.append(alive[position])
                dropped |= overlaps
        alive = alive[BLOCK:][~dropped[BLOCK:]]
    return rows[kept[:limit]]


def _overlapping(some: NDArray[np.float32], others: NDArray[np.float32], iou: float) -> NDArray[np.bool_]:
    """Tells for every pair of boxes, in an array (some, others), whether they overlap by more than `iou`."""
    import numpy as np

    left, top, right, bottom = some.T[..., None]
    x1, y1, x2, y2 = others.T
    width = np.minimum(right, x2) - np.maximum(left, x1)
    height = np.minimum(bottom, y2) - np.maximum(top, y1)
    inner = np.maximum(width, 0) * np.maximum(height, 0)
    areas = (right - left) * (bottom - top) + (x2 - x1) * (y2 - y1)
    with np.errstate(invalid="ignore"):  # two boxes without area: nan, which suppresses nothing
        above: NDArray[np.bool_] = inner / (areas - inner) > np.float64(iou)  # in double precision, as torchvision does
    return above
