"""Workers on several machines who do each other's chunks, where one has no place to work or does not see a file."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from yolocli.results import Item, Outcome


class Colleague(Protocol):
    """A worker who can be asked.

    Attributes:
        node: Where it works; empty while it cannot.
    """

    node: str

    def lend_a_hand(self, items: Sequence[Item], batch: int) -> tuple[str, list[Outcome]] | None:
        """Does the chunk of another; returns the node and what came of it, or None if it is not free."""
        ...


class Colleagues:
    """The workers of a run, who do each other's chunks, and what has been said of nodes."""

    def __init__(self, notice: Callable[[str], None]) -> None:
        self._notice = notice
        self._workers: list[Colleague] = []
        self._said: set[str] = set()
        self._guard = threading.Lock()

    def join(self, worker: Colleague) -> None:
        """Adds one that has an actor."""
        with self._guard:
            self._workers.append(worker)

    def say_once(self, about: str, text: str) -> None:
        """Says something the first time that there is something to say about that."""
        with self._guard:
            if about in self._said:
                return
            self._said.add(about)
        self._notice(text)

    def elsewhere(self, nodes: set[str]) -> bool:
        """Tells whether somebody has an actor on a node that is not among some."""
        return any(worker.node not in nodes for worker in self._with_actors())

    def do(self, items: Sequence[Item], batch: int, nodes: set[str]) -> tuple[str, list[Outcome]] | None:
        """Has the first who is free do a chunk.

        Args:
            items: The chunk.
            batch: Images that go through the network together at most.
            nodes: Where not to.

        Returns:
            The node, and what came of it; None if there is nobody.
        """
        while workers := [worker for worker in self._with_actors() if worker.node not in nodes]:
            for worker in sorted(workers, key=lambda one: one.node in self._said):
                if (done := worker.lend_a_hand(items, batch)) is not None:
                    return done
        return None

    def _with_actors(self) -> list[Colleague]:
        with self._guard:
            return [worker for worker in self._workers if worker.node]
