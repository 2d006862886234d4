"""openvino: OpenVINO on the CPU; see `Engine`."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from yolocli.config import Precision
from yolocli.errors import ModelError, UsageError, install_hint
from yolocli.machine.gpu import nvidia_gpu_present
from yolocli.machine.threads import OneAtATime
from yolocli.runtimes.openvino.library import openvino_installed
from yolocli.runtimes.openvino.model_folder import is_openvino_model, is_quantised

if TYPE_CHECKING:
    from yolocli.runtimes.base import Lock, Runtime
    from yolocli.runtimes.plan import Plan, Prepared

PRELOAD = "yolocli.runtimes.openvino.preload"


def installed() -> bool:
    """See `Engine.installed`."""
    return openvino_installed()


def suits(model: Path, devices: Sequence[str]) -> tuple[bool, str]:
    """See `Engine.suits`."""
    if is_openvino_model(model):
        return True, "an OpenVINO model"
    if model.suffix != ".pt":
        return False, f"{model.suffix or model.name} runs through Ultralytics"
    accelerators = [device for device in devices if device != "cpu"]
    if accelerators:
        return False, f"device {accelerators[0]}"
    if not openvino_installed():
        return False, "openvino not installed"
    if platform.machine().lower() not in {"x86_64", "amd64"}:
        return False, f"{platform.machine()} CPU"
    if not devices and nvidia_gpu_present():
        return False, "NVIDIA GPU present"
    return True, "x86-64 CPU, openvino installed"


def precision(wanted: Precision | None, model: Path, devices: Sequence[str]) -> Precision | None:
    """See `Engine.precision`."""
    converted = is_openvino_model(model)
    if model.suffix != ".pt" and not converted:
        raise UsageError(f"--runtime openvino takes a .pt or an _openvino_model folder, not {model.name}")
    if not openvino_installed():
        raise ModelError(f"{model}: needs OpenVINO, which is not installed: {install_hint('openvino')}")
    for device in devices:
        if device != "cpu":
            raise UsageError(f"--runtime openvino runs on the CPU; --device {device} needs --runtime torch")
    if wanted is Precision.int8 and not converted:
        raise UsageError("--precision int8 needs a model made for it: yolocli optimize MODEL --calibrate DIR")
    if wanted is Precision.fp16:
        raise UsageError("--precision fp16 needs a GPU and --runtime torch; on a CPU use fp32 or bf16")
    own = Precision.int8 if converted and is_quantised(model) else Precision.fp32
    if wanted is not None and (wanted is Precision.int8) != (own is Precision.int8):
        raise UsageError(f"--precision {wanted.value}: {model.name} is a model for {own.value}")
    return wanted or own


def convert(plan: Plan, model: Path, notice: Callable[[str], None]) -> Path | None:
    """See `Engine.convert`."""
    if model.suffix != ".pt":
        return None
    from yolocli.runtimes.openvino.convert import converted_model

    return converted_model(model, trust_weights=plan.asked.trust_weights, notice=notice)


def gpus(devices: Sequence[str]) -> int:
    """See `Engine.gpus`; it runs on the CPU alone."""
    return 0


def lock() -> Lock:
    """See `Engine.lock`; Ultralytics' own does the same, but would bring PyTorch with it, which takes 500 MiB."""
    return OneAtATime()


def load(prepared: Prepared) -> Runtime:
    """See `Engine.load`."""
    from yolocli.runtimes.openvino import load

    return load.load(prepared)
