"""Python imports this at its start, in a run and in all its children; it spoils what the environment asks for.

So a decoder can crash and a socket can be watched without a hook in the product.
"""

from __future__ import annotations

import ctypes
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
        if fullname != "yolocli.images":
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


sys.meta_path.insert(0, _Spoiler())
if AUDIT:
    sys.addaudithook(_watch)
