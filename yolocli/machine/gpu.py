"""GPUs, as far as they can be seen without a library that takes seconds to import."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

NVIDIA_FILES = ("/dev/nvidiactl", "/dev/nvhost-gpu", "/usr/lib/wsl/lib/libcuda.so.1", "C:/Windows/System32/nvcuda.dll")
"""Signs of an NVIDIA driver: Linux, Jetson, WSL, Windows."""


def nvidia_gpu_present() -> bool:
    """Tells whether torch could find a GPU of NVIDIA's, without asking torch."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in {"", "-1"} or sys.platform == "darwin":
        return False
    with suppress(PackageNotFoundError):
        if version("torch").endswith("+cpu"):
            return False
    return any(Path(file).exists() for file in NVIDIA_FILES)
