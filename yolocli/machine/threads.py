"""Threads that nobody waits for when the command ends."""

from __future__ import annotations

import threading
from collections.abc import Callable

from yolocli.errors import WorkerError

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
