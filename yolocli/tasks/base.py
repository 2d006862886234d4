"""The seam between a network's output and records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from yolocli.config import DEFAULT_MASKS
from yolocli.images.letterbox import Canvas, Fit
from yolocli.results import Detection, Findings
from yolocli.tasks.fields import Kind
from yolocli.tasks.shape import Shape

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Raw:
    """What a network found on one canvas.

    Attributes:
        rows: Array (n, 6 + k) of candidates, see `candidates`; k is what the task says. None are of a task for whole
            images.
        maps: What a task needs beside them, such as the prototypes of masks; of a task for whole images, all that the
            network gives. None where it needs nothing.
    """

    rows: NDArray[np.float32]
    maps: NDArray[Any] | None = None


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a model says of its output, for its task.

    Attributes:
        names: Class names by class index.
        more: What else its task `asks` for, if the model says it.
        agnostic: Candidates of different classes can be the same thing, too.
    """

    names: Mapping[int, str]
    more: Mapping[str, Any] = field(default_factory=dict)
    agnostic: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for of what a network finds.

    Attributes:
        classes: Class indices; None for all.
        masks: Form of the masks of a task that has some, see `MASKS`.
        maps: Give the map of a task that has one as a file, too.
    """

    classes: frozenset[int] | None = None
    masks: str = DEFAULT_MASKS
    maps: bool = False


class Task(Protocol):
    """What a model is for. It has no state: all methods may be called from any number of threads.

    Attributes:
        name: In the registry, and in a model's metadata.
        asks: What it must know of a model besides its classes, as Ultralytics' metadata names it: `kpt_shape`, say.
        fit: How an image is fitted into the input of the network, for models that do not say it.
        columns: Of a table with a row for each record.
        fields: Of a record, besides name and class, in the order of `Detection.to_dict`.
        image_fields: What it adds to the record of an image; see `Findings.more`.
        whole: It is about an image as a whole: what the network gives is in `Raw.maps`, as it is, and there are no
            rows to be suppressed.
        maps: A network gives `Raw.maps` beside its rows.
        plain_nms: `suppress` looks at nothing but boxes and classes, so that a runtime may do it on its device.
        centred: A network that has done its own NMS gives centre x, centre y, width and height in place of corners.
        likeness_name: What `likeness` is called.
        things: What it finds, in the plural, for tables that count them.
        by_class: A record is the same whatever other classes are asked for, so that some can be left out afterwards.
    """

    name: str
    asks: tuple[str, ...]
    fit: Fit
    columns: tuple[str, ...]
    fields: Mapping[str, Kind]
    image_fields: Mapping[str, Kind]
    whole: bool
    maps: bool
    plain_nms: bool
    centred: bool
    likeness_name: str
    things: str
    by_class: bool

    def keypoints(self, facts: ModelFacts) -> int:
        """Returns how many keypoints each record of a model has."""
        ...

    def extra(self, facts: ModelFacts) -> int:
        """Returns how many columns the rows of a model have beyond the six of every task."""
        ...

    def place(
        self, distances: NDArray[np.float32], points: NDArray[np.float32], own: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Makes boxes of what a network says of a few anchors.

        Args:
            distances: Of the four sides from the anchor, (n, 4): left, top, right, bottom, in units of its stride.
            points: Anchors (n, 2), in units of their strides.
            own: What the task has beyond the six columns of every task, (n, k).

        Returns:
            Array (n, 4) of centre x, centre y, width, height in units of the strides.
        """
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

    def read(self, raw: Raw, canvas: Canvas, facts: ModelFacts, wanted: Wanted) -> Findings:
        """Makes records of what is kept.

        Args:
            raw: Its rows are those to make records of, in their order.
            canvas: Where they were found; coordinates of records are those of its image.
            facts: Of the model.
            wanted: What of it is asked for; rows of other classes are gone before.
        """
        ...

    def likeness(self, one: Detection, other: Detection) -> float:
        """Returns how much two records of one class agree, in [0, 1]: 1 where they are the same thing."""
        ...

    def judged(self, records: Sequence[Detection]) -> Sequence[Detection]:
        """Returns the records of an image that count: in figures, and where two detectors are compared."""
        ...

    def difference(
        self, expected: Sequence[NDArray[np.float32]], actual: Sequence[Raw], facts: ModelFacts, *, end_to_end: bool
    ) -> str | None:
        """Compares what two runtimes make of the same images, with all candidates and before any is suppressed.

        Args:
            expected: The output of the network itself: (images, 4 + classes + k, anchors) of centre x, centre y, width,
                height, the score of each class and what the task adds; or (images, boxes, 6 + k) when end to end; or
                what a task for whole images has in `maps`. Then what else it has in `maps`.
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

    def shape(self, record: Detection) -> Shape:
        """Returns where a record is in its image."""
        ...

    def caption(self, record: Detection) -> str:
        """Returns what a person is to read of a record, in a word or two; text is not escaped."""
        ...
