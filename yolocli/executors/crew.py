"""Threads that each drive one worker, as many of them as there is work and memory for."""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, TypeAlias

from yolocli.executors.ahead import Ahead
from yolocli.executors.base import Executor, Loaded
from yolocli.executors.feed import STUCK_SECONDS, Feed
from yolocli.machine.cpus import usable_cpus
from yolocli.machine.memory import available_memory
from yolocli.machine.threads import start_thread
from yolocli.results import Outcome

AT_ONCE = 4
"""Models that load at once at least; at most one more than there are cores, which do it no faster for more."""
WORKER_BYTES = 128 << 20
"""What a worker is thought to take before one has been measured, and at least after: images need room, too."""
PLACE_SECONDS = 10.0
"""How long a run that could begin waits for the next worker, where workers may have to wait for a place."""
KILLED_SECONDS = 1.0
"""What the thread of a worker that was killed has to end in; it may hang in the start of another."""
MEMORY_SHARE = 0.5
"""Part of the free memory that models may take; images, and all else that runs here, have the rest."""


@dataclass(frozen=True, slots=True)
class _Ended:
    peak_memory: int


@dataclass(frozen=True, slots=True)
class _Chunk:
    sequence: int
    outcomes: list[Outcome]


@dataclass(frozen=True, slots=True)
class _NotOpened:
    """There is no worker in a thread that was to drive one."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class _Stopped:
    """Ends the wait for models."""


_Message: TypeAlias = Loaded | _Ended | _Chunk | _NotOpened | _Stopped | BaseException


class Crew:
    """The threads that drive the workers of an executor.

    Use: `with Crew(...) as crew: crew.load(); for outcome in crew.run(feed): ...`. Leaving the block ends the workers,
    at once where they can be killed; what is in flight elsewhere is finished first.

    Attributes:
        most: Workers there may be: as many as were wanted, or as the executor can have, or as `load` finds memory for.
        peak_memory: Bytes used by processes of the workers' own, known once the crew has ended.
    """

    def __init__(self, executor: Executor, workers: int, notice: Callable[[str], None] = lambda _: None) -> None:
        """Makes a crew without anybody in it.

        Args:
            executor: Opens the workers.
            workers: As many as are wanted.
            notice: Told of a worker that could not join those at work.
        """
        self._executor = executor
        self._notice = notice
        self._messages: queue.SimpleQueue[_Message] = queue.SimpleQueue()
        self._feed: Feed[Any] | None = None
        self._start = threading.Event()
        self._threads: list[threading.Thread] = []
        self._loading = self._not_opened = self._in_vain = 0
        self._stopped: float | None = None
        self._at_once = executor.most or max(AT_ONCE, usable_cpus() + 1)
        self.most = workers if executor.most is None else min(workers, executor.most)
        self.peak_memory = 0

    @property
    def workers(self) -> int:
        """Workers at work, or about to be; not those that have had no place all the time."""
        return len(self._threads) - self._not_opened - self._in_vain

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._feed is not None:
            self._feed.stop()
        self._start.set()
        self._executor.kill()
        for thread in self._threads:
            thread.join(None if self._executor.grace is None else KILLED_SECONDS)
        self._executor.close()

    def load(self, needed: int | None = None) -> Loaded | None:
        """Starts the first workers, waits until each has its model, and returns what one says; None if it was stopped.

        The rest follow while they run, if there is more work than they can do. Neither are more models loaded than a
        share of the free memory holds. Where some have to wait for a place, those that are ready begin, if they are
        enough.

        Args:
            needed: Workers that there is work for as far as is known; None for as many as were wanted.

        Raises:
            YolocliError: If a model cannot be loaded or a worker cannot be started.
        """
        before = available_memory() if self._executor.most is None else None
        first = min(self.most, needed or self.most, self._at_once, max(1, _fitting(before, WORKER_BYTES)))
        enough = first if self._executor.least is None else min(first, self._executor.least)
        for _ in range(first):
            self._add()
        loaded: Loaded | None = None
        while self._loading:
            try:  # no chunk is sent before the start
                message = self._next(PLACE_SECONDS if first - self._loading >= enough else None)
            except queue.Empty:
                break
            if isinstance(message, _Stopped):
                return None
            if isinstance(message, _NotOpened):
                raise message.error
            if isinstance(message, Loaded):
                loaded = message
        after = available_memory() if before is not None else None
        taken = (before - after) // first if before is not None and after is not None else 0
        self.most = min(self.most, first + _fitting(after, max(taken, WORKER_BYTES)))
        return loaded

    def stop(self) -> None:
        """Ends the wait for models, and soon that for images. Safe to call from a signal handler or another thread."""
        self._stopped = self._stopped or time.monotonic()
        self._messages.put(_Stopped())

    def run(self, feed: Feed[Any], *, ordered: bool = False) -> Iterator[Outcome]:
        """Yields outcomes as they end, or in input order.

        Raises:
            YolocliError: For a failure that is not an image's.
        """
        self._feed = feed
        self._start.set()
        try:
            chunks = self._chunks(feed)
            for chunk in _in_order(chunks) if ordered else chunks:
                yield from chunk.outcomes
                feed.taken_out(len(chunk.outcomes))
        finally:
            feed.close()

    def _chunks(self, feed: Feed[Any]) -> Iterator[_Chunk]:
        ended = 0
        may_wait = self._executor.least is not None  # for a place, in vain, perhaps
        while ended < len(self._threads) - (self._loading if may_wait and feed.done else 0) and not self._overdue():
            while len(self._threads) < min(self.most, feed.unfinished) and self._loading < self._at_once:
                self._add()
            try:
                message = self._next(STUCK_SECONDS)
            except queue.Empty:
                continue
            if isinstance(message, _Chunk):
                yield message
            elif isinstance(message, _Ended):
                ended += 1
                self.peak_memory += message.peak_memory
            elif isinstance(message, _NotOpened):  # those at work do its part
                ended += 1
                self._not_opened += 1
                self.most = len(self._threads)
                self._notice(f"one more worker could not be started: {message.error}")
        self._in_vain = self._loading if may_wait else 0

    def _overdue(self) -> bool:
        grace = self._executor.grace
        return grace is not None and self._stopped is not None and time.monotonic() - self._stopped > grace

    def _add(self) -> None:
        slot = len(self._threads)
        self._threads.append(start_thread(self._drive, f"yolocli-worker-{slot}", slot))
        self._loading += 1

    def _next(self, timeout: float | None = None) -> Loaded | _Ended | _Chunk | _NotOpened | _Stopped:
        message = self._messages.get(timeout=timeout)
        if isinstance(message, BaseException):
            raise message
        self._loading -= isinstance(message, Loaded | _NotOpened)
        return message

    def _drive(self, slot: int) -> None:
        try:
            worker = self._executor.open_worker(slot)
        except BaseException as error:
            self._messages.put(_NotOpened(error))
            return
        try:
            with ExitStack() as stack:
                peak: list[int] = []
                stack.callback(lambda: peak.append(worker.close()))
                self._messages.put(worker.loaded)
                self._start.wait()
                ahead = Ahead(self._feed, worker) if self._feed is not None else None
                while ahead is not None and (taken := ahead.take()) is not None:
                    sequence, items = taken
                    started = time.perf_counter()
                    outcomes = worker.detect(items, ahead.batch)
                    ahead.finished(outcomes, time.perf_counter() - started)
                    self._messages.put(_Chunk(sequence, outcomes))
            self._messages.put(_Ended(peak[0]))
        except BaseException as error:
            self._messages.put(error)


def _fitting(available: int | None, each: int) -> int:
    """Returns how many of so many bytes each a share of the free memory holds; any number if that is not known."""
    return sys.maxsize if available is None else int(available * MEMORY_SHARE) // each


def _in_order(chunks: Iterable[_Chunk]) -> Iterator[_Chunk]:
    waiting: dict[int, _Chunk] = {}
    expected = 0
    for chunk in chunks:
        waiting[chunk.sequence] = chunk
        while expected in waiting:
            yield waiting.pop(expected)
            expected += 1
    yield from (waiting[sequence] for sequence in sorted(waiting))  # a run that was stopped lacks some
