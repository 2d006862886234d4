"""pose: a box for each object, and keypoints on it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from yolocli.images.letterbox import Canvas, points_to_image
from yolocli.results import CONFIDENCE_DIGITS, PIXEL_DIGITS, Detection, Findings
from yolocli.tasks.base import ModelFacts, Raw, Wanted
from yolocli.tasks.candidates import OWN
from yolocli.tasks.detect import Detect

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHAPE = "kpt_shape"
"""What models say of their keypoints: how many there are, and 2 or 3 numbers of each: x, y and how visible it is."""
COCO_SHAPE = (17, 3)
SIGMA = 0.05
"""Spread of a keypoint, as a share of the square root of its object's area, that OKS is computed with; COCO has one for
each of a person's 17 keypoints (0.025 to 0.107), which says nothing of other objects."""


class Pose(Detect):
    """See `Task`."""

    name: ClassVar[str] = "pose"
    asks: ClassVar[tuple[str, ...]] = (SHAPE,)
    columns: ClassVar[tuple[str, ...]] = (*Detect.columns, "keypoints")
    likeness_name: ClassVar[str] = "OKS"
    own_difference: ClassVar[float] = 0.05
    """Pixels."""

    def extra(self, facts: ModelFacts) -> int:
        """See `Task.extra`."""
        count, numbers = facts.more.get(SHAPE, COCO_SHAPE)
        return int(count) * int(numbers)

    def read(self, raw: Raw, canvas: Canvas, facts: ModelFacts, wanted: Wanted) -> Findings:
        """See `Task.read`."""
        import numpy as np

        boxes = self.boxes(raw.rows, canvas, facts)
        points = raw.rows[:, OWN].reshape(len(boxes), *facts.more.get(SHAPE, COCO_SHAPE))
        places = points_to_image(points[..., :2], canvas).astype(np.float64).round(PIXEL_DIGITS)
        visible = points[..., 2:].astype(np.float64).round(CONFIDENCE_DIGITS)
        return Findings(
            tuple(
                replace(box, more={"keypoints": _fields(place, seen)})
                for box, place, seen in zip(boxes, places, visible, strict=True)
            )
        )

    def likeness(self, one: Detection, other: Detection) -> float:
        """Returns the OKS of the keypoints, the object being `one`; see `Task.likeness`."""
        raise NotImplementedError

    def cells(self, record: Detection) -> tuple[str | float, ...]:
        """See `Task.cells`; a keypoint is `x y` or `x y visible`, and they are separated by semicolons."""
        points = zip(*record.more["keypoints"].values(), strict=True)
        return (*super().cells(record), "; ".join(" ".join(map(str, point)) for point in points))


def _fields(places: NDArray[np.float64], visible: NDArray[np.float64]) -> dict[str, Any]:
    fields = {"x": places[:, 0].tolist(), "y": places[:, 1].tolist()}
    return fields | ({"visible": visible[:, 0].tolist()} if visible.shape[1] else {})
