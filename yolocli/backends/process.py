"""process: every worker is a child process with a detector of its own; a child that dies takes no image with it.

Each worker is a pool of one process from the standard library. Pools of many share one queue and its locks between
their processes: a child that is killed while it holds one stalls or breaks the whole pool. Here a death touches one
worker only, and the image that was in it is known.
"""

from __future__ import annotations

import errno
import itertools
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import BaseContext
from typing import TypeVar

from yolocli.backends.base import Loaded, LocalWorker, detector_config
from yolocli.config import DetectorConfig, RunConfig, RuntimeName
from yolocli.detector import load_detector
from yolocli.errors import ModelError, WorkerError
from yolocli.memory import keep_freed_memory, peak_memory
from yolocli.results import ImageFailure, ImageRef, Outcome
from yolocli.worker import Item

T = TypeVar("T")

PRELOAD = {
    RuntimeName.torch: "yolocli.backends.preload_torch",
    RuntimeName.openvino: "yolocli.backends.preload_openvino",
}
KILLED_RETRIES = 5
"""Times an image is tried alone when its child is killed from outside each time, which need not be its fault. After a
crash it is tried once."""
START_ATTEMPTS = 8
"""Deaths in a row while a child loads its model, after which the run gives up: loading takes seconds on a busy machine,
and whoever kills a worker every second hits it there as often as at work."""
RESTART_SECONDS = 0.1
"""Wait before the second attempt, twice that before the third, and so on."""
TOO_MANY_FILES = frozenset((errno.EMFILE, errno.ENFILE))
NO_WARNING = "ignore::UserWarning:multiprocessing.resource_tracker"
SERVER_LOST = 255
"""What multiprocessing gives as exit code of a child whose server died before it could tell."""


class ProcessBackend:
    """A detector per child process; see `Backend`."""

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        self._context = _context(config.detector.runtime)

    def open_worker(self, slot: int) -> ProcessWorker:
        """See `Backend.open_worker`."""
        return ProcessWorker(detector_config(self._config, slot), self._config.limits.timeout, self._context)

    def close(self) -> None:
        """See `Backend.close`; nothing is shared."""


class _ExpiredError(Exception):
    """A child was stopped because an image took too long."""


class ProcessWorker:
    """The parent's end of one child process; see `Worker`."""

    def __init__(self, config: DetectorConfig, timeout: float | None, context: BaseContext) -> None:
        self._config = config
        self._timeout = timeout
        self._context = context
        self._start()

    def detect(self, items: Sequence[Item], batch: int) -> list[Outcome]:
        """See `Worker.detect`. After a death each image of the chunk is tried once more, alone in a new child.

        Where there is a limit of time, which is an image's, each is alone from the start.
        """
        if self._timeout is None:
            try:
                return self._call(_detect, tuple(items), batch)
            except BrokenProcessPool:
                self._restart()
        return [self._detect_alone(item) for item in items]

    def close(self) -> int:
        """See `Worker.close`."""
        try:
            return self._pool.submit(peak_memory).result()
        except RuntimeError:  # it is broken, or could not be started again
            return 0
        finally:
            self._pool.shutdown()

    def _call(self, function: Callable[..., T], *arguments: object) -> T:
        """Returns what a function gives in the child.

        Raises:
            BrokenProcessPool: If the child dies.
            _ExpiredError: If it takes too long; the child is killed.
        """
        try:
            return self._pool.submit(function, *arguments).result(self._timeout)
        except FutureTimeoutError as error:
            self._child.kill()
            raise _ExpiredError from error

    def _detect_alone(self, item: Item) -> Outcome:
        for attempt in itertools.count(1):
            try:
                return self._call(_detect, (item,), 1)[0]
            except (BrokenProcessPool, _ExpiredError) as error:
                killed = isinstance(error, BrokenProcessPool) and self._was_killed()
                self._restart()
                if attempt >= (KILLED_RETRIES if killed else 1):
                    if isinstance(error, BrokenProcessPool) and not killed:
                        self._check()
                    return self._lost(item, error)
        raise AssertionError("unreachable")

    def _check(self) -> None:
        """Makes sure that it was the image that the child died of.

        Raises:
            ModelError: If a new child dies of a blank image, too, or its network fails on it.
        """
        try:
            self._call(_check)
        except (BrokenProcessPool, _ExpiredError) as error:
            if isinstance(error, BrokenProcessPool) and not self._was_killed():
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
        self._pool.shutdown()
        self._start()

    def _start(self) -> None:
        for attempt in range(START_ATTEMPTS):
            time.sleep(attempt * RESTART_SECONDS)
            try:
                _start_tracker()
                self._pool = ProcessPoolExecutor(1, mp_context=self._context, initializer=_begin)
            except OSError as error:
                raise _cannot_start(error) from error
            try:
                pid, self.loaded = self._load().result()
                self._child = next(child for child in multiprocessing.active_children() if child.pid == pid)
                return
            except (BrokenProcessPool, StopIteration):  # it died while it loaded, or just after
                self._pool.shutdown()
            except BaseException:
                self._pool.shutdown()
                raise
        raise WorkerError(
            f"worker processes die while they load {self._config.model}; is there memory for one more model? "
            "Try fewer --workers. A script that is run needs if __name__ == '__main__' around its calls"
        )

    def _load(self) -> Future[tuple[int, Loaded]]:
        try:
            _start_server(self._context)
            return self._pool.submit(_own_detector, self._config)
        except (OSError, EOFError) as error:
            if isinstance(error, OSError) and error.errno in TOO_MANY_FILES:
                raise _cannot_start(error) from error
            raise BrokenProcessPool(str(error)) from error  # the server was killed, and is not yet seen to be dead


def _cannot_start(error: OSError) -> WorkerError:
    if error.errno in TOO_MANY_FILES:
        hint = "raise the limit (ulimit -n), or use fewer --workers or --mode thread"
    else:  # pools are made of pipes and semaphores, and these are files there
        hint = "they need a /dev/shm that can be written; or use --mode thread"
    return WorkerError(f"worker processes cannot be started: {error.strerror or error}; {hint}")


def _context(runtime: RuntimeName) -> BaseContext:
    """Returns a start method that never copies threads or locks: forkserver where there is one, else spawn."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([PRELOAD[runtime]] if runtime in PRELOAD else [])
    return context


_starting_tracker = threading.Lock()


def _start_tracker() -> None:
    """Starts what removes the semaphores of a run that ended at once, without its warning that it had to."""
    if os.name != "posix":
        return
    from multiprocessing import resource_tracker

    with _starting_tracker:
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


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # so does a kill of the group; a child ends with its parent
    os.dup2(2, 1)  # stdout is the parent's, for data
    keep_freed_memory()
    threading.Thread(target=_end_with_parent, name="yolocli-parent-watch", daemon=True).start()


def _end_with_parent() -> None:
    """Leaves no orphan behind a parent that was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _own_detector(config: DetectorConfig) -> tuple[int, Loaded]:
    global _worker
    _worker = LocalWorker(load_detector(config), config.max_pixels)
    return os.getpid(), _worker.loaded


def _check() -> None:
    _worker.check()


def _detect(items: tuple[Item, ...], batch: int) -> list[Outcome]:
    return _worker.detect(items, batch)
