"""The seam between a network's output and records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from yolocli.images.letterbox import Canvas
from yolocli.results import Detection

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Raw:
    """What a network found on one canvas.

    Attributes:
        rows: Array (n, 6 + k) of candidates, see `candidates`; k is what the task says.
        maps: What a task needs beside them, such as the prototypes of masks; None where it needs nothing.
    """

    rows: NDArray[np.float32]
    maps: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a model says of its output, for its task.

    Attributes:
        names: Class names by class index.
        more: What else its task `asks` for, if the model says it.
    """

    names: Mapping[int, str]
    more: Mapping[str, Any] = field(default_factory=dict)


class Task(Protocol):
    """What a model is for. It has no state: all methods may be called from any number of threads.

    Attributes:
        name: In the registry, and in a model's metadata.
        asks: What it must know of a model besides its classes, as Ultralytics' metadata names it: `kpt_shape`, say.
        columns: Of a table with a row for each record.
        plain_nms: `suppress` looks at nothing but boxes and classes, so that a runtime may do it on its device.
    """

    name: str
    asks: tuple[str, ...]
    columns: tuple[str, ...]
    plain_nms: bool

    def extra(self, facts: ModelFacts) -> int:
        """Returns how many columns the rows of a model have beyond the six of every task."""
        ...

    def suppress(self, rows: NDArray[np.float32], iou: float, limit: int) -> NDArray[np.float32]:
        """Keeps the best of candidates that are the same thing.

        Args:
            rows: Array (n, 6 + k), all finite. Not asked for rows of a network that has done this itself.
            iou: Overlap above which the lesser one is dropped, in [0, 1].
            limit: Rows kept at most.

        Returns:
            Array (m, 6 + k), by falling confidence.
        """
        ...

    def read(self, raw: Raw, canvas: Canvas, facts: ModelFacts) -> tuple[Detection, ...]:
        """Makes records of what is kept.

        Args:
            raw: Its rows are those to make records of, one each, in their order.
            canvas: Where they were found; coordinates of records are those of its image.
            facts: Of the model.
        """
        ...

    def likeness(self, one: Detection, other: Detection) -> float:
        """Returns how much two records of one class agree, in [0, 1]: 1 where they are the same thing."""
        ...

    def difference(
        self, expected: NDArray[np.float32], actual: Sequence[Raw], facts: ModelFacts, *, end_to_end: bool
    ) -> str | None:
        """Compares what two runtimes make of the same images, with all candidates and before any is suppressed.

        Args:
            expected: The output of the network itself: (images, 4 + classes + k, anchors) of centre x, centre y, width,
                height, the score of each class and what the task adds; or (images, boxes, 6 + k) when end to end.
            actual: Of the runtime that is checked, one for each image.
            facts: Of the model.
            end_to_end: The network has done its own NMS.

        Returns:
            What differs by more than is allowed, in words; None if nothing does.
        """
        ...

    def cells(self, record: Detection) -> tuple[str | float, ...]:
        """Returns the row of a record in a table, one cell for each of `columns`; text is not escaped."""
        ...
