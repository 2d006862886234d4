"""What every mode is made of: a backend opens workers, and a worker owns or shares a detector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from yolocli.config import DetectorConfig, RunConfig
from yolocli.detector import Detector
from yolocli.executors.chunk import check_network, detect_images
from yolocli.results import Item, Outcome


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a worker that is ready says of itself.

    Attributes:
        description: What runs where.
        best_batch: Images that should go through the network together there.
        names: The model's class names by class index.
    """

    description: str
    best_batch: int
    names: Mapping[int, str]


class Worker(Protocol):
    """One detector and the hand that feeds it. All its methods are called from one thread.

    Attributes:
        loaded: What it says of itself.
    """

    loaded: Loaded

    def detect(self, items: Sequence[Item], batch: int) -> list[Outcome]:
        """Returns one Outcome for each item, in their order; so many go through the network together at most."""
        ...

    def close(self) -> int:
        """Ends the worker; returns the peak memory in bytes of processes that were its own."""
        ...


class Backend(Protocol):
    """A mode.

    Attributes:
        grace: Seconds that images in flight have once the run was stopped; None where workers cannot be killed.
    """

    grace: float | None

    def open_worker(self, slot: int) -> Worker:
        """Builds a worker, in the thread that will use it. Slots count from 0.

        Raises:
            YolocliError: If the model cannot be loaded or the worker cannot be started.
        """
        ...

    def kill(self) -> None:
        """Ends the workers that are still at work, and those about to be opened, where they can be killed."""
        ...

    def close(self) -> None:
        """Ends what the workers shared; they have ended before."""
        ...


class LocalWorker:
    """A worker whose detector lives in this process."""

    def __init__(self, detector: Detector, max_pixels: int) -> None:
        self._detector = detector
        self._max_pixels = max_pixels
        self.loaded = Loaded(detector.description, detector.best_batch, dict(detector.names))

    def detect(self, items: Sequence[Item], batch: int) -> list[Outcome]:
        """See `Worker.detect`."""
        return detect_images(self._detector, items, batch=batch, max_pixels=self._max_pixels)

    def check(self) -> None:
        """See `check_network`."""
        check_network(self._detector)

    def close(self) -> int:
        """See `Worker.close`; there is no process of its own."""
        return 0


def detector_config(config: RunConfig, slot: int) -> DetectorConfig:
    """Returns the settings of a slot's detector: devices are dealt like cards."""
    if not config.devices:
        return config.detector
    return replace(config.detector, device=config.devices[slot % len(config.devices)])
