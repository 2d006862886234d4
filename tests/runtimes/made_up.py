"""A runtime that runs nothing; see `yolocli.runtimes.base.Engine`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from yolocli.config import Precision
from yolocli.images.letterbox import Canvas
from yolocli.machine.threads import OneAtATime
from yolocli.runtimes.base import frame_for
from yolocli.runtimes.plan import Plan, Prepared
from yolocli.tasks.base import ModelFacts, Raw
from yolocli.tasks.detect import Detect

PRELOAD = "tests.runtimes.made_up"


def installed() -> bool:
    return True


def suits(model: Path, devices: Sequence[str]) -> tuple[bool, str]:
    return model.suffix == ".made", "it is made for this"


def precision(wanted: Precision | None, model: Path, devices: Sequence[str]) -> Precision | None:
    return wanted


def convert(plan: Plan, model: Path, notice: Callable[[str], None]) -> Path | None:
    return None


def gpus(devices: Sequence[str]) -> int:
    return 0


def lock() -> OneAtATime:
    return OneAtATime()


def load(prepared: Prepared) -> MadeUp:
    return MadeUp()


class MadeUp:
    """Finds one box in every image; see `Runtime`."""

    task = Detect()
    facts = ModelFacts({0: "thing"})
    frame = frame_for((32, 32), 32, rectangular=True)
    channels = 3
    suppressed = False
    description = "made up"
    best_batch = 1

    def infer(self, batch: Sequence[Canvas]) -> list[Raw]:
        return [Raw(np.array([[1, 2, 3, 4, 0.5, 0]], np.float32)) for _ in batch]
