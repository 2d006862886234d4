"""A task with a head of its own, as a stranger would add it: this module, and one row."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from yolocli.images.letterbox import Canvas
from yolocli.results import Detection, Findings
from yolocli.tasks.base import ModelFacts, Raw, Wanted
from yolocli.tasks.candidates import OWN
from yolocli.tasks.detect import Detect
from yolocli.tasks.fields import Kind

ROW = "tests.tasks.made_up:Turned"


class Turned(Detect):
    """A box, and the angle that what is in it is turned by. Things turned otherwise are other things."""

    name: ClassVar[str] = "turned"
    asks: ClassVar[tuple[str, ...]] = ("full_turn",)
    columns: ClassVar[tuple[str, ...]] = (*Detect.columns, "degrees")
    fields: ClassVar[Mapping[str, Kind]] = {**Detect.fields, "degrees": float}
    image_fields: ClassVar[Mapping[str, Kind]] = {"turned": int}
    plain_nms: ClassVar[bool] = False
    own_difference: ClassVar[float] = 1e-3

    def extra(self, facts: ModelFacts) -> int:
        return 1

    def suppress(self, rows: NDArray[np.float32], iou: float, limit: int) -> NDArray[np.float32]:
        apart = rows.copy()
        apart[:, 0:3:2] += rows[:, OWN].round() * 10_000
        kept = super().suppress(apart, iou, limit)
        kept[:, 0:3:2] -= kept[:, OWN].round() * 10_000
        return kept

    def read(self, raw: Raw, canvas: Canvas, facts: ModelFacts, wanted: Wanted) -> Findings:
        turns = raw.rows[:, OWN].ravel() / float(facts.more.get("full_turn", 1))
        boxes = self.boxes(raw.rows, canvas, facts)
        degrees = [round(360 * float(turn), 1) for turn in turns]
        return Findings(
            tuple(replace(box, more={"degrees": angle}) for box, angle in zip(boxes, degrees, strict=True)),
            {"turned": sum(angle > 0 for angle in degrees)},
        )

    def likeness(self, one: Detection, other: Detection) -> float:
        between = math.radians(one.more["degrees"] - other.more["degrees"])
        return super().likeness(one, other) * max(math.cos(between), 0)

    def cells(self, record: Detection) -> tuple[str | float, ...]:
        return (*super().cells(record), record.more["degrees"])
