"""locked: one detector for all threads, its network behind a lock; reading, decoding and letterboxing go on outside."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor

from yolocli.config import RunConfig
from yolocli.detector import Detector, load_detector, share
from yolocli.executors.base import LocalWorker, detector_config


class LockedBackend:
    """One shared detector; see `Backend`."""

    grace: float | None = None

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        self._asking = threading.Lock()
        self._owner = ThreadPoolExecutor(1, thread_name_prefix="yolocli-network")
        self._shared: Future[Detector] | None = None

    def open_worker(self, slot: int) -> LocalWorker:
        """See `Backend.open_worker`; the first caller has the detector built, and all get it, or what went wrong."""
        with self._asking:
            if self._shared is None:
                self._shared = self._owner.submit(self._load)
        return LocalWorker(self._shared.result(), self._config.detector.max_pixels)

    def kill(self) -> None:
        """See `Backend.kill`; a thread cannot be."""

    def close(self) -> None:
        """See `Backend.close`."""
        self._owner.shutdown()

    def _load(self) -> Detector:
        return share(load_detector(detector_config(self._config, 0)), self._owner)
