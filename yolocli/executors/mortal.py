"""A worker whose detector lives in a process of its own, which may die, or be ended because an image takes too long.

What is done about it is the same whatever leads there, a pipe or a cluster: no image is lost, and the one that a
process dies of is found.
"""

from __future__ import annotations

import itertools
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import ClassVar, TypeVar

from yolocli.errors import ModelError
from yolocli.executors import child
from yolocli.executors.base import Loaded, WorkerSpec
from yolocli.results import ImageFailure, ImageRef, Item, Outcome

T = TypeVar("T")

KILLED_RETRIES = 5
"""Times an image is tried alone when its process is killed from outside each time, which need not be its fault."""
START_ATTEMPTS = 8
"""Deaths in a row while a process loads its model, after which the run gives up: loading takes seconds on a busy
machine, and whoever kills a worker every second hits it there as often as at work."""
RESTART_SECONDS = 0.1
"""Wait before the second attempt, twice that before the third, and so on."""
TICK_SECONDS = 0.2
"""How often a wait looks at the clock. It counts no more than this at a time, as between two looks this process may
have been stopped (Ctrl-Z), and its children with it."""
GRACE_SECONDS = 10.0
"""What images in flight have to end in once the run was stopped, so that whoever stopped it need not kill it."""


class DiedError(Exception):
    """A process that has or should have a detector is dead."""


class ExpiredError(Exception):
    """A process was ended because an image took too long."""


class TheirTraceback(Exception):  # noqa: N818
    """Where in the other process the error was raised that this is the cause of."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def ticks(seconds: float) -> Iterator[float]:
    """Yields how long to wait until the next look at the clock, until the time is over."""
    left, before = seconds, time.monotonic()
    while left > 0:
        yield min(left, TICK_SECONDS)
        now = time.monotonic()
        left -= min(now - before, TICK_SECONDS)
        before = now


class MortalWorker(ABC):
    """This end of a process with a detector; see `Worker`."""

    loaded: Loaded
    DEATHS: ClassVar[int] = 1
    """Deaths in a row after which an image that is alone, or a blank one, is taken for their reason."""

    def __init__(self, spec: WorkerSpec, slot: int) -> None:
        self._loader = spec.loader
        self._prepared = spec.prepared(slot)
        self._timeout = spec.timeout
        self._pictures = spec.pictures

    def detect(self, items: Sequence[Item], batch: int) -> list[Outcome]:
        """See `Worker.detect`. After a death each image of the chunk is tried again, alone in a new process.

        Where there is a limit of time, which is an image's, each is alone from the start.
        """
        if self._timeout is None:
            try:
                return self._call(child.detect, tuple(items), batch)
            except DiedError:
                self._restart()
        return [self._detect_alone(item) for item in items]

    def expect(self, items: Sequence[Item]) -> None:
        """See `Worker.expect`."""
        with suppress(DiedError):  # which the next call will find, and it reads itself then
            self._call(child.expect, tuple(items))

    @abstractmethod
    def _call(self, function: Callable[..., T], *arguments: object, timeout: float | None = None) -> T:
        """Returns what a function gives in the process, or raises what it raises there.

        Raises:
            DiedError: If the process dies.
            ExpiredError: If it takes too long; the process is ended.
        """

    @abstractmethod
    def _was_killed(self) -> bool:
        """Tells of a process that died whether it was killed from outside."""

    @abstractmethod
    def _restart(self) -> None:
        """Puts another process in the place of one that died or was ended."""

    def _detect_alone(self, item: Item) -> Outcome:
        for attempt in itertools.count(1):
            try:
                return self._call(child.detect, (item,), 1, timeout=self._timeout)[0]
            except ExpiredError:
                self._restart()
                return _lost(item, "Timeout", f"took longer than --timeout {self._timeout:g} s")
            except DiedError:
                killed = self._was_killed()
                self._restart()
                if attempt >= (KILLED_RETRIES if killed else self.DEATHS):
                    if not killed:
                        self._check()
                    return _lost(item, "WorkerDied", "the worker process died whenever it was given this image")
        raise AssertionError("unreachable")

    def _check(self) -> None:
        """Makes sure that it was the image that the process died of.

        Raises:
            ModelError: If a new one dies of a blank image, too, or its network fails on it.
        """
        for attempt in itertools.count(1):
            try:
                return self._call(child.check, timeout=self._timeout)
            except ExpiredError:
                return self._restart()
            except DiedError as error:
                if self._was_killed():
                    return self._restart()
                if attempt == self.DEATHS:
                    raise ModelError(
                        f"{self._prepared.model}: the worker process dies of a blank image, too; try another --runtime"
                    ) from error
                self._restart()
        raise AssertionError("unreachable")


def _lost(item: Item, kind: str, message: str) -> Outcome:
    return ImageFailure(item, "worker", kind, message) if isinstance(item, ImageRef) else item
