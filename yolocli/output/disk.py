"""What the disk is asked for, and what is said when it refuses.

What is written does not outlive a power cut of itself, as systems keep it in memory for half a minute.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from yolocli.errors import OutputError

_CANNOT = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP})
"""What file systems answer, some of the network's, that have no such call: their servers keep what they were sent."""


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turns an error of the file system into one that says what could not be written, and what to do.

    Raises:
        OutputError: In place of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise cannot_write(target, error) from error


def cannot_write(target: Path, error: OSError) -> OutputError:
    """Returns what to raise in place of an error of the file system."""
    return OutputError(
        f"{target}: cannot be written: {error.strerror or error}. Put that right and run the same command again; "
        "what was done is kept"
    )


def longest_path() -> int:
    """Returns the bytes of a path, with the zero at its end, that the system opens at least."""
    try:
        return os.pathconf("/", "PC_PATH_MAX")
    except (AttributeError, OSError, ValueError):
        return 1 << 16  # the system will say


def sync_stream(stream: IO[bytes]) -> None:
    """Makes the content of an open file durable; its name is another matter, see `sync_names`.

    Raises:
        OSError: If the disk does not take it.
    """
    stream.flush()
    os.fsync(stream.fileno())


def sync_names(folder: Path) -> None:
    """Makes durable which files a folder holds. Windows has no call for that, and needs none.

    Raises:
        OSError: If the disk does not take it.
    """
    if os.name != "nt":
        _sync(folder, os.O_RDONLY)


def sync_tree(folder: Path) -> None:
    """Makes a folder and all below it durable: with one call for the file system where there is one, that is on Linux.

    Raises:
        OSError: If the disk does not take it.
    """
    if not _sync_file_system(folder):
        _sync_each(folder)


def _sync_file_system(folder: Path) -> bool:
    """Returns whether there is a call for it; before Linux 5.8 it does not tell of errors."""
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    file = os.open(folder, os.O_RDONLY)
    try:
        if libc.syncfs(file) == 0:
            return True
        number = ctypes.get_errno()
        if number in _CANNOT:
            return False
        raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(file)


def _sync_each(folder: Path) -> None:
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            with suppress(PermissionError, FileNotFoundError):  # no file of ours
                if path.is_file() and not path.is_symlink():
                    _sync(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
        sync_names(Path(parent))


def _sync(path: Path, flags: int) -> None:
    file = os.open(path, flags)
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
    finally:
        os.close(file)
