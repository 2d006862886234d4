"""Who owns the detector: one row a mode. A new mode is one module and one row."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType

from yolocli.config import Mode, RunConfig
from yolocli.executors.base import Backend

BACKENDS: Mapping[Mode, str] = MappingProxyType(
    {
        Mode.thread: "yolocli.executors.thread:ThreadBackend",
        Mode.locked: "yolocli.executors.locked:LockedBackend",
        Mode.process: "yolocli.executors.process:ProcessBackend",
    }
)


def make_backend(config: RunConfig) -> Backend:
    """Returns the backend of a configuration whose workers, threads and devices have been settled."""
    module, _, name = BACKENDS[config.mode].partition(":")
    backend: Backend = getattr(import_module(module), name)(config)
    return backend
