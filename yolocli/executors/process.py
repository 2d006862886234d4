"""process: every worker is a child process with a detector of its own; a child that dies takes no image with it.

A worker and its child share a pipe, and nothing else: no queue, lock or thread that a death, or a lack of processes,
could leave stuck. A death touches one worker only, and the image that was in it is known.
"""

from __future__ import annotations

import itertools
import pickle
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import ClassVar, TypeVar

from yolocli.errors import ModelError, WorkerError
from yolocli.executors import child
from yolocli.executors.base import WorkerSpec
from yolocli.executors.children import Children, DiedError, ServerDiedError
from yolocli.machine.memory import peak_memory
from yolocli.machine.threads import LIMITED
from yolocli.results import ImageFailure, ImageRef, Item, Outcome
from yolocli.runtimes import find_engine

T = TypeVar("T")

KILLED_RETRIES = 5
"""Times an image is tried alone when its child is killed from outside each time, which need not be its fault. After a
crash it is tried once."""
START_ATTEMPTS = 8
"""Deaths in a row while a child loads its model, after which the run gives up: loading takes seconds on a busy machine,
and whoever kills a worker every second hits it there as often as at work."""
SERVER_ATTEMPTS = 3
"""The same for what forks the children, which is hit by chance far less often, and dies where it may not fork."""
RESTART_SECONDS = 0.1
"""Wait before the second attempt, twice that before the third, and so on."""
TICK_SECONDS = 0.2
"""How often a wait for an image looks at the clock. It counts no more than this at a time, as between two looks this
process may have been stopped (Ctrl-Z), and its children with it."""
GRACE_SECONDS = 10.0
"""What images in flight have to end in once the run was stopped, so that whoever stopped it need not kill it."""
SERVER_LOST = 255
"""What multiprocessing gives as exit code of a child whose server died before it could tell."""


class ProcessExecutor:
    """A detector per child process; see `Executor`."""

    shares: ClassVar[bool] = False
    ends_images: ClassVar[bool] = True
    grace: float | None = GRACE_SECONDS

    def __init__(self, spec: WorkerSpec) -> None:
        self._spec = spec
        self._children = Children(find_engine(spec.detector.plan.runtime).PRELOAD)

    def open_worker(self, slot: int) -> ProcessWorker:
        """See `Executor.open_worker`."""
        return ProcessWorker(self._spec, slot, self._children)

    def kill(self) -> None:
        """See `Executor.kill`."""
        self._children.kill()

    def close(self) -> None:
        """See `Executor.close`; nothing is shared."""


class _ExpiredError(Exception):
    """A child was stopped because an image took too long."""


class _ChildTraceback(Exception):  # noqa: N818
    """Where in the child the error was raised that this is the cause of."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class ProcessWorker:
    """The parent's end of one child process; see `Worker`."""

    def __init__(self, spec: WorkerSpec, slot: int, children: Children) -> None:
        self._loader = spec.loader
        self._prepared = spec.prepared(slot)
        self._timeout = spec.timeout
        self._pictures = spec.pictures
        self._children = children
        self._start()

    def detect(self, items: Sequence[Item], batch: int) -> list[Outcome]:
        """See `Worker.detect`. After a death each image of the chunk is tried once more, alone in a new child.

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

    def close(self) -> int:
        """See `Worker.close`."""
        try:
            return self._call(peak_memory)
        except DiedError:
            return 0
        finally:
            self._end()

    def _call(self, function: Callable[..., T], *arguments: object, timeout: float | None = None) -> T:
        """Returns what a function gives in the child, or raises what it raises there.

        Raises:
            DiedError: If the child dies.
            _ExpiredError: If it takes too long; the child is killed.
        """
        try:
            self._pipe.send_bytes(pickle.dumps((function, arguments)))
            self._wait(timeout)
            answer = self._pipe.recv_bytes()
        except (EOFError, OSError) as error:
            raise DiedError from error
        result: T
        result, failure, trace = pickle.loads(answer)
        if failure is not None:
            raise failure from _ChildTraceback(trace)
        return result

    def _wait(self, timeout: float | None) -> None:
        if timeout is None:
            self._pipe.poll(None)
            return
        left, before = timeout, time.monotonic()
        while not self._pipe.poll(max(0.0, min(left, TICK_SECONDS))):
            now = time.monotonic()
            left -= min(now - before, TICK_SECONDS)
            before = now
            if left <= 0:
                self._child.kill()
                raise _ExpiredError

    def _detect_alone(self, item: Item) -> Outcome:
        for attempt in itertools.count(1):
            try:
                return self._call(child.detect, (item,), 1, timeout=self._timeout)[0]
            except (DiedError, _ExpiredError) as error:
                killed = isinstance(error, DiedError) and self._was_killed()
                self._restart()
                if attempt >= (KILLED_RETRIES if killed else 1):
                    if isinstance(error, DiedError) and not killed:
                        self._check()
                    return self._lost(item, error)
        raise AssertionError("unreachable")

    def _check(self) -> None:
        """Makes sure that it was the image that the child died of.

        Raises:
            ModelError: If a new child dies of a blank image, too, or its network fails on it.
        """
        try:
            self._call(child.check, timeout=self._timeout)
        except (DiedError, _ExpiredError) as error:
            if isinstance(error, DiedError) and not self._was_killed():
                raise ModelError(
                    f"{self._prepared.model}: the worker process dies of a blank image, too; try another --runtime"
                ) from error
            self._restart()

    def _was_killed(self) -> bool:
        """Tells whether the child, or the server that forked it, ended by SIGKILL, and not by a crash of its own."""
        self._child.join(1)
        return self._child.exitcode in {-getattr(signal, "SIGKILL", 0), SERVER_LOST}

    def _lost(self, item: Item, error: Exception) -> Outcome:
        if not isinstance(item, ImageRef):
            return item
        if isinstance(error, _ExpiredError):
            return ImageFailure(item, "worker", "Timeout", f"took longer than --timeout {self._timeout:g} s")
        return ImageFailure(item, "worker", "WorkerDied", "the worker process died whenever it was given this image")

    def _restart(self) -> None:
        self._end()
        self._start()

    def _end(self) -> None:
        self._pipe.close()
        self._children.end(self._child)

    def _start(self) -> None:
        servers = 0
        for attempt in range(START_ATTEMPTS):
            time.sleep(attempt * RESTART_SECONDS)
            try:
                self._child, self._pipe = self._children.start()
            except ServerDiedError as error:
                servers += 1
                if servers == SERVER_ATTEMPTS:
                    raise WorkerError(f"worker processes cannot be started: what forks them dies; {LIMITED}") from error
                continue
            try:
                self.loaded = self._call(child.own_detector, self._loader, self._prepared, self._pictures)
                return
            except DiedError:
                self._end()
            except BaseException:
                self._end()
                raise
        raise WorkerError(
            f"worker processes die while they load {self._prepared.model}; is there memory for one more model? "
            "Try fewer --workers. A script that is run needs if __name__ == '__main__' around its calls"
        )
