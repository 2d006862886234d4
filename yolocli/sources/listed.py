"""The names in a list of inputs: of a file, here or in a store, or of a pipe, as it comes and whatever it holds."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable, Iterator
from functools import partial

from yolocli.errors import UsageError
from yolocli.stores import is_url, store_of, where
from yolocli.stores.base import StoreError
from yolocli.stores.download import parts_of
from yolocli.stores.secrets import without_secrets

LONGEST_NAME = 2**16
"""Bytes of a listed name that are kept. It is more than any system takes: Linux 4,096, Windows 32,767 characters."""
MOST_WITHOUT_NAME = 2**24
"""Bytes of a list without a name in them, such as those of /dev/zero, after which nobody expects another."""


def names_in(name: str, *, null: bool) -> Iterator[str]:
    """Yields the names of a list.

    Args:
        name: Of the list; `-` is standard input.
        null: NUL bytes separate the names, and not newlines.

    Raises:
        UsageError: If it cannot be read.
    """
    separator = b"\0" if null else b"\n"
    if name == "-" and sys.stdin is None:
        raise UsageError("--files-from -: standard input is closed")
    if is_url(name):
        try:
            yield from _split(parts_of(name), separator)
        except (OSError, StoreError) as error:
            raise UsageError(f"--files-from {without_secrets(name)}: {error}") from None
        return
    try:
        # unbuffered: Python aborts when it ends while a thread waits for standard input with a buffer's lock
        source = sys.stdin.fileno() if name == "-" else name
        with open(source, "rb", buffering=0, closefd=name != "-") as stream:
            # what a pipe holds now, so that work starts before the list ends
            yield from _split(iter(partial(stream.read, 1 << 16), b""), separator)
    except OSError as error:
        raise UsageError(f"--files-from {name}: {error.strerror or error}") from error


def check_list(name: str) -> None:
    """Looks at a list in a store before anything else is done; one that is here is read soon enough.

    Raises:
        UsageError: If it is not there.
    """
    if is_url(name):
        try:
            store_of(name).stat(where(name).key)
        except StoreError as error:
            raise UsageError(f"--files-from {without_secrets(name)}: {error}") from None


def _split(blocks: Iterable[bytes], separator: bytes) -> Iterator[str]:
    """Yields the names of a list; of one that no system could have, the beginning, so that it fails by itself.

    Raises:
        OSError: If there is no end to what is no name.
    """
    rest, skipping, nameless = b"", False, 0
    for block in blocks:
        *names, rest = (rest + block).split(separator)
        if skipping and names:  # the end of what was too long
            del names[0]
            skipping = False
        found = list(_names(names, separator))
        yield from found
        if skipping:
            rest = b""
        elif len(rest) > LONGEST_NAME:
            yield os.fsdecode(rest[:LONGEST_NAME])
            rest, skipping = b"", True
        nameless = 0 if found else nameless + len(block)
        if nameless > MOST_WITHOUT_NAME:
            raise OSError(errno.EINVAL, f"no name in {MOST_WITHOUT_NAME:,} bytes: this is no list of names")
    yield from _names([rest], separator)


def _names(names: Iterable[bytes], separator: bytes) -> Iterator[str]:
    for name in names:
        name = name if separator == b"\0" else name.removesuffix(b"\r")
        if name:
            yield os.fsdecode(name[:LONGEST_NAME])
