"""semantic: a class for each pixel; the share of an image that each class has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from yolocli.images.letterbox import Canvas
from yolocli.results import Detection, Findings
from yolocli.tasks.base import ModelFacts, Raw, Wanted
from yolocli.tasks.fields import Kind
from yolocli.tasks.whole import MAP, MAPS, Whole, agreement

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATIO = "pixel_ratio"
RATIO_DIGITS = 5
"""Decimals kept of a share, as Ultralytics keeps them."""
IGNORED, IGNORED_16 = 255, 65535
"""Of pixels of classes that are not wanted, in maps of 8 and of 16 bits."""


class Semantic(Whole):
    """See `Task`. A network gives scores, (classes, height, width), or the class itself, (height, width).

    The map is that of Ultralytics' predict: class indices; of a model with one class 1 where that is, else 0.
    """

    name: ClassVar[str] = "semantic"
    columns: ClassVar[tuple[str, ...]] = ("name", "class", RATIO)
    fields: ClassVar[Mapping[str, Kind]] = {RATIO: float}
    image_fields: ClassVar[Mapping[str, Kind]] = {MAP: {"file": str, "ignored": int}}
    likeness_name: ClassVar[str] = "ratio of shares"
    things: ClassVar[str] = "classes"
    by_class: ClassVar[bool] = True

    def can_read(self, shape: tuple[int, ...]) -> bool:
        """See `Whole.can_read`."""
        return len(shape) in {2, 3}

    def read(self, raw: Raw, canvas: Canvas, facts: ModelFacts, wanted: Wanted) -> Findings:
        """Makes a record of each class that is in the image, by class index; see `Task.read`."""
        import numpy as np

        from yolocli.images.labels import labels, labels_of_ids
        from yolocli.images.png import png

        output = self.output(raw)
        found = labels_of_ids(output, canvas) if output.ndim == 2 else labels(output, canvas)
        class_of = {1: 0} if len(facts.names) == 1 else {label: label for label in sorted(facts.names)}
        kept = {label: index for label, index in class_of.items() if wanted.classes is None or index in wanted.classes}
        counts = _counts(found)
        records = tuple(
            Detection(facts.names[index], index, more={RATIO: round(counts[label] / found.size, RATIO_DIGITS)})
            for label, index in kept.items()
            if label < len(counts) and counts[label]
        )
        if not wanted.maps:
            return Findings(records)
        ignored = IGNORED if max(len(facts.names), len(counts)) <= IGNORED else IGNORED_16
        if ignored > IGNORED:
            found = found.astype(np.uint16)
        if len(kept) < len(class_of):
            _ignore(found, [label for label in range(len(counts)) if label not in kept], ignored)
        return Findings(records, {MAP: {"ignored": ignored}}, {MAPS: png(found)})

    def likeness(self, one: Detection, other: Detection) -> float:
        """Returns the lesser share by the greater: their IoU is no more than that; see `Task.likeness`."""
        return agreement(one.more[RATIO], other.more[RATIO])

    def cells(self, record: Detection) -> tuple[str | float, ...]:
        """See `Task.cells`."""
        return (record.name, record.class_id, record.more[RATIO])

    def caption(self, record: Detection) -> str:
        """Returns the class and its share of the pixels; see `Task.caption`."""
        return f"{record.name} {record.more[RATIO]:.1%}"


def _counts(labels: NDArray[Any]) -> list[int]:
    """Returns how many pixels each label has; row by row, as numpy makes 8 bytes of each pixel to count them."""
    import numpy as np

    counts = np.zeros(int(labels.max()) + 1, np.int64)
    for row in labels:
        counts += np.bincount(row, minlength=len(counts))
    return [int(count) for count in counts]


def _ignore(labels: NDArray[Any], which: Sequence[int], ignored: int) -> None:
    """Replaces some labels by another, in place and row by row, as above."""
    import numpy as np

    replaced = np.arange(int(labels.max()) + 1, dtype=labels.dtype)
    replaced[list(which)] = ignored
    for row in labels:
        row[:] = replaced[row]
