"""What runs the network. A runtime is one module with a `load` function and one row here."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING

from yolocli.config import RuntimeName

if TYPE_CHECKING:
    from yolocli.config import DetectorConfig
    from yolocli.runtimes.base import Runtime

RUNTIMES: Mapping[RuntimeName, str] = MappingProxyType(
    {
        RuntimeName.torch: "yolocli.runtimes.torch.load",
        RuntimeName.openvino: "yolocli.runtimes.openvino.load",
    }
)


def load_runtime(config: DetectorConfig) -> Runtime:
    """Loads the model of a configuration; to be called in the thread or process that will use it.

    Args:
        config: If its runtime is not settled, or a conversion is missing, that is done first.

    Raises:
        ModelError: If the model cannot be loaded, is not trusted, or is no detector.
        UsageError: If runtime, precision, device and model do not go together.
    """
    if config.runtime is RuntimeName.auto or (config.runtime is RuntimeName.openvino and config.converted is None):
        from yolocli.runtimes.choose import choose_runtime

        config = choose_runtime(config)
    runtime: Runtime = import_module(RUNTIMES[config.runtime]).load(config)
    if config.chosen:
        runtime.description += f" ({config.chosen})"
    return runtime
