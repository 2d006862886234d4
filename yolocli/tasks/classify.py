"""classify: what an image as a whole shows, the likeliest classes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import ClassVar

from yolocli.images.letterbox import Canvas, Fit
from yolocli.results import CONFIDENCE_DIGITS, Detection, Findings
from yolocli.tasks.base import ModelFacts, Raw, Wanted
from yolocli.tasks.detect import scored
from yolocli.tasks.fields import CONFIDENCE_FIELD, Kind
from yolocli.tasks.whole import Whole

BEST = 5
"""Classes that are recorded of an image, as Ultralytics records them."""


class Classify(Whole):
    """See `Task`. A network gives the probability of each class, (classes,)."""

    name: ClassVar[str] = "classify"
    fit: ClassVar[Fit] = "crop"
    columns: ClassVar[tuple[str, ...]] = ("name", "class", "confidence")
    fields: ClassVar[Mapping[str, Kind]] = CONFIDENCE_FIELD
    likeness_name: ClassVar[str] = "top-1"

    def can_read(self, shape: tuple[int, ...]) -> bool:
        """See `Whole.can_read`."""
        return len(shape) == 1

    def read(self, raw: Raw, canvas: Canvas, facts: ModelFacts, wanted: Wanted) -> Findings:
        """Makes records of the best classes, of those wanted, whatever their probability; see `Task.read`."""
        import numpy as np

        scores = self.output(raw).astype(np.float64)
        order = np.argsort(-scores, kind="stable").tolist()  # of equal ones the first class comes first
        usable = (index for index in order if index in facts.names and np.isfinite(scores[index]))
        best = list(islice((i for i in usable if wanted.classes is None or i in wanted.classes), BEST))
        confidences = scores[best].round(CONFIDENCE_DIGITS).tolist()
        return Findings(
            tuple(Detection(facts.names[index], index, score) for index, score in zip(best, confidences, strict=True))
        )

    def likeness(self, one: Detection, other: Detection) -> float:
        """Returns 1, as both are of one class, which is all there is to them; see `Task.likeness`."""
        return 1.0

    def judged(self, records: Sequence[Detection]) -> Sequence[Detection]:
        """Returns the best; see `Task.judged`."""
        return records[:1]

    def cells(self, record: Detection) -> tuple[str | float, ...]:
        """See `Task.cells`."""
        assert record.confidence is not None
        return (record.name, record.class_id, record.confidence)

    def caption(self, record: Detection) -> str:
        """Returns the class and its confidence; see `Task.caption`."""
        return scored(record)
