"""obb: a rotated box for each object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from yolocli.images.letterbox import Canvas
from yolocli.results import PIXEL_DIGITS, Detection, Findings, around
from yolocli.tasks.base import ModelFacts, Raw, Wanted
from yolocli.tasks.candidates import BOX, OWN, centred
from yolocli.tasks.detect import Detect
from yolocli.tasks.fields import CONFIDENCE_FIELD, Kind
from yolocli.tasks.rotated import iou, suppress
from yolocli.tasks.shape import Shape

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CORNERS = ("x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4")


class Obb(Detect):
    """See `Task`. The box of a row is the one before it was turned; the task's own column is the angle in radians."""

    name: ClassVar[str] = "obb"
    columns: ClassVar[tuple[str, ...]] = ("name", "class", "confidence", *CORNERS)
    fields: ClassVar[Mapping[str, Kind]] = {**CONFIDENCE_FIELD, "box": dict.fromkeys(CORNERS, float)}
    plain_nms: ClassVar[bool] = False
    centred: ClassVar[bool] = True
    likeness_name: ClassVar[str] = "rotated IoU"
    things: ClassVar[str] = "rotated boxes"
    own_difference: ClassVar[float] = 1e-4
    """Radians: a corner 500 pixels from the centre moves by 0.05."""

    def extra(self, facts: ModelFacts) -> int:
        """See `Task.extra`."""
        return 1

    def place(
        self, distances: NDArray[np.float32], points: NDArray[np.float32], own: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """See `Task.place`; as in Ultralytics' `dist2rbox` (utils/tal.py)."""
        import numpy as np

        near, far = distances[:, :2], distances[:, 2:]
        x, y = ((far - near) / 2).T
        cos, sin = np.cos(own[:, 0]), np.sin(own[:, 0])
        moved = np.stack([x * cos - y * sin, x * sin + y * cos], 1)
        return np.concatenate([moved + points, near + far], 1)

    def suppress(self, rows: NDArray[np.float32], iou: float, limit: int) -> NDArray[np.float32]:
        """See `Task.suppress`."""
        return suppress(rows, iou, limit)

    def read(self, raw: Raw, canvas: Canvas, facts: ModelFacts, wanted: Wanted) -> Findings:
        """See `Task.read`; corners may lie outside the image."""
        import numpy as np

        boxes = self.boxes(raw.rows, canvas, facts)
        places = _corners(raw.rows, canvas).astype(np.float64).round(PIXEL_DIGITS) + 0  # + 0 turns -0.0 into 0.0
        turned = [dict(zip(CORNERS, place, strict=True)) for place in places.reshape(-1, len(CORNERS)).tolist()]
        return Findings(
            tuple(
                replace(box, xyxy=around(corners), more={"box": corners})
                for box, corners in zip(boxes, turned, strict=True)
            )
        )

    def likeness(self, one: Detection, other: Detection) -> float:
        """Returns the IoU of the rotated boxes; see `Task.likeness`."""
        return iou(tuple(one.more["box"].values()), tuple(other.more["box"].values()))

    def cells(self, record: Detection) -> tuple[str | float, ...]:
        """See `Task.cells`."""
        assert record.confidence is not None
        return (record.name, record.class_id, record.confidence, *(record.more["box"][name] for name in CORNERS))

    def shape(self, record: Detection) -> Shape:
        """See `Task.shape`."""
        places = [record.more["box"][name] for name in CORNERS]
        return replace(super().shape(record), corners=tuple(zip(places[::2], places[1::2], strict=True)))


def _corners(rows: NDArray[np.float32], canvas: Canvas) -> NDArray[np.float32]:
    """Returns the corners (n, 4, 2) in image pixels, as Ultralytics' `scale_boxes` and `xywhr2xyxyxyxy` do.

    Sides are scaled as they lie before they are turned: where rounding has left the two gains different, a turned box
    is off by as much as Ultralytics' is.
    """
    import numpy as np

    boxes, angles = centred(rows[:, BOX]), rows[:, OWN]
    gains = np.array([canvas.gain_x, canvas.gain_y], np.float32)
    centre = (boxes[:, :2] - np.array([canvas.left, canvas.top], np.float32)) / gains
    half = boxes[:, 2:] / gains / 2
    cos, sin = np.cos(angles), np.sin(angles)
    along = half[:, :1] * np.concatenate([cos, sin], 1)
    across = half[:, 1:] * np.concatenate([-sin, cos], 1)
    parts = [along + across, along - across, -along - across, across - along]
    return np.stack([centre + part for part in parts], 1)
