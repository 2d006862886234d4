"""locked: one detector for all threads, its network behind a lock; reading, decoding and letterboxing go on outside."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ClassVar

from yolocli.detector import Detector, LockedDetector
from yolocli.executors.base import LocalWorker, WorkerSpec
from yolocli.runtimes import find_engine


class LockedExecutor:
    """One shared detector; see `Executor`."""

    shares: ClassVar[bool] = True
    ends_images: ClassVar[bool] = False
    elsewhere: ClassVar[bool] = False
    package: ClassVar[str | None] = None
    grace: float | None = None
    least: int | None = None
    most: int | None = None

    def __init__(self, spec: WorkerSpec) -> None:
        self._spec = spec
        self._asking = threading.Lock()
        self._owner = ThreadPoolExecutor(1, thread_name_prefix="yolocli-network")
        self._shared: Future[Detector] | None = None

    def open_worker(self, slot: int) -> LocalWorker:
        """See `Executor.open_worker`; the first caller has the detector built, and all get it, or what went wrong."""
        with self._asking:
            if self._shared is None:
                self._shared = self._owner.submit(self._load)
        return LocalWorker(self._shared.result(), self._spec.detector.asked, self._spec.pictures)

    def kill(self) -> None:
        """See `Executor.kill`; a thread cannot be."""

    def close(self) -> None:
        """See `Executor.close`."""
        self._owner.shutdown()

    def _load(self) -> Detector:
        prepared = self._spec.prepared(0)
        lock = find_engine(prepared.plan.runtime).lock()
        return LockedDetector(self._spec.loader.load(prepared), lock, self._owner)
