"""The lines of a list that are far away, looked at several at once: one by one, each would wait for a store."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from itertools import chain
from typing import TypeAlias

from yolocli.errors import WorkerError
from yolocli.machine.threads import start_thread
from yolocli.sources.base import Found

AT_ONCE = 16
"""Lines that are looked at."""
AHEAD = 64
"""Lines that are read before what comes of them is wanted."""

_Answer: TypeAlias = "Future[Iterable[Found]]"


class LooksAhead:
    """What lines stand for, in their order; iterate over it once.

    Lines are read in a thread of its own, as the next of a pipe may be long in coming.
    """

    def __init__(
        self, lines: Iterable[str], look: Callable[[str], Iterator[Found]], far: Callable[[str], bool]
    ) -> None:
        """Makes one that reads nothing yet.

        Args:
            lines: Names.
            look: Finds what one stands for.
            far: Tells whether the first of that is to be found ahead, in another thread.
        """
        self._lines = lines
        self._look = look
        self._far = far
        self._room = threading.Semaphore(AHEAD)
        self._asked: queue.SimpleQueue[tuple[Iterator[Found], _Answer] | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[_Answer | None] = queue.SimpleQueue()
        self._left = False

    def __iter__(self) -> Iterator[Found]:
        """Yields what was found.

        Raises:
            UsageError: If the list cannot be read.
            WorkerError: If there can be no thread.
        """
        start_thread(self._read, "yolocli-list")
        start_thread(self._answer, "yolocli-look-0")
        with suppress(WorkerError):  # fewer do it, too
            for number in range(1, AT_ONCE):
                start_thread(self._answer, f"yolocli-look-{number}")
        try:
            while (answer := self._answers.get()) is not None:
                yield from answer.result()
                self._room.release()
        finally:
            self._left = True
            self._room.release()

    def _read(self) -> None:
        try:
            for line in self._lines:
                self._room.acquire()
                if self._left:
                    break
                answer: _Answer = Future()
                found = self._look(line)
                self._answers.put(answer)
                if self._far(line):
                    self._asked.put((found, answer))
                else:
                    answer.set_result(found)
        except BaseException as error:
            failed: _Answer = Future()
            failed.set_exception(error)
            self._answers.put(failed)
        self._answers.put(None)
        for _ in range(AT_ONCE):
            self._asked.put(None)

    def _answer(self) -> None:
        while (asked := self._asked.get()) is not None:
            found, answer = asked
            try:
                first = next(found, None)
                answer.set_result(found if first is None else chain([first], found))
            except BaseException as error:
                answer.set_exception(error)
