"""torch: PyTorch, and the converted models that Ultralytics runs; see `Engine`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from yolocli.config import Precision
from yolocli.errors import UsageError
from yolocli.machine.gpu import nvidia_gpu_present
from yolocli.runtimes.torch.library import import_ultralytics, torch_installed

if TYPE_CHECKING:
    from yolocli.runtimes.base import Lock, Runtime
    from yolocli.runtimes.plan import Plan, Prepared

PRELOAD = "yolocli.runtimes.torch.preload"


def installed() -> bool:
    """See `Engine.installed`; PyTorch comes with yolocli, but workers that run converted models can do without."""
    return torch_installed()


def suits(model: Path, devices: Sequence[str]) -> tuple[bool, str]:
    """See `Engine.suits`; it takes what no other does."""
    return True, ""


def precision(wanted: Precision | None, model: Path, devices: Sequence[str]) -> Precision | None:
    """See `Engine.precision`."""
    if wanted is Precision.int8:
        raise UsageError("--precision int8 needs a model made for it: yolocli optimize MODEL --calibrate DIR")
    if model.suffix != ".pt":
        if wanted is not None:
            raise UsageError(f"--precision {wanted.value}: {model.name} has the precision it was exported with")
        return None
    on_cpu = set(devices) == {"cpu"} or (not devices and not nvidia_gpu_present())
    if wanted is Precision.fp16 and on_cpu:
        raise UsageError("--precision fp16 needs a GPU; on a CPU use fp32 or bf16")
    return wanted or Precision.fp32


def convert(plan: Plan, model: Path, notice: Callable[[str], None]) -> Path | None:
    """See `Engine.convert`; models run as they are."""
    return None


def gpus(devices: Sequence[str]) -> int:
    """See `Engine.gpus`."""
    return len(set(devices) - {"cpu"}) if devices else int(nvidia_gpu_present())


def lock() -> Lock:
    """See `Engine.lock`; it is the one of Ultralytics' guide to thread-safe inference."""
    import_ultralytics()
    from ultralytics.utils import ThreadingLocked

    return ThreadingLocked()  # type: ignore[no-any-return]


def load(prepared: Prepared) -> Runtime:
    """See `Engine.load`."""
    from yolocli.runtimes.torch import load

    return load.load(prepared)
