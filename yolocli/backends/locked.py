"""locked: one detector for all threads, its network behind a lock; reading, decoding and letterboxing go on outside."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from yolocli.backends.base import LocalWorker, detector_config
from yolocli.config import RunConfig
from yolocli.detector import Detector, load_detector, share


class LockedBackend:
    """One shared detector; see `Backend`."""

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        self._building = threading.Lock()
        self._owner = ThreadPoolExecutor(1, thread_name_prefix="yolocli-network")
        self._detector: Detector | None = None

    def open_worker(self, slot: int) -> LocalWorker:
        """See `Backend.open_worker`; the first caller builds the detector, the others wait for it."""
        with self._building:
            if self._detector is None:
                detector = self._owner.submit(load_detector, detector_config(self._config, 0)).result()
                self._detector = share(detector, self._owner)
        return LocalWorker(self._detector, self._config.detector.max_pixels)

    def close(self) -> None:
        """See `Backend.close`."""
        self._owner.shutdown()
