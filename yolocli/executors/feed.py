"""Items on their way to the workers: a look at the first of them, then chunks, never far ahead of the results."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Generic, TypeAlias, TypeVar

from yolocli.executors.chunk import chunk_size
from yolocli.machine.threads import start_thread
from yolocli.results import Item

AHEAD = 4
"""Chunks a worker that the feed may be ahead of the results that have been taken."""
STUCK_SECONDS = 0.5
"""How long a run that was stopped waits for a read that may never return, of a pipe, say."""
MORE_SECONDS = 0.2
"""How long a stream that has begun is given to show that there is more: a walk takes a few milliseconds."""

T = TypeVar("T")
_Chunk: TypeAlias = tuple[int, tuple[Item, ...]]


class Head(Generic[T]):
    """The first items of a stream, seen beforehand; iterating over it gives the whole stream.

    They are read in a thread of its own, as the next may be long in coming, and a stop must not wait for it.

    Attributes:
        images: Items seen so far.
        whole: The stream holds no others.
    """

    def __init__(self, items: Iterable[T], most: int) -> None:
        self._items = iter(items)
        self._most = most
        self._read: deque[T] = deque()
        self._error: BaseException | None = None
        self._done = False
        self._changed = threading.Condition()
        self.images = 0
        self.whole = False
        start_thread(self._look, "yolocli-first")

    def wait(self, stopped: Callable[[], bool]) -> None:
        """Waits for the first item, and a moment for as many as are wanted.

        Args:
            stopped: Ends the wait.

        Raises:
            YolocliError: If discovery did.
        """
        with self._changed:
            while not (self.images or self._done or stopped()):
                self._changed.wait(STUCK_SECONDS)
            self._changed.wait_for(lambda: self._done, MORE_SECONDS if self.images else 0)
            if self._error is not None and not self.images:
                raise self._error

    def __iter__(self) -> Iterator[T]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._read or self._done)
                if not self._read:
                    break
                item = self._read.popleft()
            yield item
        if self._error is not None:
            raise self._error
        yield from self._items

    def _look(self) -> None:
        try:
            for item in islice(self._items, self._most):
                with self._changed:
                    self._read.append(item)
                    self.images += 1
                    self._changed.notify_all()
        except BaseException as error:
            self._error = error
        finally:
            with self._changed:
                self.whole = self._error is None and self.images < self._most
                self._done = True
                self._changed.notify_all()


class Feed:
    """Hands chunks to workers, never more than a window of images ahead of the results taken out.

    Which images share a chunk depends on the input alone, so that a batch holds the same images in every mode. They are
    put together in a thread of the feed's own, so that no worker is ever stuck in a read.

    Attributes:
        batch: Images that go through the network together at most.
    """

    def __init__(self, items: Iterable[Item], batch: int, workers: int) -> None:
        self._items = iter(items)
        self._chunk = chunk_size(batch)
        self._window = self._chunk * workers * AHEAD
        self._full = False
        self.batch = batch
        self._changed = threading.Condition()
        self._chunks: deque[_Chunk] = deque()
        self._outstanding = self._unfinished = 0
        self._ended = self._stopped = False
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    @property
    def unfinished(self) -> int:
        """Chunks that workers are at, or could be."""
        return 0 if self._stopped else self._unfinished

    def start(self) -> None:
        """Begins to read the items."""
        self._thread = start_thread(self._pull, "yolocli-feed")

    def take(self) -> _Chunk | None:
        """Returns the number of the next chunk and what is in it; waits for it; None at the end.

        Raises:
            YolocliError: If discovery did.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._chunks or self._ended or self._stopped)
            if self._stopped:
                return None
            if self._chunks:
                return self._chunks.popleft()
            if self._error is not None:
                raise self._error
            return None

    def finished(self) -> None:
        """Says that a worker is done with its chunk."""
        with self._changed:
            self._unfinished -= 1

    def taken_out(self, count: int) -> None:
        """Makes room: results of so many images have been dealt with."""
        with self._changed:
            self._outstanding -= count
            if self._full and self._has_room():
                self._changed.notify_all()

    def stop(self) -> None:
        """Ends the feed; what has been handed out is still finished. Safe to call from a signal handler."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def close(self) -> None:
        """Ends the feed and its thread, if that is not in a read from which it may never come back."""
        self.stop()
        if self._thread is not None:
            self._thread.join(STUCK_SECONDS)

    def _pull(self) -> None:
        try:
            for sequence, chunk in enumerate(iter(self._next_chunk, ())):
                with self._changed:
                    self._outstanding += len(chunk)
                    self._unfinished += 1
                    self._chunks.append((sequence, chunk))
                    self._changed.notify()  # the worker that will take it
        except BaseException as error:
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _next_chunk(self) -> tuple[Item, ...]:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._has_room())
        return () if self._stopped else tuple(islice(self._items, self._chunk))

    def _has_room(self) -> bool:
        """Tells whether to read on: until the window is full, and again when half of it is free.

        To read one item whenever one is done would have the threads wake each other for each image.
        """
        if self._outstanding + self._chunk > self._window:
            self._full = True
        elif self._outstanding * 2 <= self._window:
            self._full = False
        return not self._full
