"""detect: a box for each object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from yolocli.images.letterbox import Canvas, Fit, to_image
from yolocli.results import CONFIDENCE_DIGITS, PIXEL_DIGITS, Detection, Findings
from yolocli.tasks.base import ModelFacts, Raw, Wanted
from yolocli.tasks.boxes import iou, suppress
from yolocli.tasks.candidates import BOX, CLASS, CONFIDENCE, OWN, cornered
from yolocli.tasks.fields import CONFIDENCE_FIELD, UPRIGHT_BOX, Kind
from yolocli.tasks.shape import Shape

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PIXELS = 0.02
"""Largest difference of a box's side that two runtimes may have."""
SCORE = 2e-4
"""Largest difference of a confidence."""
MAPS = 1e-3
"""Largest difference of a map, as a share of its largest number."""


class Detect:
    """See `Task`."""

    name: ClassVar[str] = "detect"
    asks: ClassVar[tuple[str, ...]] = ()
    fit: ClassVar[Fit] = "letterbox"
    columns: ClassVar[tuple[str, ...]] = ("name", "class", "confidence", "x1", "y1", "x2", "y2")
    fields: ClassVar[Mapping[str, Kind]] = {**CONFIDENCE_FIELD, **UPRIGHT_BOX}
    image_fields: ClassVar[Mapping[str, Kind]] = {}
    whole: ClassVar[bool] = False
    maps: ClassVar[bool] = False
    plain_nms: ClassVar[bool] = True
    centred: ClassVar[bool] = False
    likeness_name: ClassVar[str] = "IoU"
    things: ClassVar[str] = "boxes"
    by_class: ClassVar[bool] = True
    own_difference: ClassVar[float] = PIXELS
    """Largest difference of what a task that is built on this one has beyond boxes."""

    def keypoints(self, facts: ModelFacts) -> int:
        """See `Task.keypoints`."""
        return 0

    def extra(self, facts: ModelFacts) -> int:
        """See `Task.extra`."""
        return 0

    def place(
        self, distances: NDArray[np.float32], points: NDArray[np.float32], own: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """See `Task.place`; as in Ultralytics' `dist2bbox` (utils/tal.py)."""
        import numpy as np

        low, high = points - distances[:, :2], points + distances[:, 2:]
        return np.concatenate([(low + high) / 2, high - low], 1)

    def suppress(self, rows: NDArray[np.float32], iou: float, limit: int) -> NDArray[np.float32]:
        """See `Task.suppress`."""
        return suppress(rows, iou, limit)

    def read(self, raw: Raw, canvas: Canvas, facts: ModelFacts, wanted: Wanted) -> Findings:
        """See `Task.read`."""
        return Findings(self.boxes(raw.rows, canvas, facts))

    def boxes(self, rows: NDArray[np.float32], canvas: Canvas, facts: ModelFacts) -> tuple[Detection, ...]:
        """Makes a record of the box of each row; see `Task.read`."""
        import numpy as np

        # double precision, so that a rounded number is written with no more digits than it was rounded to
        boxes = to_image(rows[:, BOX], canvas).astype(np.float64).round(PIXEL_DIGITS).tolist()
        scores = rows[:, CONFIDENCE].astype(np.float64).round(CONFIDENCE_DIGITS).tolist()
        ids = rows[:, CLASS].astype(np.int64).tolist()
        return tuple(
            Detection(facts.names.get(class_id, str(class_id)), class_id, score, (x1, y1, x2, y2))
            for (x1, y1, x2, y2), score, class_id in zip(boxes, scores, ids, strict=True)
        )

    def likeness(self, one: Detection, other: Detection) -> float:
        """Returns the IoU of the boxes; see `Task.likeness`."""
        assert one.xyxy is not None
        assert other.xyxy is not None
        return iou(one.xyxy, other.xyxy)

    def judged(self, records: Sequence[Detection]) -> Sequence[Detection]:
        """Returns all; see `Task.judged`."""
        return records

    def difference(
        self, expected: Sequence[NDArray[np.float32]], actual: Sequence[Raw], facts: ModelFacts, *, end_to_end: bool
    ) -> str | None:
        """See `Task.difference`."""
        import numpy as np

        whole, *maps = expected
        found = np.stack([raw.rows for raw in actual])
        if end_to_end:
            boxes, scores, own = whole[..., BOX], whole[..., CONFIDENCE], whole[..., OWN]
            boxes = cornered(boxes) if self.centred else boxes
            order = np.abs(np.diff(scores, axis=1)) > 2 * SCORE  # rows of like score may change places
            alone = np.pad(order, ((0, 0), (1, 0)), constant_values=True) & np.pad(order, ((0, 0), (0, 1)))
            of_class = found[..., CONFIDENCE]
        else:
            rows, end = whole.transpose(0, 2, 1), 4 + len(facts.names)
            centre, half, classes, own = rows[..., :2], rows[..., 2:4] / 2, rows[..., 4:end], rows[..., end:]
            boxes = np.concatenate([centre - half, centre + half], 2)
            scores = classes.max(2)
            alone = np.ones_like(scores, bool)
            # of two classes with like scores either may be best: what counts is the score that torch gives to the class
            of_class = np.take_along_axis(classes, found[..., CLASS, None].astype(np.int64), 2)[..., 0]
        pixels = float(np.abs(found[..., BOX] - boxes)[alone].max(initial=0))
        score = float(np.abs(np.stack([found[..., CONFIDENCE], of_class]) - scores).max())
        if not (pixels <= PIXELS and score <= SCORE):  # which holds for a NaN, too
            return f"boxes differ by up to {pixels:.3g} pixels, scores by up to {score:.3g}"
        more = float(np.abs(found[..., OWN] - own)[alone].max(initial=0))
        if not more <= self.own_difference:
            return f"what belongs to a box differs by up to {more:.3g}"
        return different_maps(maps[0], actual) if maps else None

    def cells(self, record: Detection) -> tuple[str | float, ...]:
        """See `Task.cells`."""
        assert record.confidence is not None
        assert record.xyxy is not None
        return (record.name, record.class_id, record.confidence, *record.xyxy)

    def shape(self, record: Detection) -> Shape:
        """See `Task.shape`."""
        return Shape(record.xyxy)

    def caption(self, record: Detection) -> str:
        """Returns the class and its confidence; see `Task.caption`."""
        return scored(record)


def scored(record: Detection) -> str:
    """Returns the class of a record and its confidence."""
    return f"{record.name} {record.confidence:.2f}"


def different_maps(expected: NDArray[np.float32], actual: Sequence[Raw]) -> str | None:
    """Compares maps as `Task.difference` compares all of an output."""
    import numpy as np

    found = np.stack([raw.maps for raw in actual if raw.maps is not None])
    share = float(np.abs(found - expected).max() / (np.abs(expected).max() or 1.0))
    return None if share <= MAPS else f"maps differ by up to {share:.3g} of their largest number"
