"""How much two boxes share, and which of two detectors' boxes are the same one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from yolocli.results import Detection


@dataclass(frozen=True, slots=True)
class Matching:
    """The boxes of two detectors on one image.

    Attributes:
        pairs: What both found: (box of the first, box of the second, their IoU).
        first_only: Boxes of the first that the second has not.
        second_only: Boxes of the second that the first has not.
    """

    pairs: list[tuple[Detection, Detection, float]]
    first_only: list[Detection]
    second_only: list[Detection]


def match(first: Sequence[Detection], second: Sequence[Detection], least: float) -> Matching:
    """Pairs boxes of one class, those that overlap most first; a box is in one pair at most.

    Args:
        first: Boxes of one detector.
        second: Boxes of the other, on the same image.
        least: IoU of a pair, in (0, 1].
    """
    overlaps = [
        (iou(one.xyxy, two.xyxy), i, j)
        for i, one in enumerate(first)
        for j, two in enumerate(second)
        if one.name == two.name
    ]
    pairs: list[tuple[Detection, Detection, float]] = []
    left, right = dict(enumerate(first)), dict(enumerate(second))
    for shared, i, j in sorted(overlaps, key=lambda overlap: -overlap[0]):
        if shared < least:
            break
        if i in left and j in right:
            pairs.append((left.pop(i), right.pop(j), shared))
    return Matching(pairs, list(left.values()), list(right.values()))


def iou(one: Sequence[float], two: Sequence[float]) -> float:
    """Returns the intersection over union of two boxes given as x1, y1, x2, y2, in [0, 1]."""
    width = min(one[2], two[2]) - max(one[0], two[0])
    height = min(one[3], two[3]) - max(one[1], two[1])
    inner = max(width, 0.0) * max(height, 0.0)
    areas = (one[2] - one[0]) * (one[3] - one[1]) + (two[2] - two[0]) * (two[3] - two[1])
    return inner / (areas - inner) if areas > inner else 0.0
