"""A thread that does calls one after the other, as some libraries want all of theirs in one that lives on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any


class Owner:
    """The thread. Whatever it is at, the process can end; `concurrent.futures` would wait for it."""

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[tuple[Future[None], Callable[[], Any]] | None] = SimpleQueue()
        self._last: Future[None] = Future()
        self._last.set_result(None)
        threading.Thread(target=self._work, name=name, daemon=True).start()

    @property
    def busy(self) -> bool:
        """Tells whether it is at a call."""
        return not self._last.done()

    def do(self, call: Callable[[], Any]) -> Future[None]:
        """Has it do a call; returns a promise of its end, or of what it raises."""
        self._last = done = Future[None]()
        self._calls.put((done, call))
        return done

    def end(self) -> None:
        """Ends the thread, after what it is at."""
        self._calls.put(None)

    def _work(self) -> None:
        while (order := self._calls.get()) is not None:
            done, call = order
            try:
                call()
            except BaseException as error:
                done.set_exception(error)
            else:
                done.set_result(None)
