"""What runs the network. A runtime is one module and one row here."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from yolocli.parsing import check_name

if TYPE_CHECKING:
    from yolocli.runtimes.base import Engine, Runtime
    from yolocli.runtimes.plan import Prepared

RUNTIMES: Mapping[str, str] = MappingProxyType(
    {
        "openvino": "yolocli.runtimes.openvino.engine",
        "torch": "yolocli.runtimes.torch.engine",
    }
)
"""By name, in the order in which `auto` asks them; the last takes every model."""


def find_engine(name: str) -> Engine:
    """Returns the module of a runtime; torch and its like are not imported for it.

    Raises:
        UsageError: If there is no such runtime.
    """
    return cast("Engine", import_module(RUNTIMES[check_name("--runtime", name, list(RUNTIMES))]))


def load_runtime(prepared: Prepared) -> Runtime:
    """Loads a model; to be called in the thread or process that will use it.

    Raises:
        ModelError: If the model cannot be loaded, is not trusted, or is no detector.
        UsageError: If runtime, precision, device and model do not go together.
    """
    runtime = find_engine(prepared.plan.runtime).load(prepared)
    if prepared.plan.why:
        runtime.description += f" ({prepared.plan.why})"
    return runtime
