"""What tasks share that are about an image as a whole: no rows, and so none to suppress or to place."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from yolocli.errors import ModelError
from yolocli.images.letterbox import Fit
from yolocli.results import Detection
from yolocli.tasks.base import ModelFacts, Raw
from yolocli.tasks.detect import different_maps
from yolocli.tasks.fields import Kind
from yolocli.tasks.shape import Shape

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


MAP = "map"
"""Field of a record that tells of the map."""
MAPS = "maps"
"""What the files of maps are called in `Findings`, and so their folder."""


class Whole(ABC):
    """The part of a `Task` that is the same in all of them."""

    name: ClassVar[str]
    image_fields: ClassVar[Mapping[str, Kind]] = {}
    asks: ClassVar[tuple[str, ...]] = ()
    fit: ClassVar[Fit] = "letterbox"
    whole: ClassVar[bool] = True
    maps: ClassVar[bool] = False
    plain_nms: ClassVar[bool] = False
    centred: ClassVar[bool] = False
    things: ClassVar[str] = "images"
    by_class: ClassVar[bool] = False

    def keypoints(self, facts: ModelFacts) -> int:
        """See `Task.keypoints`."""
        return 0

    def extra(self, facts: ModelFacts) -> int:
        """See `Task.extra`."""
        return 0

    def place(
        self, distances: NDArray[np.float32], points: NDArray[np.float32], own: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """See `Task.place`; there are no boxes."""
        raise NotImplementedError

    def suppress(self, rows: NDArray[np.float32], iou: float, limit: int) -> NDArray[np.float32]:
        """See `Task.suppress`."""
        return rows

    def output(self, raw: Raw) -> NDArray[Any]:
        """Returns what the network gives.

        Raises:
            ModelError: If it has another shape than that of a network for this task.
        """
        if raw.maps is None or not self.can_read(raw.maps.shape):
            shape = None if raw.maps is None else raw.maps.shape
            raise ModelError(f"output of shape {shape} is not that of a model for '{self.name}'; it cannot be read")
        return raw.maps

    @abstractmethod
    def can_read(self, shape: tuple[int, ...]) -> bool:
        """Tells whether an output of this shape, for one image, is that of a network for this task."""

    def judged(self, records: Sequence[Detection]) -> Sequence[Detection]:
        """Returns all; see `Task.judged`."""
        return records

    def difference(
        self, expected: Sequence[NDArray[np.float32]], actual: Sequence[Raw], facts: ModelFacts, *, end_to_end: bool
    ) -> str | None:
        """See `Task.difference`."""
        return different_maps(expected[0], actual)

    def shape(self, record: Detection) -> Shape:
        """See `Task.shape`; the image as a whole has none."""
        return Shape()


def agreement(one: float, other: float) -> float:
    """Returns the lesser of two numbers, neither less than 0, as a share of the greater; 1 where both are 0."""
    return min(one, other) / (max(one, other) or 1.0) if one != other else 1.0
