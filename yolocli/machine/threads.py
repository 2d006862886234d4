"""Threads that nobody waits for when the command ends."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from yolocli.errors import WorkerError

P = ParamSpec("P")
T = TypeVar("T")

LIMITED = "raise the limit of processes and threads (ulimit -u, or that of the container), or use fewer --workers"


def start_thread(target: Callable[..., None], name: str, *arguments: object) -> threading.Thread:
    """Starts a thread.

    Raises:
        WorkerError: If the system gives no more.
    """
    thread = threading.Thread(target=target, args=arguments, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise WorkerError(f"no more threads can be started; {LIMITED}") from error
    return thread


class OneAtATime:
    """Lets one thread at a time into the functions that it is put around."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]:
        """Returns the function behind the lock."""

        @functools.wraps(function)
        def locked(*args: P.args, **kwargs: P.kwargs) -> T:
            with self._lock:
                return function(*args, **kwargs)

        return locked
