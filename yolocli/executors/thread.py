"""thread: every worker thread builds a detector of its own, inside the thread."""

from __future__ import annotations

from yolocli.config import RunConfig
from yolocli.detector import load_detector
from yolocli.executors.base import LocalWorker, detector_config


class ThreadBackend:
    """A detector per thread; see `Backend`."""

    grace: float | None = None

    def __init__(self, config: RunConfig) -> None:
        self._config = config

    def open_worker(self, slot: int) -> LocalWorker:
        """See `Backend.open_worker`."""
        config = detector_config(self._config, slot)
        return LocalWorker(load_detector(config), config.max_pixels)

    def kill(self) -> None:
        """See `Backend.kill`; a thread cannot be."""

    def close(self) -> None:
        """See `Backend.close`; nothing is shared."""
