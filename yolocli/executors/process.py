"""process: every worker is a child process with a detector of its own; a child that dies takes no image with it.

A worker and its child share a pipe, and nothing else: no queue, lock or thread that a death, or a lack of processes,
could leave stuck. A death touches one worker only, and the image that was in it is known.
"""

from __future__ import annotations

import pickle
import signal
import time
from collections.abc import Callable
from typing import ClassVar

from yolocli.errors import WorkerError
from yolocli.executors import child
from yolocli.executors.base import WorkerSpec
from yolocli.executors.children import Children, ServerDiedError
from yolocli.executors.mortal import (
    GRACE_SECONDS,
    RESTART_SECONDS,
    START_ATTEMPTS,
    DiedError,
    ExpiredError,
    MortalWorker,
    T,
    TheirTraceback,
    ticks,
)
from yolocli.machine.memory import peak_memory
from yolocli.machine.threads import LIMITED
from yolocli.runtimes import find_engine

SERVER_ATTEMPTS = 3
"""Deaths of what forks the children, after which the run gives up: it is hit by chance far less often than a child, and
dies where it may not fork."""
SERVER_LOST = 255
"""What multiprocessing gives as exit code of a child whose server died before it could tell."""


class ProcessExecutor:
    """A detector per child process; see `Executor`."""

    shares: ClassVar[bool] = False
    ends_images: ClassVar[bool] = True
    elsewhere: ClassVar[bool] = False
    package: ClassVar[str | None] = None
    grace: float | None = GRACE_SECONDS
    least: int | None = None
    most: int | None = None

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


class ProcessWorker(MortalWorker):
    """The parent's end of one child process; see `Worker`."""

    def __init__(self, spec: WorkerSpec, slot: int, children: Children) -> None:
        super().__init__(spec, slot)
        self._children = children
        self._start()

    def close(self) -> int:
        """See `Worker.close`."""
        try:
            return self._call(peak_memory)
        except DiedError:
            return 0
        finally:
            self._end()

    def _call(self, function: Callable[..., T], *arguments: object, timeout: float | None = None) -> T:
        try:
            self._pipe.send_bytes(pickle.dumps((function, arguments)))
            self._wait(timeout)
            answer = self._pipe.recv_bytes()
        except (EOFError, OSError) as error:
            raise DiedError from error
        result: T
        result, failure, trace = pickle.loads(answer)
        if failure is not None:
            raise failure from TheirTraceback(trace)
        return result

    def _wait(self, timeout: float | None) -> None:
        if timeout is None:
            self._pipe.poll(None)
        elif not any(self._pipe.poll(seconds) for seconds in ticks(timeout)):
            self._child.kill()
            raise ExpiredError

    def _was_killed(self) -> bool:
        """Tells whether the child, or the server that forked it, ended by SIGKILL, and not by a crash of its own."""
        self._child.join(1)
        return self._child.exitcode in {-getattr(signal, "SIGKILL", 0), SERVER_LOST}

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
