"""Files that are far away, read before they are needed: several at once, so that a worker seldom waits for one.

Nothing is done about files of this machine, which are there at once.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import suppress

from yolocli.errors import WorkerError
from yolocli.machine.threads import start_thread
from yolocli.results import ImageRef, Item
from yolocli.sources import is_remote, read

AT_ONCE = 32
"""Reads of a worker in flight: if each takes 50 ms, that is 640 images a second."""
MOST_BYTES = 128 << 20
"""Of files that are there and wait for the worker; while they are more, no other read begins."""


class Reads:
    """The reads of one worker, whose one thread calls it."""

    def __init__(self) -> None:
        self._expected: dict[str, Future[bytes] | None] = {}
        self._lock = threading.Lock()
        self._begun: queue.SimpleQueue[tuple[str, Future[bytes]] | None] = queue.SimpleQueue()
        self._threads = self._in_flight = self._held = 0

    def expect(self, items: Iterable[Item]) -> None:
        """Begins to read files that will be taken, in this order."""
        with self._lock:
            for item in items:
                if isinstance(item, ImageRef) and is_remote(item.source):
                    self._expected.setdefault(item.source, None)
            self._begin()

    def take(self, ref: ImageRef) -> bytes:
        """Returns the bytes of a file, and raises, as `sources.read` does; waits for it if it is on its way."""
        if not self._expected:
            return read(ref.source, ref.hint)
        with self._lock:
            future = self._expected.pop(ref.source, None)
        if future is None:
            return read(ref.source, ref.hint)
        data = b""
        try:
            data = future.result()
        finally:
            with self._lock:
                self._held -= len(data)
                self._begin()
        return data

    def close(self) -> None:
        """Leaves what was not taken; reads in flight end by themselves, and hold up nothing."""
        with self._lock:
            self._expected.clear()
        for _ in range(self._threads):
            self._begun.put(None)

    def _begin(self) -> None:
        for source, future in self._expected.items():
            if self._in_flight >= AT_ONCE or self._held > MOST_BYTES:
                return
            if future is None:
                if self._in_flight == self._threads:
                    with suppress(WorkerError):  # those that there are do it
                        start_thread(self._run, "yolocli-read")
                        self._threads += 1
                if not self._threads:
                    return
                self._in_flight += 1
                begun: Future[bytes] = Future()
                self._expected[source] = begun
                self._begun.put((source, begun))

    def _run(self) -> None:
        while (task := self._begun.get()) is not None:
            source, future = task
            data = b""
            try:
                data = read(source)
                future.set_result(data)
            except BaseException as error:  # which is the image's
                future.set_exception(error)
            with self._lock:
                self._in_flight -= 1
                self._held += len(data)
                self._begin()
