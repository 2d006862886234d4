"""Standard streams: they exist, stdout holds data alone, and it is known when a reader has gone or a disk is full."""

from __future__ import annotations

import faulthandler
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, TextIO

from yolocli.errors import OutputError, printable


class ReaderLeftError(Exception):
    """Whoever read stdout has closed it, as `head` does; that is the end of the run, and no failure."""


def open_missing() -> None:
    """Opens the null device in place of standard streams that were closed, as by `>&-`.

    Else the next file that is opened would get their number, and with it what is meant for them. In place of stdout it
    is opened for reading only, so that data still cannot be written and nobody thinks it was.
    """
    for number, flags in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, flags), True)  # the lowest free number is this one
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)


def claim_stdout() -> IO[bytes]:
    """Returns stdout for data alone: whatever else is printed there, from Python or from C, goes to stderr."""
    sys.stdout.flush()
    data = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return data


def mute_libraries() -> None:
    """Leaves stderr to `sys.stderr`: what is printed on it, and on stdout, from C is dropped, here and in children.

    A crash still tells where it was.
    """
    sys.stderr.flush()
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding=sys.stderr.encoding, errors="backslashreplace")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    faulthandler.enable(sys.stderr)


def write(stream: IO[bytes], data: bytes, name: str = "stdout") -> None:
    """Writes data and sends it on at once.

    Args:
        stream: Where to; after an error it takes all and keeps nothing.
        data: What to write.
        name: What the stream is called in a message.

    Raises:
        ReaderLeftError: If nobody reads it any more.
        OutputError: If it cannot be written for another reason.
    """
    with _failures_of(stream, name):
        stream.write(data)
        stream.flush()


def flush_stdout() -> None:
    """Sends on what was printed; raises what `write` raises."""
    with _failures_of(sys.stdout, "stdout"):
        sys.stdout.flush()


@contextmanager
def _failures_of(stream: IO[Any], name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # or Python would try again at its end, complain, and make that the exit code
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        if isinstance(error, BrokenPipeError):
            raise ReaderLeftError from error
        raise OutputError(f"{name}: cannot be written: {error.strerror or error}") from error


def tell(text: str, stream: TextIO | None = None) -> None:
    """Tells a person something, in a line: the one way to stderr for what names files, classes and models.

    That nobody reads it any more, or that it cannot be written, is no error.

    Args:
        text: What to say; need not be printable.
        stream: Where people read; stderr when not given.
    """
    stream = sys.stderr if stream is None else stream
    if stream is not None:  # or print would take stdout
        with suppress(ReaderLeftError, OutputError), _failures_of(stream, "stderr"):
            print(printable(text), file=stream, flush=True)


def tell_traceback() -> None:
    """Tells of the exception that is handled, line by line."""
    for line in traceback.format_exc().splitlines():
        tell(line)
