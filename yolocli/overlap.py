"""How much two boxes share."""

from __future__ import annotations

from collections.abc import Sequence


def iou(one: Sequence[float], two: Sequence[float]) -> float:
    """Returns the intersection over union of two boxes given as x1, y1, x2, y2, in [0, 1]."""
    width = min(one[2], two[2]) - max(one[0], two[0])
    height = min(one[3], two[3]) - max(one[1], two[1])
    inner = max(width, 0.0) * max(height, 0.0)
    areas = (one[2] - one[0]) * (one[3] - one[1]) + (two[2] - two[0]) * (two[3] - two[1])
    return inner / (areas - inner) if areas > inner else 0.0
