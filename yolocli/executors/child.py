"""What runs in a child process: it owns a detector, and answers calls until the parent closes its end of the pipe."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import traceback
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from yolocli.detector import Loader
from yolocli.errors import WorkerError
from yolocli.executors.base import Loaded, LocalWorker
from yolocli.executors.pictures import Pictures
from yolocli.machine.memory import keep_freed_memory
from yolocli.machine.threads import start_thread
from yolocli.results import Item, Outcome
from yolocli.runtimes.plan import Prepared

_worker: LocalWorker


def serve(pipe: Connection, environment: Mapping[str, str]) -> None:
    """Answers calls until the parent closes its end.

    Args:
        pipe: To the parent.
        environment: The parent's, as it is now; what forks children has that of when it was started.
    """
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # so does a kill of the group; a child ends with its parent
    os.dup2(2, 1)  # stdout is the parent's, for data
    keep_freed_memory()
    with suppress(EOFError, OSError):
        while True:
            pipe.send_bytes(answer(pipe.recv_bytes()))


def answer(call: bytes) -> bytes:
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


def own_detector(loader: Loader, prepared: Prepared, pictures: Pictures) -> Loaded:
    """Builds the detector, and says what it says of itself."""
    global _worker
    start_thread(_end_with_parent, "yolocli-parent-watch")
    _worker = LocalWorker(loader.load(prepared), prepared.asked, pictures)
    return _worker.loaded


def check() -> None:
    """See `check_network`."""
    _worker.check()


def expect(items: tuple[Item, ...]) -> None:
    """See `Worker.expect`."""
    _worker.expect(items)


def detect(items: tuple[Item, ...], batch: int) -> list[Outcome]:
    """See `Worker.detect`."""
    return _worker.detect(items, batch)
