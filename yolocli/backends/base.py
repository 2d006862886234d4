"""What all modes share: a feed of chunks that is never far ahead, and threads that each drive one worker."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol, TypeAlias

from yolocli.config import DetectorConfig, RunConfig
from yolocli.detector import Detector
from yolocli.results import Outcome
from yolocli.worker import Item, check_network, chunk_size, detect_images

AHEAD = 4
"""Chunks a worker that the feed may be ahead of the results that have been taken."""
STUCK_SECONDS = 0.5
"""How often a run that was stopped looks whether all is done but a read that never returns."""


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
    """A mode."""

    def open_worker(self, slot: int) -> Worker:
        """Builds a worker, in the thread that will use it. Slots count from 0.

        Raises:
            YolocliError: If the model cannot be loaded or the worker cannot be started.
        """
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


class Feed:
    """Hands chunks to workers, never more than a window of images ahead of the results taken out.

    Which images share a chunk depends on the input alone, so that a batch holds the same images in every mode.

    Attributes:
        batch: Images that go through the network together at most.
    """

    def __init__(self, items: Iterable[Item], batch: int, workers: int) -> None:
        self._items = iter(items)
        self._chunk = chunk_size(batch)
        self._window = self._chunk * workers * AHEAD
        self.batch = batch
        self._changed = threading.Condition()
        self._stopped = False
        self._puller: threading.Thread | None = None
        self._outstanding = self._sequence = 0

    @property
    def drained(self) -> bool:
        """It was stopped, and all that had been handed out has been dealt with."""
        return self._stopped and not self._outstanding

    @property
    def puller(self) -> threading.Thread | None:
        """The thread that waits for the next items, perhaps for ever, if one does."""
        return self._puller

    def take(self) -> tuple[int, tuple[Item, ...]] | None:
        """Returns the next chunk and its number; waits for room in the window; None at the end.

        Raises:
            YolocliError: If discovery did.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or (self._has_room() and self._puller is None))
            if self._stopped:
                return None
            self._puller = threading.current_thread()
        chunk: tuple[Item, ...] = ()
        try:
            # outside the lock: the next name may be long in coming from a pipe, and a stop must not wait for it
            chunk = tuple(islice(self._items, self._chunk))
        finally:
            with self._changed:
                self._puller = None
                chunk = () if self._stopped else chunk
                self._outstanding += len(chunk)
                self._sequence += 1
                sequence = self._sequence - 1
                self._changed.notify_all()
        return (sequence, chunk) if chunk else None

    def taken_out(self, count: int) -> None:
        """Makes room: results of so many images have been dealt with."""
        with self._changed:
            self._outstanding -= count
            self._changed.notify_all()

    def stop(self) -> None:
        """Ends the feed; what has been handed out is still finished."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _has_room(self) -> bool:
        return self._outstanding + self._chunk <= self._window


@dataclass(frozen=True, slots=True)
class _Ended:
    peak_memory: int


@dataclass(frozen=True, slots=True)
class _Chunk:
    sequence: int
    outcomes: list[Outcome]


_Message: TypeAlias = Loaded | _Ended | _Chunk | BaseException


class Crew:
    """The threads that drive the workers of a backend.

    Use: `with Crew(...) as crew: crew.load(); for outcome in crew.run(feed): ...`. Leaving the block ends the workers;
    chunks in flight are finished first.

    Attributes:
        peak_memory: Bytes used by processes of the workers' own, known once the crew has ended.
    """

    def __init__(self, backend: Backend, workers: int) -> None:
        self._backend = backend
        self._messages: queue.SimpleQueue[_Message] = queue.SimpleQueue()
        self._feed: Feed | None = None
        self._start = threading.Event()
        self._threads = [
            threading.Thread(target=self._drive, args=(slot,), name=f"yolocli-worker-{slot}", daemon=True)
            for slot in range(workers)
        ]
        self.peak_memory = 0

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._feed is not None:
            self._feed.stop()
        self._start.set()
        for thread in self._threads:
            while thread.is_alive():
                thread.join(STUCK_SECONDS)
                if self._feed is not None and self._feed.puller is thread:
                    break  # in a read of standard input, from which it may never come back
        self._backend.close()

    def load(self) -> Loaded:
        """Starts the threads, waits until every worker has its model, and returns what the first one says.

        Raises:
            YolocliError: If a model cannot be loaded or a worker cannot be started.
        """
        for thread in self._threads:
            thread.start()
        loaded = [self._next() for _ in self._threads]  # nothing else is sent before the start
        return next(message for message in loaded if isinstance(message, Loaded))

    def run(self, feed: Feed, *, ordered: bool = False) -> Iterator[Outcome]:
        """Yields outcomes as they end, or in input order.

        Raises:
            YolocliError: For a failure that is not an image's.
        """
        self._feed = feed
        self._start.set()
        chunks = self._chunks(feed)
        for chunk in _in_order(chunks) if ordered else chunks:
            yield from chunk.outcomes
            feed.taken_out(len(chunk.outcomes))

    def _chunks(self, feed: Feed) -> Iterator[_Chunk]:
        ended = 0
        while ended < len(self._threads):
            try:
                message = self._next(STUCK_SECONDS)
            except queue.Empty:
                if feed.drained:
                    return
                continue
            if isinstance(message, _Chunk):
                yield message
            elif isinstance(message, _Ended):
                ended += 1
                self.peak_memory += message.peak_memory

    def _next(self, timeout: float | None = None) -> Loaded | _Ended | _Chunk:
        message = self._messages.get(timeout=timeout)
        if isinstance(message, BaseException):
            raise message
        return message

    def _drive(self, slot: int) -> None:
        try:
            with ExitStack() as stack:
                worker = self._backend.open_worker(slot)
                peak: list[int] = []
                stack.callback(lambda: peak.append(worker.close()))
                self._messages.put(worker.loaded)
                self._start.wait()
                while (feed := self._feed) is not None and (taken := feed.take()) is not None:
                    sequence, items = taken
                    self._messages.put(_Chunk(sequence, worker.detect(items, feed.batch)))
            self._messages.put(_Ended(peak[0]))
        except BaseException as error:
            self._messages.put(error)


def _in_order(chunks: Iterable[_Chunk]) -> Iterator[_Chunk]:
    waiting: dict[int, _Chunk] = {}
    expected = 0
    for chunk in chunks:
        waiting[chunk.sequence] = chunk
        while expected in waiting:
            yield waiting.pop(expected)
            expected += 1
