"""Who owns the detector: one row a mode. A new mode is one module and one row."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType

from yolocli.backends.base import Backend
from yolocli.config import Mode, RunConfig

BACKENDS: Mapping[Mode, str] = MappingProxyType(
    {
        Mode.thread: "yolocli.backends.thread:ThreadBackend",
        Mode.locked: "yolocli.backends.locked:LockedBackend",
        Mode.process: "yolocli.backends.process:ProcessBackend",
    }
)


def make_backend(config: RunConfig) -> Backend:
    """Returns the backend of a configuration whose workers, threads and devices have been settled."""
    module, _, name = BACKENDS[config.mode].partition(":")
    backend: Backend = getattr(import_module(module), name)(config)
    return backend
