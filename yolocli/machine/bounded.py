"""Small files that somebody else may have put there: read whole, or not at all, and never waited for."""

from __future__ import annotations

import errno
import os
import stat


def read_bounded(path: str | os.PathLike[str], most: int) -> bytes:
    """Reads a regular file.

    Args:
        path: The file; a link counts as what it leads to.
        most: Bytes it may have.

    Raises:
        OSError: If it cannot be read, is something else, such as a FIFO or a device, or has more bytes.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):  # some devices act on being opened
        raise OSError(errno.EINVAL, "not a regular file")
    # it may have become a FIFO since, whose opening would wait for a writer
    number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(number, "rb") as stream:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        data = stream.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"larger than {most:,} bytes")
    return data
