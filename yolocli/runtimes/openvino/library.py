"""OpenVINO, imported so that it keeps to itself, and what can be known of it without importing it."""

from __future__ import annotations

import sys
import threading
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

_import_lock = threading.Lock()


def import_openvino() -> Any:
    """Imports OpenVINO once a process; safe to call from any thread, and before a fork: no Core is made.

    Its import starts a process that reports to an analytics service, unless the package for that is missing; the
    library then takes a stub of its own.

    Returns:
        The module.
    """
    with _import_lock:
        if "openvino" not in sys.modules:
            sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
        import openvino

        return openvino


def openvino_installed() -> bool:
    """Tells whether there is an OpenVINO to import."""
    return find_spec("openvino") is not None


def openvino_version() -> str:
    """Returns the version of the installed package, without importing it."""
    try:
        return version("openvino")
    except PackageNotFoundError:
        return "unknown"
