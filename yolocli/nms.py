"""Non-maximum suppression that looks at boxes and never at the clock.

Ultralytics' own stops after a limit of wall-clock time and leaves the images it did not reach without boxes; on a
loaded machine that is a silently wrong record. This one gives the same boxes as torchvision's kernel, on plain arrays,
so that a run on OpenVINO needs no torch at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CLASS_OFFSET = 7680
"""Pixels between classes when all are suppressed in one pass (Ultralytics' max_wh); it must be the same number, as
float32 rounding of the shifted boxes decides ties."""
MAX_CANDIDATES = 30_000
"""Candidates of an image looked at, best first (Ultralytics' max_nms)."""


def suppress(candidates: NDArray[np.float32], iou: float, limit: int) -> NDArray[np.float32]:
    """Keeps the best of boxes of one class that overlap.

    Greedy NMS, as in torchvision.ops.nms: by falling score, drop all that overlap a kept box by more than `iou`.

    Args:
        candidates: Array (n, 6) of x1, y1, x2, y2, confidence, class.
        iou: Intersection over union above which the lesser box is dropped, in [0, 1].
        limit: Boxes kept at most.

    Returns:
        Array (k, 6), by falling confidence.
    """
    import numpy as np

    order = np.argsort(-candidates[:, 4], kind="stable")[:MAX_CANDIDATES]
    candidates = candidates[order]
    boxes = candidates[:, :4] + candidates[:, 5:6] * np.float32(CLASS_OFFSET)
    x1, y1, x2, y2 = boxes.T
    areas = (x2 - x1) * (y2 - y1)
    alive = np.arange(len(candidates))
    threshold = np.float64(iou)  # compared in double precision, as torchvision does
    kept: list[int] = []
    while alive.size and len(kept) < limit:
        best, alive = alive[0], alive[1:]
        kept.append(best)
        width = np.minimum(x2[best], x2[alive]) - np.maximum(x1[best], x1[alive])
        height = np.minimum(y2[best], y2[alive]) - np.maximum(y1[best], y1[alive])
        overlap = np.maximum(width, 0) * np.maximum(height, 0)
        with np.errstate(invalid="ignore"):  # two boxes without area: nan, which suppresses nothing
            alive = alive[~(overlap / (areas[best] + areas[alive] - overlap) > threshold)]
    return candidates[kept]
