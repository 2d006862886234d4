"""process: every worker is a child process with a detector of its own; a child that dies takes no image with it.

A worker and its child share a pipe, and nothing else: no queue, lock or thread that a death, or a lack of processes,
could leave stuck. A death touches one worker only, and the image that was in it is known.
"""

from __future__ import annotations

import errno
import itertools
import multiprocessing
import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from yolocli.config import DetectorConfig, RunConfig, RuntimeName
from yolocli.detector import load_detector
from yolocli.errors import ModelError, WorkerError
from yolocli.executors.base import Loaded, LocalWorker, detector_config
from yolocli.machine.apart import multiprocessing_apart
from yolocli.machine.memory import keep_freed_memory, peak_memory
from yolocli.machine.threads import LIMITED, start_thread
from yolocli.results import ImageFailure, ImageRef, Item, Outcome

T = TypeVar("T")

PRELOAD = {
    RuntimeName.torch: "yolocli.runtimes.torch.preload",
    RuntimeName.openvino: "yolocli.runtimes.openvino.preload",
}
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
END_SECONDS = 5.0
"""What a child has to end in once it has nothing more to do."""
NO_WARNING = "ignore::UserWarning:multiprocessing.resource_tracker"
SERVER_LOST = 255
"""What multiprocessing gives as exit code of a child whose server died before it could tell."""
ADVICE = {
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "raise the limit (ulimit -n), or use fewer --workers"),
    **dict.fromkeys((errno.EAGAIN, errno.ENOMEM), LIMITED),
}


class ProcessBackend:
    """A detector per child process; see `Backend`."""

    grace: float | None = GRACE_SECONDS

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        self._children = _Children(_context(config.detector.runtime))

    def open_worker(self, slot: int) -> ProcessWorker:
        """See `Backend.open_worker`."""
        return ProcessWorker(detector_config(self._config, slot), self._config.limits.timeout, self._children)

    def kill(self) -> None:
        """See `Backend.kill`."""
        self._children.kill()

    def close(self) -> None:
        """See `Backend.close`; nothing is shared."""


class _DiedError(Exception):
    """A child, or what forks the children, is dead."""


class _ServerDiedError(_DiedError):
    """What forks the children is dead."""


class _ExpiredError(Exception):
    """A child was stopped because an image took too long."""


