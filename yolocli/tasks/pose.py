"""pose: a box for each object, and keypoints on it."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from yolocli.errors import ModelError
from yolocli.images.letterbox import Canvas, points_to_image
from yolocli.results import CONFIDENCE_DIGITS, PIXEL_DIGITS, Detection, Findings
from yolocli.tasks.base import ModelFacts, Raw, Wanted
from yolocli.tasks.candidates import OWN
from yolocli.tasks.detect import Detect
from yolocli.tasks.fields import Each, Kind
from yolocli.tasks.shape import Keypoint, Shape, limbs_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHAPE = "kpt_shape"
"""What models say of their keypoints: how many there are, and 2 or 3 numbers of each: x, y and how visible it is."""
COCO_SHAPE = (17, 3)
MOST_POINTS = 10_000
COCO_SIGMAS = (
    *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072),
    *(0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
)
"""Spreads of a person's 17 keypoints that COCO computes OKS with, as shares of the root of the object's area."""
SIGMA = 0.05
"""That of a keypoint of anything else: between those of a person's face and limbs."""
VISIBLE = 0.5
"""From here on a keypoint counts as seen."""


class Pose(Detect):
    """See `Task`."""

    name: ClassVar[str] = "pose"
    asks: ClassVar[tuple[str, ...]] = (SHAPE,)
    columns: ClassVar[tuple[str, ...]] = (*Detect.columns, "keypoints")
    fields: ClassVar[Mapping[str, Kind]] = {
        **Detect.fields,
        "keypoints": {"x": Each(float), "y": Each(float), "visible": Each(float)},
    }
    likeness_name: ClassVar[str] = "OKS"
    things: ClassVar[str] = "poses"
    own_difference: ClassVar[float] = 0.05
    """Pixels."""

    def keypoints(self, facts: ModelFacts) -> int:
        """See `Task.keypoints`."""
        return _shape(facts)[0]

    def extra(self, facts: ModelFacts) -> int:
        """See `Task.extra`."""
        count, numbers = _shape(facts)
        return count * numbers

    def read(self, raw: Raw, canvas: Canvas, facts: ModelFacts, wanted: Wanted) -> Findings:
        """See `Task.read`."""
        import numpy as np

        boxes = self.boxes(raw.rows, canvas, facts)
        points = raw.rows[:, OWN].reshape(len(boxes), *_shape(facts))
        places = points_to_image(points[..., :2], canvas).astype(np.float64).round(PIXEL_DIGITS)
        visible = points[..., 2:].astype(np.float64).round(CONFIDENCE_DIGITS)
        return Findings(
            tuple(
                replace(box, more={"keypoints": _fields(place, seen)})
                for box, place, seen in zip(boxes, places, visible, strict=True)
            )
        )

    def likeness(self, one: Detection, other: Detection) -> float:
        """Returns the OKS of the keypoints; see `Task.likeness`.

        It is that of COCO (https://cocodataset.org/#keypoints-eval), with the mean area of the two boxes for that of
        the object, and of the keypoints that either record sees; of all, where none sees one.
        """
        first, second = one.more["keypoints"], other.more["keypoints"]
        area = (_area(one) + _area(other)) / 2 or 1.0
        count = len(first["x"])
        visible = zip(first.get("visible", ()), second.get("visible", ()), strict=True)
        seen = [max(pair) >= VISIBLE for pair in visible]
        spreads = COCO_SIGMAS if count == len(COCO_SIGMAS) else (SIGMA,) * count
        distances = zip(first["x"], first["y"], second["x"], second["y"], strict=True)
        squares = [(x1 - x2) ** 2 + (y1 - y2) ** 2 for x1, y1, x2, y2 in distances]
        shares = [
            math.exp(-square / (2 * area * (2 * spread) ** 2))
            for square, spread, counts in zip(squares, spreads, seen if any(seen) else [True] * count, strict=True)
            if counts
        ]
        return sum(shares) / len(shares) if shares else 1.0

    def cells(self, record: Detection) -> tuple[str | float, ...]:
        """See `Task.cells`; a keypoint is `x y` or `x y visible`, and they are separated by semicolons."""
        points = zip(*record.more["keypoints"].values(), strict=True)
        return (*super().cells(record), "; ".join(" ".join(map(str, point)) for point in points))

    def shape(self, record: Detection) -> Shape:
        """See `Task.shape`."""
        points = record.more["keypoints"]
        visible = points.get("visible", [1.0] * len(points["x"]))
        keypoints = tuple(
            Keypoint(x, y, share, share >= VISIBLE)
            for x, y, share in zip(points["x"], points["y"], visible, strict=True)
        )
        return replace(super().shape(record), keypoints=keypoints, limbs=limbs_of(len(keypoints)))


def _shape(facts: ModelFacts) -> tuple[int, int]:
    """Returns how many keypoints there are, and how many numbers each has.

    Raises:
        ModelError: If what the model says is neither.
    """
    shape = facts.more.get(SHAPE, COCO_SHAPE)
    try:
        count, numbers = map(operator.index, shape)
    except (TypeError, ValueError):
        count = numbers = 0
    if not (1 <= count <= MOST_POINTS and numbers in {2, 3}):
        raise ModelError(f"{SHAPE} {shape!r} is damaged: it should be a number of keypoints, and 2 or 3")
    return count, numbers


def _fields(places: NDArray[np.float64], visible: NDArray[np.float64]) -> dict[str, Any]:
    fields = {"x": places[:, 0].tolist(), "y": places[:, 1].tolist()}
    return fields | ({"visible": visible[:, 0].tolist()} if visible.shape[1] else {})


def _area(record: Detection) -> float:
    assert record.xyxy is not None
    x1, y1, x2, y2 = record.xyxy
    return (x2 - x1) * (y2 - y1)
