"""detect: a box for each object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from yolocli.images.letterbox import Canvas, to_image
from yolocli.results import CONFIDENCE_DIGITS, PIXEL_DIGITS, Detection
from yolocli.tasks.base import ModelFacts, Raw
from yolocli.tasks.boxes import iou, suppress
from yolocli.tasks.candidates import BOX, CLASS, CONFIDENCE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PIXELS = 0.02
"""Largest difference of a box's side that two runtimes may have."""
SCORE = 2e-4
"""Largest difference of a confidence."""


class Detect:
    """See `Task`."""

    name: ClassVar[str] = "detect"
    asks: ClassVar[tuple[str, ...]] = ()
    columns: ClassVar[tuple[str, ...]] = ("name", "class", "confidence", "x1", "y1", "x2", "y2")
    plain_nms: ClassVar[bool] = True

    def extra(self, facts: ModelFacts) -> int:
        """See `Task.extra`."""
        return 0

    def suppress(self, rows: NDArray[np.float32], iou: float, limit: int) -> NDArray[np.float32]:
        """See `Task.suppress`."""
        return suppress(rows, iou, limit)

    def read(self, raw: Raw, canvas: Canvas, facts: ModelFacts) -> tuple[Detection, ...]:
        """See `Task.read`."""
        import numpy as np

        rows = raw.rows
        # double precision, so that a rounded number is written with no more digits than it was rounded to
        boxes = to_image(rows[:, BOX], canvas).astype(np.float64).round(PIXEL_DIGITS).tolist()
        scores = rows[:, CONFIDENCE].astype(np.float64).round(CONFIDENCE_DIGITS).tolist()
        ids = rows[:, CLASS].astype(np.int64).tolist()
        return tuple(
            Detection(facts.names[class_id], class_id, score, (x1, y1, x2, y2))
            for (x1, y1, x2, y2), score, class_id in zip(boxes, scores, ids, strict=True)
        )

    def likeness(self, one: Detection, other: Detection) -> float:
        """Returns the IoU of the boxes; see `Task.likeness`."""
        return iou(one.xyxy, other.xyxy)

    def difference(
        self, expected: NDArray[np.float32], actual: Sequence[Raw], facts: ModelFacts, *, end_to_end: bool
    ) -> str | None:
        """See `Task.difference`."""
        import numpy as np

        found = np.stack([raw.rows for raw in actual])
        if end_to_end:
            boxes, scores = expected[..., BOX], expected[..., CONFIDENCE]
            order = np.abs(np.diff(scores, axis=1)) > 2 * SCORE  # rows of like score may change places
            alone = np.pad(order, ((0, 0), (1, 0)), constant_values=True) & np.pad(order, ((0, 0), (0, 1)))
            of_class = found[..., CONFIDENCE]
        else:
            rows = expected.transpose(0, 2, 1)
            centre, half, classes = rows[..., :2], rows[..., 2:4] / 2, rows[..., 4 : 4 + len(facts.names)]
            boxes = np.concatenate([centre - half, centre + half], 2)
            scores = classes.max(2)
            alone = np.ones_like(scores, bool)
            # of two classes with like scores either may be best: what counts is the score that torch gives to the class
            of_class = np.take_along_axis(classes, found[..., CLASS, None].astype(np.int64), 2)[..., 0]
        pixels = float(np.abs(found[..., BOX] - boxes)[alone].max(initial=0))
        score = float(np.abs(np.stack([found[..., CONFIDENCE], of_class]) - scores).max())
        if pixels <= PIXELS and score <= SCORE:  # not what a NaN does
            return None
        return f"boxes differ by up to {pixels:.3g} pixels, scores by up to {score:.3g}"

    def cells(self, record: Detection) -> tuple[str | float, ...]:
        """See `Task.cells`."""
        return (record.name, record.class_id, record.confidence, *record.xyxy)
