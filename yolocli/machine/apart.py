"""Python in a process of its own: it finds the packages that this one finds, and no code in the current folder."""

from __future__ import annotations

import multiprocessing.util
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
    # the variable says no to the current folder in what the child starts, too (3.11)
    code = f"{_search_path()}\n{code}"
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
def multiprocessing_apart() -> Iterator[None]:
    """Lets what multiprocessing starts in this block find the packages that this process finds, and no others.

    That is the fork server, the resource tracker, or a spawned child, and what they fork. Only a thread at a time is in
    such a block.
    """
    # All three are started with `-c`, after these options. Where there are two, Python runs the first, and leaves the
    # second to it. From 3.13 on even that is too late, but there is -P.
    safe = ["-P"] if sys.version_info >= (3, 11) else []
    code = f"{_search_path()}; code = sys.argv[2]; del sys.argv[1:3]; exec(code)"
    with _starting:
        plain = multiprocessing.util._args_from_interpreter_flags  # type: ignore[attr-defined]
        multiprocessing.util._args_from_interpreter_flags = lambda: [*plain(), *safe, "-c", code]  # type: ignore[attr-defined]
        try:
            yield
        finally:
            multiprocessing.util._args_from_interpreter_flags = plain  # type: ignore[attr-defined]


_starting = threading.Lock()


def _search_path() -> str:
    """Returns code for `-c`, which puts the current folder before all packages."""
    return f"import sys; sys.path[:] = {sys.path!r}"


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
