"""Python in a process of its own: it finds the packages that this one finds, and no code in the current folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

GRACE_SECONDS = 10.0
"""Time a child has to end what it started itself, and to remove its temporary files."""


def run_apart(
    code: str, arguments: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs Python code to its end. Whatever interrupts the wait, a signal's exception too, ends the child first.

    Args:
        code: To run; `sys` is imported.
        arguments: Found in `sys.argv[1:]`.
        environment: Variables of the child; None gives it those of this process.

    Returns:
        Exit code, stdout and stderr.
    """
    # `-c` puts the current folder before all packages; the variable says no to it in what the child starts, too (3.11)
    code = f"import sys; sys.path[:] = {sys.path!r}\n{code}"
    variables = {**(os.environ if environment is None else environment), "PYTHONSAFEPATH": "1"}
    process = None
    try:
        with _signals_held():
            process = subprocess.Popen(
                [sys.executable, "-c", code, *arguments],
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="backslashreplace",
            )
        out, err = process.communicate()
    except BaseException:
        if process is not None:
            _end(process)
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@contextmanager
def _signals_held() -> Iterator[None]:
    """Keeps signals until the end of the block: the exception of one would leave a child that nobody knows of yet."""
    if threading.current_thread() is not threading.main_thread():  # no signal is handled here
        yield
        return
    heard: list[int] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    held = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in held:
        signal.signal(number, lambda number, frame: heard.append(number))
    try:
        yield
    finally:
        for number, handler in held.items():
            signal.signal(number, handler)
        if heard:
            signal.raise_signal(heard[0])


def _end(process: subprocess.Popen[str]) -> None:
    with process:
        process.terminate()
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
