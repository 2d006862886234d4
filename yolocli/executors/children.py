"""Child processes: how they are started, whatever the group is sent meanwhile, and how they are all ended."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import sys
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess

from yolocli.errors import WorkerError
from yolocli.executors import child as child_side
from yolocli.executors.mortal import DiedError
from yolocli.machine.apart import multiprocessing_apart
from yolocli.machine.threads import LIMITED

END_SECONDS = 5.0
"""What a child has to end in once it has nothing more to do."""
NO_WARNING = "ignore::UserWarning:multiprocessing.resource_tracker"
ADVICE = {
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "raise the limit (ulimit -n), or use fewer --workers"),
    **dict.fromkeys((errno.EAGAIN, errno.ENOMEM), LIMITED),
}


class ServerDiedError(DiedError):
    """What forks the children is dead."""


class Children:
    """Starts child processes, until they are all killed."""

    def __init__(self, preload: str) -> None:
        """Starts none yet.

        Args:
            preload: Module that is imported before the children are forked from a server.
        """
        self._context = _context(preload)
        self._alive: list[BaseProcess] = []
        self._killed = False

    def start(self) -> tuple[BaseProcess, Connection]:
        """Returns a new child, and the pipe that it takes calls from.

        Raises:
            ServerDiedError: If what should fork it is dead.
            WorkerError: If there can be no more.
        """
        if self._killed:
            raise WorkerError("the run has ended")
        try:
            pipe, its_end = self._context.Pipe()
        except OSError as error:
            raise _cannot_start(error) from error
        try:
            process = self._context.Process  # type: ignore[attr-defined]
            child = process(target=child_side.serve, args=(its_end, dict(os.environ)))
            with multiprocessing_apart():
                _start_tracker()
                _start_server(self._context)
                child.start()
        except BaseException as error:
            pipe.close()
            if isinstance(error, EOFError | ConnectionError | ChildProcessError):
                raise ServerDiedError from error  # it was killed, and may not yet have been seen to be dead
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


def _cannot_start(error: OSError) -> WorkerError:
    advice = ADVICE.get(error.errno or 0)
    return WorkerError(
        f"worker processes cannot be started: {error.strerror or error}; {advice + ' or' if advice else 'use'} "
        "--mode thread"
    )


def _context(preload: str) -> BaseContext:
    """Returns a start method that never copies threads or locks: forkserver where there is one, else spawn."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([child_side.__name__, preload])
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
