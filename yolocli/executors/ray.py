"""ray: every worker is an actor on a Ray cluster, with a detector of its own; this process alone writes.

Plain actors, and not Ray Data. The crew does already what a Ray Data pipeline would: it lists as a stream, keeps a
bounded window, and starts workers as there is work; each of its threads drives one actor and has one chunk there, so
that when an actor dies it is known which chunk was in it. Ray Data knows blocks, and not images. Measured with Ray
2.60, two actors and a stand-in for the network: of 1,000 images one ends its process. Here they take 10 s and give 999
results and a failure; Ray Data with `max_errored_blocks=-1` had not ended after 200 s. A call of an actor takes 0.7 ms.

Nothing is left to Ray's own retries, on purpose (`max_restarts=0`, `max_task_retries=0`): an actor that Ray restarts
gets the deadly image again; retries do not cover what the code raises; and a constructor that fails is not tried again.
So after a death the worker starts another actor, and tries the images of the chunk one by one (see `mortal`). Where
there is no room for another, as a node is gone, it hands its chunks to the workers that have one.

Images are read where the actor runs. A node that does not see a file that this process sees says so once, and its chunk
is tried on others.
"""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, ClassVar

from yolocli.errors import ImageError, WorkerError
from yolocli.executors.base import WorkerSpec
from yolocli.executors.colleagues import Colleagues
from yolocli.executors.mortal import (
    GRACE_SECONDS,
    RESTART_SECONDS,
    START_ATTEMPTS,
    TICK_SECONDS,
    DiedError,
    ExpiredError,
    MortalWorker,
    T,
    TheirTraceback,
)
from yolocli.executors.ray_actor import Place, installed_version, own_detector
from yolocli.executors.ray_cluster import Connection
from yolocli.machine.memory import peak_memory
from yolocli.results import ImageFailure, ImageRef, Item, Outcome
from yolocli.sources import source_of

ROOM_SECONDS = 10.0
"""How long a worker waits for the place of an actor before it says so, or gives its chunk to others."""
OTHER_NODES = 3
"""Nodes that an image is tried on that the first does not see."""


class NoRoomError(Exception):
    """There is no place for an actor, so far."""


class RayExecutor:
    """A detector per actor; see `Executor`."""

    shares: ClassVar[bool] = False
    ends_images: ClassVar[bool] = True
    elsewhere: ClassVar[bool] = True
    package: ClassVar[str | None] = "ray"
    grace: float | None = GRACE_SECONDS

    def __init__(self, spec: WorkerSpec) -> None:
        self._spec = spec
        self._connection = Connection(spec)
        self._crew = Colleagues(spec.notice)
        self.least: int | None = max(1, spec.cluster.least_workers)
        self.most: int | None = spec.workers or max(1, self._connection.capacity())

    def open_worker(self, slot: int) -> RayWorker:
        """See `Executor.open_worker`; it waits for a place."""
        return RayWorker(self._spec, slot, self._connection, self._crew)

    def kill(self) -> None:
        """See `Executor.kill`."""
        self._connection.kill()

    def close(self) -> None:
        """See `Executor.close`."""
        self._connection.close()


