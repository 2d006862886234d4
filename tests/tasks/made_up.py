"""A task with a head of its own, as a stranger would add it: this module, and one row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from yolocli.images.letterbox import Canvas
from yolocli.results import Detection
from yolocli.tasks.base import ModelFacts, Raw
from yolocli.tasks.candidates import OWN
from yolocli.tasks.detect import Detect

ROW = "tests.tasks.made_up:Turned"


class Turned(Detect):
    """A box, and the angle that what is in it is turned by. Things turned otherwise are other things."""

    name: ClassVar[str] = "turned"
    asks: ClassVar[tuple[str, ...]] = ("full_turn",)
    columns: ClassVar[tuple[str, ...]] = (*Detect.columns, "degrees")
    plain_nms: ClassVar[bool] = False

    def extra(self, facts: ModelFacts) -> int:
        return 1

    def suppress(self, rows: NDArray[np.float32], iou: float, limit: int) -> NDArray[np.float32]:
        apart = rows.copy()
        apart[:, 0:3:2] += rows[:, OWN].round() * 10_000
        kept = super().suppress(apart, iou, limit)
        kept[:, 0:3:2] -= kept[:, OWN].round() * 10_000
        return kept

    def read(self, raw: Raw, canvas: Canvas, facts: ModelFacts) -> tuple[Detection, ...]:
        turns = raw.rows[:, OWN].ravel() / float(facts.more.get("full_turn", 1))
        boxes = super().read(raw, canvas, facts)
        return tuple(
            replace(box, more={"degrees": round(360 * float(turn), 1)}) for box, turn in zip(boxes, turns, strict=True)
        )

    def likeness(self, one: Detection, other: Detection) -> float:
        between = math.radians(one.more["degrees"] - other.more["degrees"])
        return super().likeness(one, other) * max(math.cos(between), 0)

    def difference(
        self, expected: NDArray[np.float32], actual: Sequence[Raw], facts: ModelFacts, *, end_to_end: bool
    ) -> str | None:
        own = expected[..., OWN] if end_to_end else expected[:, 4 + len(facts.names) :].transpose(0, 2, 1)
        worst = float(np.abs(np.stack([raw.rows[:, OWN] for raw in actual]) - own).max())
        plain = super().difference(expected, actual, facts, end_to_end=end_to_end)
        return plain or (None if worst <= 1e-3 else f"turns differ by up to {worst:.3g}")

    def cells(self, record: Detection) -> tuple[str | float, ...]:
        return (*super().cells(record), record.more["degrees"])