class _ChildTraceback(Exception):  # noqa: N818
    """Where in the child the error was raised that this is the cause of."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class _Children:
    """Starts child processes, until they are all killed."""

    def __init__(self, context: BaseContext) -> None:
        self._context = context
        self._alive: list[BaseProcess] = []
        self._killed = False

    def start(self) -> tuple[BaseProcess, Connection]:
        """Returns a new child, and the pipe that it takes calls from.

        Raises:
            _ServerDiedError: If what should fork it is dead.
            WorkerError: If there can be no more.
        """
        if self._killed:
            raise WorkerError("the run has ended")
        try:
            pipe, its_end = self._context.Pipe()
        except OSError as error:
            raise _cannot_start(error) from error
        try:
            child = self._context.Process(target=_serve, args=(its_end,))  # type: ignore[attr-defined]
            with multiprocessing_apart():
                _start_tracker()
                _start_server(self._context)
                child.start()
        except BaseException as error:
            pipe.close()
            if isinstance(error, EOFError | ConnectionError | ChildProcessError):
                raise _ServerDiedError from error  # it was killed, and may not yet have been seen to be dead
            if isinstance(error, OSError):
                raise _cannot_start(error) from error
            raise
        finally:
            its_end.close()
        self._alive.append(child)
        if self._killed:
            child.kill()
        return child, pipe

    def end(self, child: BaseProcess) -> None:
        """Waits until a child has ended that has nothing more to do."""
        child.join(END_SECONDS)
        child.kill()
        self._alive.remove(child)

    def kill(self) -> None:
        """Ends all children, and those that are about to start."""
        self._killed = True
        for child in tuple(self._alive):
            child.kill()


class ProcessWorker:
    """The parent's end of one child process; see `Worker`."""

    def __init__(self, config: DetectorConfig, timeout: float | None, children: _Children) -> None:
        self._config = config
        self._timeout = timeout
        self._children = children
        self._start()

    def detect(self, items: Sequence[Item], batch: int) -> list[Outcome]:
        """See `Worker.detect`. After a death each image of the chunk is tried once more, alone in a new child.

        Where there is a limit of time, which is an image's, each is alone from the start.
        """
        if self._timeout is None:
            try:
                return self._call(_detect, tuple(items), batch)
            except _DiedError:
                self._restart()
        return [self._detect_alone(item) for item in items]

    def close(self) -> int:
        """See `Worker.close`."""
        try:
            return self._call(peak_memory)
        except _DiedError:
            return 0
        finally:
            self._end()

    def _call(self, function: Callable[..., T], *arguments: object, timeout: float | None = None) -> T:
        """Returns what a function gives in the child, or raises what it raises there.

        Raises:
            _DiedError: If the child dies.
            _ExpiredError: If it takes too long; the child is killed.
        """
        try:
            self._pipe.send_bytes(pickle.dumps((function, arguments)))
            self._wait(timeout)
            answer = self._pipe.recv_bytes()
        except (EOFError, OSError) as error:
            raise _DiedError from error
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
                return self._call(_detect, (item,), 1, timeout=self._timeout)[0]
            except (_DiedError, _ExpiredError) as error:
                killed = isinstance(error, _DiedError) and self._was_killed()
                self._restart()
                if attempt >= (KILLED_RETRIES if killed else 1):
                    if isinstance(error, _DiedError) and not killed:
                        self._check()
                    return self._lost(item, error)
        raise AssertionError("unreachable")

    def _check(self) -> None:
        """Makes sure that it was the image that the child died of.

        Raises:
            ModelError: If a new child dies of a blank image, too, or its network fails on it.
        """
        try:
            self._call(_check, timeout=self._timeout)
        except (_DiedError, _ExpiredError) as error:
            if isinstance(error, _DiedError) and not self._was_killed():
                raise ModelError(
                    f"{self._config.model}: the worker process dies of a blank image, too; try another --runtime"
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
            except _ServerDiedError as error:
                servers += 1
                if servers == SERVER_ATTEMPTS:
                    raise WorkerError(f"worker processes cannot be started: what forks them dies; {LIMITED}") from error
                continue
            try:
                self.loaded = self._call(_own_detector, self._config)
                return
            except _DiedError:
                self._end()
            except BaseException:
                self._end()
                raise
        raise WorkerError(
            f"worker processes die while they load {self._config.model}; is there memory for one more model? "
            "Try fewer --workers. A script that is run needs if __name__ == '__main__' around its calls"
        )


def _cannot_start(error: OSError) -> WorkerError:
    advice = ADVICE.get(error.errno or 0)
    return WorkerError(
        f"worker processes cannot be started: {error.strerror or error}; {advice + ' or' if advice else 'use'} "
        "--mode thread"
    )


def _context(runtime: RuntimeName) -> BaseContext:
    """Returns a start method that never copies threads or locks: forkserver where there is one, else spawn."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, *([PRELOAD[runtime]] if runtime in PRELOAD else [])])
    return context


def _start_tracker() -> None:
    """Starts what the server wants beside it, without its warning when a run ends at once."""
    if os.name != "posix":
        return
    from multiprocessing import resource_tracker

    sys.warnoptions.append(NO_WARNING)  # the options it is started with
    try:
        resource_tracker.ensure_running()
    finally:
        sys.warnoptions.remove(NO_WARNING)


def _start_server(context: BaseContext) -> None:
    """Starts what forks the children, if there is such a thing, deaf to signals that are sent to the whole group.

    It would die of a supervisor's SIGTERM, and of Ctrl-C while it imports, and the images in flight with it. What is
    blocked when it starts stays so, in its children too, which end with their parent. The tracker must run before, as
    its start lifts the block.
    """
    if context.get_start_method() != "forkserver":
        return
    from multiprocessing import forkserver

    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# What follows runs in the child.

_worker: LocalWorker


def _serve(pipe: Connection) -> None:
    """Answers calls until the parent closes its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # so does a kill of the group; a child ends with its parent
    os.dup2(2, 1)  # stdout is the parent's, for data
    keep_freed_memory()
    with suppress(EOFError, OSError):
        while True:
            pipe.send_bytes(_answer(pipe.recv_bytes()))


def _answer(call: bytes) -> bytes:
    """Returns result, error and traceback, pickled."""
    try:
        function, arguments = pickle.loads(call)
        return pickle.dumps((function(*arguments), None, None))
    except BaseException as error:
        return pickle.dumps((None, _sendable(error), traceback.format_exc()))


def _sendable(error: BaseException) -> BaseException:
    try:
        copy: Any = pickle.loads(pickle.dumps(error))
    except Exception:
        return WorkerError(f"a worker process failed: {type(error).__name__}: {error}")
    else:
        return copy  # type: ignore[no-any-return]


def _end_with_parent() -> None:
    """Leaves no orphan behind a parent that was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _own_detector(config: DetectorConfig) -> Loaded:
    global _worker
    start_thread(_end_with_parent, "yolocli-parent-watch")
    _worker = LocalWorker(load_detector(config), config.max_pixels)
    return _worker.loaded


def _check() -> None:
    _worker.check()


def _detect(items: tuple[Item, ...], batch: int) -> list[Outcome]:
    return _worker.detect(items, batch)
