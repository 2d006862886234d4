"""Items on their way to the workers: a look at the first of them, then chunks, never far ahead of the results."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Generic, TypeAlias, TypeVar, cast

from yolocli.executors.chunk import chunk_size
from yolocli.machine.threads import start_thread
from yolocli.results import Item

AHEAD = 4
"""Chunks a worker that the feed may be ahead of the results that have been taken, unless it is told otherwise."""
LISTED_AHEAD = 1_000_000
"""What may be listed ahead of that, where somebody wants to know how many images there are; 150 bytes each."""
LISTED_AT_ONCE = 256
"""Of these, between two looks at whether the workers need more."""
STUCK_SECONDS = 0.5
"""How long a run that was stopped waits for a read that may never return, of a pipe, say."""
MORE_SECONDS = 0.2
"""How long a stream that has begun is given to show that there is more: a walk takes a few milliseconds."""

T = TypeVar("T")
_Chunk: TypeAlias = tuple[int, tuple[Item, ...]]


class Feed(Generic[T]):
    """Reads a stream in a thread of its own, and hands what is in it to workers, in chunks.

    It goes through three states, and its one thread reads through all of them, as the next of a stream may be long in
    coming and neither a worker nor a stop must wait for it:

    1. At once it reads the first of what was found, so that the run knows that there is work, and for how many.
    2. `turn` says how what was found becomes items: names, which depend on the output folder, and a look at each file.
       It reads on until the first items are there: the rest may have been done before.
    3. `open` says how many go together. Now it keeps a window of items ahead of the results taken out, and no more. If
       asked to, it lists on beyond that what it does not turn into items yet, so that people soon see how many there
       are: the inputs are walked once, and this is the walk. What is not listed yet then is not known: `found` says how
       many there are at least.

    Which images share a chunk depends on the input alone, so that a batch holds the same images in every mode.

    Attributes:
        found: What has been found so far, whether or not there is anything left to do about it.
        whole: The stream has ended: nothing else will be found.
        batch: Images that go through the network together at most.
        ahead: Chunks a worker that it may be ahead of the results; it reads on when half of them are out.
    """

    def __init__(self, found: Iterable[T], most: int = 1) -> None:
        """Begins to read.

        Args:
            found: The stream.
            most: Items that are read before the feed is open.

        Raises:
            WorkerError: If there can be no thread.
        """
        self._stream = iter(found)
        self._most = most
        self._turn: Callable[[Sequence[T]], Iterable[Item]] | None = None
        self._chunk = self._workers = self._beyond = 0
        self._changed = threading.Condition()
        self._listed: deque[T] = deque()
        self._items: deque[Item] = deque()
        self._sequence = self._outstanding = self._at_work = 0
        self._full = self._read_out = self._stopped = False
        self._error: BaseException | None = None
        self.found = self.batch = 0
        self.ahead = AHEAD
        self.whole = False
        self._thread: threading.Thread | None = start_thread(self._run, "yolocli-feed")

    @property
    def seen(self) -> int:
        """Items that are there, before any is handed out; until they are items, what has been found."""
        return len(self._items if self._turn is not None else self._listed)

    @property
    def listed(self) -> int:
        """What has been found and not been turned into items yet."""
        return len(self._listed)

    @property
    def unfinished(self) -> int:
        """Chunks that workers are at, or could be."""
        return 0 if self._stopped else self._at_work + self._chunks

    @property
    def done(self) -> bool:
        """Nothing else will be handed out, and all results of what was are out."""
        with self._changed:
            ended = self._stopped or (self._over and not self._items)
            return ended and self._outstanding == len(self._items)

    def wait(self, several: int = 1) -> None:
        """Waits for the first item, and a moment for several; not after a stop.

        Raises:
            YolocliError: If discovery did.
        """
        with self._changed:
            while not (self.seen or self._over or self._stopped):
                self._changed.wait(STUCK_SECONDS)
            if self.seen:
                self._changed.wait_for(lambda: self.seen >= several or self._over or self._stopped, MORE_SECONDS)
            elif self._error is not None:
                raise self._error

    def turn(self, into: Callable[[Sequence[T]], Iterable[Item]]) -> None:
        """Says how what was found becomes items.

        Args:
            into: Returns the items of what was found, in its order, without those that need not be done. It is called
                by the feed's thread, and here for what has been read, as that thread may wait for a read.

        Raises:
            YolocliError: If `into` does.
        """
        with self._changed:
            self._items.extend(into(tuple(self._listed)))
            self._listed.clear()
            self._turn = into
            self._changed.notify_all()

    def open(self, batch: int, workers: int, *, list_ahead: bool = False) -> None:
        """Begins to hand out chunks.

        Args:
            batch: Images that go through the network together at most.
            workers: As many as there may be.
            list_ahead: Find out how many there are. Not for a stream whose reads may take long: while the feed lists
                ahead, it hands out no more than the window holds.
        """
        if self._turn is None:
            self.turn(lambda found: cast("Sequence[Item]", found))
        with self._changed:
            self.batch = batch
            self._chunk = chunk_size(batch)
            self._workers = workers
            self._beyond = LISTED_AHEAD if list_ahead else 0
            self._outstanding = len(self._items)
            self._changed.notify_all()

    def take(self, *, wait: bool = True) -> _Chunk | None:
        """Returns the number of the next chunk and what is in it; None at the end, or if it is not to `wait` for one.

        Raises:
            YolocliError: If discovery did, and it was to wait.
        """
        with self._changed:
            if not (wait or self._chunks):
                return None
            self._changed.wait_for(lambda: self._stopped or self._chunks or self._over)
            if self._stopped:
                return None
            if self._items:
                chunk = tuple(self._items.popleft() for _ in range(min(self._chunk, len(self._items))))
                self._at_work += 1
                self._sequence += 1
                return self._sequence - 1, chunk
            if self._error is not None:
                raise self._error
            return None

    def finished(self) -> None:
        """Says that a worker is done with its chunk."""
        with self._changed:
            self._at_work -= 1

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
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(STUCK_SECONDS)

    @property
    def _over(self) -> bool:
        """No other item will come."""
        return self._read_out and not (self._turn is not None and self._listed)

    @property
    def _chunks(self) -> int:
        """Chunks that can be taken: the last may be smaller than others."""
        last = self._chunk - 1 if self._over else 0
        return (len(self._items) + last) // self._chunk if self._chunk else 0

    def _run(self) -> None:
        try:
            while (step := self._next_step()) is not None:
                step()
        except BaseException as error:  # of turning: what is listed cannot become items
            self._listed.clear()
            self._end(error)

    def _next_step(self) -> Callable[[], None] | None:
        """Returns what to do next, or waits for it; None if there will be nothing."""
        with self._changed:
            while not (self._stopped or (self._over and self._chunk)):
                room = self._has_room()
                if room and self._listed and self._turn is not None:
                    return self._turn_listed
                if not self._read_out and (room or len(self._listed) < self._beyond):
                    return self._read_room if room else self._read_ahead
                self._changed.wait()
            return None

    def _has_room(self) -> bool:
        """Tells whether to read on: until the window is full, and again when half of it is free.

        To read one item whenever one is done would have the threads wake each other for each image.
        """
        if not self._chunk:
            return self.seen < self._most
        window = self._chunk * self._workers * self.ahead
        if self._outstanding + self._chunk > window:
            self._full = True
        elif self._outstanding * 2 <= window:
            self._full = False
        return not self._full

    def _missing(self) -> int:
        """Returns how many to take for the next chunk, as a pipe may hold no others until the results are out."""
        return self._chunk - len(self._items) % self._chunk if self._chunk else 1

    def _read_room(self) -> None:
        count = self._missing()
        found, error = self._read(count)
        with self._changed:
            self.found += len(found)
            turn = self._turn
            if turn is None:
                self._listed.extend(found)
                self._changed.notify_all()
        if turn is not None:
            self._hand_on(tuple(turn(found)))
        if len(found) < count:
            self._end(error)

    def _read_ahead(self) -> None:
        found, error = self._read(LISTED_AT_ONCE)
        with self._changed:
            self.found += len(found)
            self._listed.extend(found)
        if len(found) < LISTED_AT_ONCE:
            self._end(error)

    def _read(self, count: int) -> tuple[list[T], BaseException | None]:
        """Returns the next of the stream, fewer where it ends, and the error that it ended with."""
        found: list[T] = []
        try:
            found.extend(islice(self._stream, count))
        except BaseException as error:
            return found, error
        return found, None

    def _turn_listed(self) -> None:
        """Turns as much as there is room for; it is listed until then, so that nobody takes this for the end."""
        assert self._turn is not None
        listed = tuple(islice(self._listed, self._missing()))
        self._hand_on(tuple(self._turn(listed)), len(listed))

    def _hand_on(self, items: Sequence[Item], listed: int = 0) -> None:
        with self._changed:
            before = self._chunks
            for _ in range(listed):
                self._listed.popleft()
            self._items.extend(items)
            self._outstanding += len(items)
            if self._over or not self._chunk:
                self._changed.notify_all()
            else:
                self._changed.notify(self._chunks - before)  # the workers that will take them

    def _end(self, error: BaseException | None) -> None:
        with self._changed:
            self._read_out = True
            self._error = error
            self.whole = error is None
            self._changed.notify_all()
