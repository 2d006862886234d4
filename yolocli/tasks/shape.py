"""What of a record has a place in its image: all that drawings and formats need to know of a task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from yolocli.results import Box

Point: TypeAlias = tuple[float, float]
COCO_KEYPOINTS = 17
COCO_LIMBS = (
    *((0, 1), (0, 2), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
    *((5, 6), (5, 7), (7, 9), (6, 8), (8, 10), (5, 11), (6, 12)),
    *((11, 12), (11, 13), (13, 15), (12, 14), (14, 16)),
)
"""Pairs of COCO's keypoints that its `skeleton` connects: head, arms and shoulders, hips and legs."""


@dataclass(frozen=True, slots=True)
class Keypoint:
    """A point of an object.

    Attributes:
        x: Pixels from the left.
        y: Pixels from the top.
        visible: How sure it is that it can be seen, in [0, 1]; 1 where the model does not say it.
        seen: It counts as seen.
    """

    x: float
    y: float
    visible: float
    seen: bool


@dataclass(frozen=True, slots=True)
class Shape:
    """Where a thing is, in pixels of the upright image. All is empty of what is said of the image as a whole.

    Attributes:
        box: Left, top, right, bottom: of a rotated box, those of the upright box around it.
        corners: The four of a rotated box, along its edges; they may lie outside the image.
        rings: Outlines of a mask, filled by the even-odd rule: several where it has parts or holes.
        rle: The mask as COCO's compressed run-length encoding instead: `size` (height, width) and `counts`.
        keypoints: Its keypoints, in the order of the model.
        limbs: Pairs of them that belong together, by index.
    """

    box: Box | None = None
    corners: tuple[Point, ...] = ()
    rings: tuple[tuple[Point, ...], ...] = ()
    rle: Mapping[str, Any] | None = None
    keypoints: tuple[Keypoint, ...] = ()
    limbs: tuple[tuple[int, int], ...] = ()


def limbs_of(keypoints: int) -> tuple[tuple[int, int], ...]:
    """Returns which of a number of keypoints belong together: of 17 it is known, as they are a person's."""
    return COCO_LIMBS if keypoints == COCO_KEYPOINTS else ()
