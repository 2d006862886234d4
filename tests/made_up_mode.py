"""A mode in which workers of one process take turns; see `yolocli.executors.base.Executor`."""

from __future__ import annotations

from typing import ClassVar

from yolocli.executors.base import LocalWorker, WorkerSpec


class TurnsExecutor:
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
        prepared = self._spec.prepared(slot)
        return LocalWorker(self._spec.loader.load(prepared), prepared.asked)

    def kill(self) -> None: ...

    def close(self) -> None: ...
