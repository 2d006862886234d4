"""Which runtime and precision a configuration means, and why."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from yolocli.config import DetectorConfig, Precision, RuntimeName
from yolocli.errors import ModelError, UsageError, install_hint
from yolocli.runtimes.openvino.convert import ConversionError, converted_model
from yolocli.runtimes.openvino.export_folder import is_export, is_quantised
from yolocli.runtimes.openvino.library import openvino_installed

NVIDIA_FILES = ("/dev/nvidiactl", "/dev/nvhost-gpu", "/usr/lib/wsl/lib/libcuda.so.1", "C:/Windows/System32/nvcuda.dll")
"""Signs of an NVIDIA driver: Linux, Jetson, WSL, Windows."""


def choose_runtime(
    config: DetectorConfig, devices: Sequence[str] = (), notice: Callable[[str], None] = lambda _: None
) -> DetectorConfig:
    """Returns the configuration with its runtime and precision settled, and the model converted if need be.

    torch is not imported for it.

    Args:
        config: Its `model` must be the path of a file or folder that exists.
        devices: Devices that workers are dealt over; empty lets the runtime choose.
        notice: Told before something that takes long.

    Raises:
        UsageError: If runtime, precision, device and model do not go together.
        ModelError: If a package is missing, or the model cannot be converted.
    """
    devices = devices or ((config.device,) if config.device else ())
    path = Path(config.model)
    name, why = (config.runtime, config.chosen) if config.runtime is not RuntimeName.auto else _auto(path, devices)
    converted = None
    if name is RuntimeName.openvino:
        _check_openvino(path, devices)
        try:
            if path.suffix == ".pt":
                converted = str(converted_model(path, trust_weights=config.trust_weights, notice=notice))
        except ConversionError as error:
            if config.runtime is not RuntimeName.auto:
                raise
            name, why = RuntimeName.torch, f"auto: {error}"
    precision = _precision(name, path, config.precision, devices)
    return replace(config, runtime=name, precision=precision, converted=converted, chosen=why)


def _auto(path: Path, devices: Sequence[str]) -> tuple[RuntimeName, str]:
    export = is_export(path)
    if not export and path.suffix != ".pt":
        return RuntimeName.torch, f"auto: {path.suffix or path.name} runs through Ultralytics"
    accelerators = [device for device in devices if device != "cpu"]
    if accelerators and not export:
        return RuntimeName.torch, f"auto: device {accelerators[0]}"
    if not openvino_installed():
        if export:
            raise ModelError(f"{path}: needs OpenVINO: {install_hint('openvino')}")
        return RuntimeName.torch, "auto: openvino not installed"
    if export:
        return RuntimeName.openvino, "auto: an OpenVINO model"
    if platform.machine().lower() not in {"x86_64", "amd64"}:
        return RuntimeName.torch, f"auto: {platform.machine()} CPU"
    if not devices and nvidia_gpu_present():
        return RuntimeName.torch, "auto: NVIDIA GPU present"
    return RuntimeName.openvino, "auto: x86-64 CPU, openvino installed"


def gpus(config: DetectorConfig, devices: Sequence[str]) -> int:
    """Returns how many GPUs networks will run on, without asking torch.

    Args:
        config: With its runtime settled.
        devices: Devices that workers are dealt over; empty lets the runtime choose.
    """
    devices = devices or ((config.device,) if config.device else ())
    if devices:
        return len(set(devices) - {"cpu"})
    return int(config.runtime is RuntimeName.torch and nvidia_gpu_present())


def nvidia_gpu_present() -> bool:
    """Tells whether torch could find a GPU of NVIDIA's, without asking torch, whose import takes seconds."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in {"", "-1"} or sys.platform == "darwin":
        return False
    with suppress(PackageNotFoundError):
        if version("torch").endswith("+cpu"):
            return False
    return any(Path(file).exists() for file in NVIDIA_FILES)


def _check_openvino(path: Path, devices: Sequence[str]) -> None:
    if path.suffix != ".pt" and not is_export(path):
        raise UsageError(f"--runtime openvino takes a .pt or an _openvino_model folder, not {path.name}")
    if not openvino_installed():
        raise ModelError(f"--runtime openvino: not installed; {install_hint('openvino')}")
    for device in devices:
        if device != "cpu":
            raise UsageError(f"--runtime openvino runs on the CPU; --device {device} needs --runtime torch")


def _precision(name: RuntimeName, path: Path, wanted: Precision | None, devices: Sequence[str]) -> Precision | None:
    """Returns the precision to compute in; None for an export that has its own and does not say it."""
    if wanted is Precision.int8 and not (name is RuntimeName.openvino and is_export(path)):
        raise UsageError("--precision int8 needs a model made for it: yolocli optimize MODEL --calibrate DIR")
    if name is RuntimeName.openvino:
        return _openvino_precision(path, wanted)
    if path.suffix != ".pt":
        if wanted is not None:
            raise UsageError(f"--precision {wanted.value}: {path.name} has the precision it was exported with")
        return None
    on_cpu = set(devices) == {"cpu"} or (not devices and not nvidia_gpu_present())
    if wanted is Precision.fp16 and on_cpu:
        raise UsageError("--precision fp16 needs a GPU; on a CPU use fp32 or bf16")
    return wanted or Precision.fp32


def _openvino_precision(path: Path, wanted: Precision | None) -> Precision:
    if wanted is Precision.fp16:
        raise UsageError("--precision fp16 needs a GPU and --runtime torch; on a CPU use fp32 or bf16")
    own = Precision.int8 if is_export(path) and is_quantised(path) else Precision.fp32
    if wanted is None:
        return own
    if (wanted is Precision.int8) != (own is Precision.int8):
        raise UsageError(f"--precision {wanted.value}: {path.name} is a model for {own.value}")
    return wanted
