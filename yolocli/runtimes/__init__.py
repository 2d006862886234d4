"""What runs the network. A runtime is one module with a `load` function and one row here."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from yolocli.config import DetectorConfig
    from yolocli.runtimes.base import Runtime

RUNTIMES: Mapping[str, str] = MappingProxyType({"torch": "yolocli.runtimes.torch"})


def load_runtime(config: DetectorConfig) -> Runtime:
    """Loads the model of a configuration; to be called in the thread or process that will use it.

    Raises:
        ModelError: If the model cannot be loaded, is not trusted, or is no detector.
    """
    runtime: Runtime = import_module(RUNTIMES["torch"]).load(config)
    return runtime
