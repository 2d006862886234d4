"""semantic: a class for each pixel; the share of an image that each class has."""

from __future__ import annotations

from typing import ClassVar

from yolocli.images.letterbox import Canvas
from yolocli.results import Detection, Findings
from yolocli.tasks.base import ModelFacts, Raw, Wanted
from yolocli.tasks.whole import MAP, MAPS, Whole, agreement

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
    likeness_name: ClassVar[str] = "ratio of shares"
    things: ClassVar[str] = "classes"

    def read(self, raw: Raw, canvas: Canvas, facts: ModelFacts, wanted: Wanted) -> Findings:
        """Makes a record of each class that is in the image, by class index; see `Task.read`."""
        import numpy as np

        from yolocli.images.labels import labels, labels_of_ids
        from yolocli.images.png import png

        assert raw.maps is not None
        found = labels_of_ids(raw.maps, canvas) if raw.maps.ndim == 2 else labels(raw.maps, canvas)
        counts = np.bincount(found.ravel()).tolist()
        class_of = {1: 0} if len(facts.names) == 1 else {label: label for label in sorted(facts.names)}
        kept = {label: index for label, index in class_of.items() if wanted.classes is None or index in wanted.classes}
        records = tuple(
            Detection(facts.names[index], index, more={RATIO: round(counts[label] / found.size, RATIO_DIGITS)})
            for label, index in kept.items()
            if label < len(counts) and counts[label]
        )
        if not wanted.maps:
            return Findings(records)
        large = len(facts.names) > IGNORED or len(counts) > IGNORED
        found, ignored = found.astype(np.uint16 if large else np.uint8), IGNORED_16 if large else IGNORED
        if len(kept) < len(class_of):
            found[~np.isin(found, list(kept))] = ignored
        return Findings(records, {MAP: {"ignored": ignored}}, {MAPS: png(found)})

    def likeness(self, one: Detection, other: Detection) -> float:
        """Returns the lesser share by the greater: their IoU is no more than that; see `Task.likeness`."""
        return agreement(one.more[RATIO], other.more[RATIO])

    def cells(self, record: Detection) -> tuple[str | float, ...]:
        """See `Task.cells`."""
        return (record.name, record.class_id, record.more[RATIO])
