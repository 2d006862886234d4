"""A detector without a network, for tests of what lies around it; importable by worker processes.

Images tell it what to do by their last pixel.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from yolocli.config import AUTO, DetectorConfig
from yolocli.detector import Detector, YoloLoader
from yolocli.errors import ModelError
from yolocli.images.letterbox import Canvas
from yolocli.images.picture import Picture
from yolocli.results import Detection, Findings
from yolocli.runtimes.plan import Plan, Prepared
from yolocli.tasks.base import Raw
from yolocli.tasks.detect import Detect

DEADLY = 252
"""An image that ends with this value ends the process that infers it."""
POISONED = 251
"""An image that ends with this value makes its whole batch fail."""
SLOW = 250
"""An image that ends with this value takes `SLOW_SECONDS`."""
SLOW_SECONDS = 8.0
ODD_WIDTH = 31
"""No graph can be compiled for images of this width."""
BROKEN, CRASHING = "broken", "crashing"
"""Asked for as the only class, they make the network fail on everything, or end its process."""


class FakeDetector:
    """Finds one thing the size of the image; its name tells the process that found it.

    Attributes:
        born: Thread that made it.
        inferred_in: Threads that called `infer`.
        together: Most threads that were in `infer` at once.
    """

    channels = 3
    description = "fake"
    best_batch = 1
    names: Mapping[int, str] = MappingProxyType({0: "thing", 1: "other"})
    task = Detect()
    keypoints = 0
    model = "fake.pt"

    def __init__(self, config: DetectorConfig | None = None, delay: float = 0.0) -> None:
        self.born = threading.get_ident()
        self.inferred_in: set[int] = set()
        self.batches: list[int] = []
        self.together = 0
        self._ask = config.classes[0] if config is not None and config.classes else ""
        self._inside = 0
        self._delay = delay
        self._counting = threading.Lock()

    def prepare(self, picture: Picture) -> tuple[Canvas, ...]:
        return (Canvas(picture.pixels, picture.width, picture.height),)

    def infer(self, batch: Sequence[Canvas]) -> list[Raw]:
        with self._counting:
            self.inferred_in.add(threading.get_ident())
            self.batches.append(len(batch))
            self._inside += 1
            self.together = max(self.together, self._inside)
        try:
            time.sleep(self._delay)
            ends = {int(canvas.pixels[-1, -1, 0]) for canvas in batch}
            if SLOW in ends:
                time.sleep(SLOW_SECONDS)
            if DEADLY in ends or self._ask == CRASHING:
                os._exit(1)  # as a crash in native code does, without a word
            if POISONED in ends:
                raise RuntimeError("poisoned")
            if self._ask == BROKEN:
                raise RuntimeError("no kernel\nfor this CPU")
            if any(canvas.width == ODD_WIDTH for canvas in batch):
                raise ModelError("cannot compile the model")
            return [Raw(np.array([[0, 0, c.width, c.height, 0.5, 0]], np.float32)) for c in batch]
        finally:
            with self._counting:
                self._inside -= 1

    def finish(self, found: Sequence[Raw], canvases: Sequence[Canvas]) -> Findings:
        x1, y1, x2, y2, score, class_id = found[0].rows[0].tolist()
        return Findings((Detection(f"pid {os.getpid()}", int(class_id), score, (x1, y1, x2, y2)),))


@dataclass
class FakeLoader:
    """Loads fakes, in any mode; a copy of it in another process makes its own.

    Attributes:
        delay: Seconds that the network takes.
        digest: Of the weights that there are not.
        made: Detectors made in this process, as they are made.
    """

    delay: float = 0.0
    digest: str = "0" * 64
    made: list[FakeDetector] = field(default_factory=list)

    def __reduce__(self) -> Any:
        return type(self), (self.delay, self.digest)

    def prepare(self, asked: DetectorConfig, devices: Sequence[str], notice: object) -> Prepared:
        plan = Plan(asked, self.digest, "torch" if asked.runtime == AUTO else asked.runtime, asked.precision)
        return Prepared(plan, Path("fake.pt"), threads=asked.threads)

    def prepare_here(self, prepared: Prepared) -> Prepared:
        return prepared

    def load(self, prepared: Prepared) -> FakeDetector:
        self.made.append(FakeDetector(prepared.asked, self.delay))
        return self.made[-1]


class TellingLoader(FakeLoader):
    """Fails with what a variable of the environment holds where it loads."""

    def load(self, prepared: Prepared) -> FakeDetector:
        raise ModelError(f"told: {os.environ['YOLOCLI_TEST_TOLD']}")


class GuardedLoader(YoloLoader):
    """Loads the real detector where making a YOLO or a predictor is an error."""

    def load(self, prepared: Prepared) -> Detector:
        forbid_shared_state()
        return super().load(prepared)


class GuiltyLoader(YoloLoader):
    """Makes what `GuardedLoader` forbids."""

    def load(self, prepared: Prepared) -> Any:
        forbid_shared_state()
        from ultralytics import YOLO

        return YOLO(prepared.model)


class CountingLoader(YoloLoader):
    """Loads the real detector, and lets its boxes tell how many threads torch has where the network runs."""

    def load(self, prepared: Prepared) -> Detector:
        import torch

        detector = super().load(prepared)
        plain = detector.infer
        counted: list[int] = []

        def infer(batch: Sequence[Canvas]) -> list[Raw]:
            counted.append(torch.get_num_threads())
            return plain(batch)

        def finish(found: Sequence[Raw], canvases: Sequence[Canvas]) -> Findings:
            return Findings(tuple(Detection(f"{count} threads", 0, 0.5, (0, 0, 1, 1)) for count in counted))

        detector.infer, detector.finish = infer, finish  # type: ignore[method-assign]
        return detector


def forbid_shared_state(patch: pytest.MonkeyPatch | None = None) -> None:
    """Makes the classes that Ultralytics' guide warns of impossible to instantiate, in this process."""
    from ultralytics.engine.model import Model
    from ultralytics.engine.predictor import BasePredictor

    def refuse(self: object, *args: Any, **kwargs: Any) -> None:
        raise AssertionError(f"{type(self).__name__} was made")

    for owner in (Model, BasePredictor):
        if patch is not None:
            patch.setattr(owner, "__init__", refuse)
        else:
            owner.__init__ = refuse


def install(patch: pytest.MonkeyPatch, loader: FakeLoader | None = None) -> list[FakeDetector]:
    """Has every run that is given no loader take fakes; returns those made in this process, as they are made."""
    loader = loader or FakeLoader()
    patch.setattr("yolocli.pipeline.DEFAULT_LOADER", loader)
    return loader.made