class RayWorker(MortalWorker):
    """This end of one actor; see `Worker`. Its lock is held by whoever uses the actor.

    Attributes:
        node: Ray's name of the node that the actor is on; empty while there is no actor.
    """

    DEATHS: ClassVar[int] = 3  # Ray does not tell a crash from a kill, and somebody may kill actors

    def __init__(self, spec: WorkerSpec, slot: int, connection: Connection, colleagues: Colleagues) -> None:
        super().__init__(spec, slot)
        self._connection = connection
        self._colleagues = colleagues
        self._lock = threading.Lock()
        if (self._prepared.device or "").startswith("cuda"):
            self._prepared = replace(self._prepared, device="cuda:0")  # the first of those that Ray shows the actor
        self._actor: Any = None
        self._placing: Any = None
        self._host = self.node = ""
        self._start(wait=True)
        colleagues.join(self)

    def detect(self, items: Sequence[Item], batch: int) -> list[Outcome]:
        """See `Worker.detect`. What this node does not see is tried on others."""
        node, outcomes = self._do(items, batch)
        tried = {node}
        for _ in range(OTHER_NODES):
            unseen = [position for position, outcome in enumerate(outcomes) if _out_of_sight(outcome)]
            if not unseen or not self._colleagues.elsewhere(tried):
                break
            done = self._colleagues.do([items[position] for position in unseen], batch, tried)
            if done is None:
                break
            tried.add(done[0])
            for position, outcome in zip(unseen, done[1], strict=True):
                outcomes[position] = outcome
        return outcomes

    def expect(self, items: Sequence[Item]) -> None:
        """See `Worker.expect`; it waits neither for an actor nor for a chunk of another worker."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            if self.node:
                super().expect(items)
        finally:
            self._lock.release()

    def lend_a_hand(self, items: Sequence[Item], batch: int) -> tuple[str, list[Outcome]] | None:
        """Does the chunk of another worker; returns the node and what came of it, or None if it is not free."""
        if not self._lock.acquire(timeout=TICK_SECONDS / 4):
            return None
        try:
            return self._detect_here(items, batch) if self.node else None
        except NoRoomError:
            return None
        finally:
            self._lock.release()

    def close(self) -> int:
        """See `Worker.close`. The actor stays for others until the run ends."""
        with self._lock:
            try:
                return self._call(peak_memory, timeout=ROOM_SECONDS) if self.node else 0
            except (DiedError, ExpiredError):
                return 0

    def _do(self, items: Sequence[Item], batch: int) -> tuple[str, list[Outcome]]:
        """Does a chunk here, or has another do it while there is no room for an actor."""
        while True:
            with self._lock, suppress(NoRoomError):
                if not self.node:
                    self._start()
                return self._detect_here(items, batch)
            done = self._colleagues.do(items, batch, set())
            if done is not None:
                return done

    def _detect_here(self, items: Sequence[Item], batch: int) -> tuple[str, list[Outcome]]:
        outcomes = super().detect(items, batch)
        if self._colleagues.elsewhere({self.node}):
            unseen = next((outcome.ref.source for outcome in outcomes if _out_of_sight(outcome)), None)
            if unseen is not None:
                self._colleagues.say_once(
                    self.node,
                    f"node {self._host} does not see {unseen}: what it does not see is read on other nodes; images "
                    "must be at the same path on all of them",
                )
        return self.node, outcomes

    def _call(self, function: Callable[..., T], *arguments: object, timeout: float | None = None) -> T:
        call = pickle.dumps((function, arguments))
        try:
            answer = self._connection.wait(self._actor.answer.remote(call), timeout)
        except ExpiredError:
            self._connection.end(self._actor)
            raise
        result: T
        result, failure, trace = pickle.loads(answer)
        if failure is not None:
            raise failure from TheirTraceback(trace)
        return result

    def _was_killed(self) -> bool:
        return False

    def _restart(self) -> None:
        self._end()
        self._start()

    def _end(self) -> None:
        self._connection.end(self._actor)
        self._actor, self.node = None, ""

    def _start(self, *, wait: bool = False) -> None:
        """Starts an actor, or goes on with one that has no place yet.

        Args:
            wait: Wait for a place as long as the run lasts.

        Raises:
            NoRoomError: If it has no place so far.
            WorkerError: If it dies again and again.
            YolocliError: If it cannot load the model.
        """
        reason = ""
        for attempt in range(START_ATTEMPTS):
            time.sleep(attempt * RESTART_SECONDS)
            try:
                place = self._place(wait)
                self.loaded = self._call(own_detector, self._loader, self._prepared, self._pictures)
            except DiedError as error:
                self._end()
                reason = _gist(error)
                if "ModuleNotFoundError" in str(error):
                    break
            except NoRoomError:
                raise
            except BaseException:
                self._end()
                raise
            else:
                self._host, self.node = place.host, place.node
                return
        raise WorkerError(
            f"Ray actors die while they load {self._prepared.model}: {reason}; is yolocli installed on all nodes, and "
            "is there memory for one more model there?"
        )

    def _place(self, wait: bool) -> Place:
        """Waits until the actor has a place.

        Raises:
            NoRoomError: If it has none in time.
            WorkerError: If there is another yolocli.
        """
        if self._actor is None:
            self._actor = self._connection.start()
            self._placing = self._actor.place.remote()
            self._since = time.monotonic()
        left = max(TICK_SECONDS, self._since + ROOM_SECONDS - time.monotonic())
        place: Place
        try:
            place = self._connection.wait(self._placing, left)
        except ExpiredError:
            if not wait and self._colleagues.elsewhere(set()):
                raise NoRoomError from None
            self._colleagues.say_once(
                "room",
                f"waiting for room: a worker holds {self._connection.holds}, and the cluster has "
                f"{self._connection.has()}, or others use it; see --workers and --ray-resources",
            )
            place = self._connection.wait(self._placing)
        if place.version != installed_version():
            raise WorkerError(
                f"node {place.host} has yolocli {place.version}, and this machine {installed_version()}: "
                "install the same"
            )
        return place


def _out_of_sight(outcome: Outcome) -> bool:
    """Tells of a file that could not be read whether it is there for this process."""
    if not isinstance(outcome, ImageFailure) or outcome.stage != "read" or not isinstance(outcome.ref, ImageRef):
        return False
    try:
        source_of(outcome.ref.source).version(outcome.ref.source, walked=True)
    except (ImageError, OSError):
        return False
    return True


def _gist(error: Exception) -> str:
    """Returns the line of Ray's message that says what happened: the last that is not indented."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
