"""Python imports this at its start, in a run and in all its children; it spoils what the environment asks for.

So a decoder can crash and a socket can be watched without a hook in the product.
"""

from __future__ import annotations

import ctypes
import errno
import importlib.abc
import importlib.machinery
import importlib.util
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

DELAY = float(os.environ.get("CHAOS_DELAY", "0"))
AUDIT = os.environ.get("CHAOS_AUDIT", "")
BAD_DISK = os.environ.get("CHAOS_BAD_DISK", "")
"""Name of a file that the disk does not take, as is found out when it is made durable."""
PAUSE = os.environ.get("CHAOS_PAUSE", "")
"""Path of which the last part names a file that a run pauses before when it puts it in place; PATH.paused says so."""
PAUSE_SECONDS = 2.0

DEEDS: Mapping[bytes, Callable[[], object]] = {
    b"#segfault#": lambda: ctypes.string_at(0),
    b"#abort#": os.abort,
    b"#out-of-memory#": lambda: os.kill(os.getpid(), signal.SIGKILL),  # as the kernel does it
    b"#hang#": lambda: ctypes.PyDLL(None).sleep(3600),  # in C, and without letting another thread run
}


class _Spoiler(importlib.abc.MetaPathFinder):
    """Wraps the decoder as soon as the module that holds it has been loaded."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "yolocli.images.decode":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        assert spec is not None
        assert spec.loader is not None
        execute = spec.loader.exec_module

        def execute_and_spoil(module: ModuleType) -> None:
            execute(module)
            _spoil(module)

        spec.loader.exec_module = execute_and_spoil  # type: ignore[method-assign]
        return spec


def _spoil(module: Any) -> None:
    decode = module.decode

    def spoiled(data: bytes, *arguments: Any, **options: Any) -> Any:
        time.sleep(DELAY)
        for marker, deed in DEEDS.items():
            if data.endswith(marker):
                deed()
        return decode(data, *arguments, **options)

    module.decode = spoiled


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if not event.startswith(("socket.", "urllib.", "http.", "smtplib.", "ftplib.")):
        return
    if event in {"socket.__new__", "socket.bind", "socket.gethostname"}:
        return
    if event in {"socket.connect", "socket.sendto", "socket.sendmsg"} and not isinstance(arguments[1], tuple):
        return  # the unix sockets between the processes of a run
    with open(AUDIT, "a") as stream:
        stream.write(f"{os.getpid()} {event} {arguments[1:]!r}\n")


def _spoil_disk() -> None:
    sync = os.fsync

    def fsync(file: int) -> None:
        if os.readlink(f"/proc/self/fd/{file}").endswith(f"/{BAD_DISK}"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(file)

    os.fsync = fsync


def _pause(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "os.rename" and os.path.basename(os.fsdecode(arguments[1])) == PAUSE.rpartition("/")[2]:
        with open(f"{PAUSE}.paused", "w"):
            pass
        time.sleep(PAUSE_SECONDS)


sys.meta_path.insert(0, _Spoiler())
if BAD_DISK:
    _spoil_disk()
if PAUSE:
    sys.addaudithook(_pause)
if AUDIT:
    sys.addaudithook(_watch)
