"""segment: a box for each object, and the mask of its pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import accumulate
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from yolocli.errors import ModelError
from yolocli.images import rle
from yolocli.images.letterbox import Canvas, points_to_image
from yolocli.images.masks import Mask, edges_on_image, mask_in_box, outlines, overlap
from yolocli.results import PIXEL_DIGITS, Detection, Findings
from yolocli.tasks.base import ModelFacts, Raw, Wanted
from yolocli.tasks.candidates import BOX, OWN
from yolocli.tasks.detect import Detect
from yolocli.tasks.fields import Each, Kind
from yolocli.tasks.shape import Shape

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PROTOTYPES = "nm"
"""What models say of their masks: how many prototypes they are made of."""
MOST_PROTOTYPES = 10_000
USUAL_PROTOTYPES = 32


class Segment(Detect):
    """See `Task`."""

    name: ClassVar[str] = "segment"
    asks: ClassVar[tuple[str, ...]] = (PROTOTYPES,)
    columns: ClassVar[tuple[str, ...]] = (*Detect.columns, "segments")
    fields: ClassVar[Mapping[str, Kind]] = {
        **Detect.fields,
        "segments": {"x": Each(float), "y": Each(float), "rings": Each(int)},
        "rle": {"size": Each(int), "counts": str},
    }
    maps: ClassVar[bool] = True
    likeness_name: ClassVar[str] = "mask IoU"
    things: ClassVar[str] = "masks"
    own_difference: ClassVar[float] = 0.01
    """Of a prototype's share in a mask, the largest of which are 1 or more."""

    def extra(self, facts: ModelFacts) -> int:
        """See `Task.extra`."""
        count = facts.more.get(PROTOTYPES, USUAL_PROTOTYPES)
        if not (isinstance(count, int) and 1 <= count <= MOST_PROTOTYPES):
            raise ModelError(f"{PROTOTYPES} {count!r} is damaged: it should be a number of prototypes of masks")
        return count

    def read(self, raw: Raw, canvas: Canvas, facts: ModelFacts, wanted: Wanted) -> Findings:
        """See `Task.read`; there is no record of a box in which no pixel is masked, as Ultralytics has none either."""
        assert raw.maps is not None
        height, width, _ = canvas.shape
        fields, masked = _FORMS[wanted.masks], []
        more = []
        for index, (box, shares) in enumerate(zip(raw.rows[:, BOX].tolist(), raw.rows[:, OWN], strict=True)):
            mask = mask_in_box(raw.maps, shares, box, width, height)
            if mask is not None:  # and gone with the next one: what stays is small
                masked.append(index)
                more.append(fields(mask, canvas))
        boxes = self.boxes(raw.rows[masked], canvas, facts)
        return Findings(tuple(replace(box, more=own) for box, own in zip(boxes, more, strict=True)))

    def likeness(self, one: Detection, other: Detection) -> float:
        """Returns the IoU of the masks, or of the boxes of records without masks; see `Task.likeness`."""
        of_boxes = super().likeness(one, other)
        if not of_boxes:  # a mask ends with its box
            return 0.0
        if "rle" in one.more:
            return rle.overlap(*(rle.decode(record.more["rle"]["counts"]) for record in (one, other)))
        return overlap(_rings(one), _rings(other)) if "segments" in one.more else of_boxes

    def cells(self, record: Detection) -> tuple[str | float, ...]:
        """See `Task.cells`; points are `x y`, separated by commas, and rings by semicolons; of RLE the counts."""
        if "rle" in record.more:
            text = record.more["rle"]["counts"]
        elif "segments" in record.more:
            points = [f"{x} {y}" for x, y in zip(*_coordinates(record), strict=True)]
            text = "; ".join(", ".join(points[ring]) for ring in _slices(record))
        else:
            text = ""
        return (*super().cells(record), text)

    def shape(self, record: Detection) -> Shape:
        """See `Task.shape`; records without masks have boxes alone."""
        rings: tuple[tuple[tuple[float, float], ...], ...] = ()
        if "segments" in record.more:
            points = list(zip(*_coordinates(record), strict=True))
            rings = tuple(tuple(points[ring]) for ring in _slices(record))
        return replace(super().shape(record), rings=rings, rle=record.more.get("rle"))


def _polygon(mask: Mask, canvas: Canvas) -> dict[str, Any]:
    """Returns the outlines in pixels of the image, scaled as Ultralytics' `scale_coords` (utils/ops.py) does."""
    import numpy as np

    found = outlines(mask)
    points = points_to_image(np.concatenate(found).astype(np.float32), canvas).astype(np.float64).round(PIXEL_DIGITS)
    fields = {"x": points[:, 0].tolist(), "y": points[:, 1].tolist()}
    return {"segments": fields | ({"rings": [len(ring) for ring in found]} if len(found) > 1 else {})}


def _rle(mask: Mask, canvas: Canvas) -> dict[str, Any]:
    """Returns the mask at the size of the image."""
    counts = rle.encode(edges_on_image(mask, canvas), canvas.height * canvas.width)
    return {"rle": {"size": [canvas.height, canvas.width], "counts": counts}}


_FORMS: Mapping[str, Callable[[Mask, Canvas], dict[str, Any]]] = MappingProxyType(
    {"polygon": _polygon, "rle": _rle, "none": lambda mask, canvas: {}}
)
"""By the names in `MASKS`."""


def _coordinates(record: Detection) -> tuple[list[float], list[float]]:
    return record.more["segments"]["x"], record.more["segments"]["y"]


def _slices(record: Detection) -> list[slice]:
    """Returns where each ring of a record has its points."""
    x, _ = _coordinates(record)
    ends = list(accumulate(record.more["segments"].get("rings", [len(x)])))
    return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]


def _rings(record: Detection) -> list[NDArray[np.float64]]:
    """Returns the points (n, 2) of each ring of a record."""
    import numpy as np

    points = np.array(_coordinates(record)).T
    return [points[ring] for ring in _slices(record)]
