"""A model is loaded without the network: classes that a checkpoint may name fetch weights if it asks them to."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

NETWORK = frozenset(
    ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.sendto")
)
"""Audit events of Python that come before a look-up or a packet, whatever name a library knows the function by."""
FOLDERS = frozenset(("os.mkdir",))
"""What comes before a download, if it is to be kept."""

_here = threading.local()
_installing = threading.Lock()
_installed = False


class ConfinedError(OSError):
    """What was tried is not for the loading of a model."""


@contextmanager
def confined(*, folders: bool) -> Iterator[None]:
    """Raises ConfinedError where the block reaches for the network, in this thread; others go on as they are.

    Args:
        folders: Where it makes a folder, too.
    """
    _install()
    before: frozenset[str] = getattr(_here, "denied", frozenset())
    _here.denied = before | NETWORK | (FOLDERS if folders else frozenset())
    try:
        yield
    finally:
        _here.denied = before


def _install() -> None:
    """Adds the hook, once a process: Python has no way to take one out."""
    global _installed
    with _installing:
        if not _installed:
            sys.addaudithook(_hook)
            _installed = True


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event in getattr(_here, "denied", ()):
        raise ConfinedError(f"{event} while a model loads")
