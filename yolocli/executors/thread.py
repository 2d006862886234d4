"""thread: every worker thread builds a detector of its own, inside the thread."""

from __future__ import annotations

from typing import ClassVar

from yolocli.executors.base import LocalWorker, WorkerSpec


class ThreadExecutor:
    """A detector per thread; see `Executor`."""

    shares: ClassVar[bool] = False
    ends_images: ClassVar[bool] = False
    elsewhere: ClassVar[bool] = False
    package: ClassVar[str | None] = None
    grace: float | None = None
    least: int | None = None
    most: int | None = None

    def __init__(self, spec: WorkerSpec) -> None:
        self._spec = spec

    def open_worker(self, slot: int) -> LocalWorker:
        """See `Executor.open_worker`."""
        prepared = self._spec.prepared(slot)
        return LocalWorker(self._spec.loader.load(prepared), prepared.asked, self._spec.pictures)

    def kill(self) -> None:
        """See `Executor.kill`; a thread cannot be."""

    def close(self) -> None:
        """See `Executor.close`; nothing is shared."""
