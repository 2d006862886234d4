"""Ultralytics, imported so that it keeps to itself: no network, no stdout, no file outside the cache, no thread count.

What its import does to a process is listed in its `utils/__init__.py`; all of it can be steered only by environment
variables that are set before.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
from collections.abc import Mapping
from importlib.util import find_spec
from types import MappingProxyType

from yolocli.errors import ModelError, printable
from yolocli.machine.cache import cache_folder

ENVIRONMENT: Mapping[str, str] = MappingProxyType(
    {
        "YOLO_OFFLINE": "true",  # no DNS probe, analytics or version check
        "YOLO_AUTOINSTALL": "false",  # no pip run for a missing package
        "YOLO_VERBOSE": "false",
    }
)
WAITING: Mapping[str, str] = MappingProxyType({"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "2000"})
"""Threads of OpenMP that wait for one another by spinning take the cores from those they wait for, such as decoders: on
a machine with other work to do that costs nine tenths of the speed. Not spinning at all costs a third of it on a
machine without; GNU's library, torch's on Linux, can be told to spin for some microseconds."""

COLOUR = re.compile(r"\x1b\[[0-9;]*m")

_import_lock = threading.Lock()


class _Readable(logging.Formatter):
    """Lets no name in a message, of a file or a class, move a terminal's cursor; the library's own colours go, too."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        return "\n".join(printable(line) for line in COLOUR.sub("", super().format(record)).splitlines())


def torch_installed() -> bool:
    """Tells whether there are PyTorch and Ultralytics to import: workers that run converted models need neither."""
    return find_spec("ultralytics") is not None and find_spec("torch") is not None


def import_ultralytics(verbose: bool = False) -> None:
    """Imports Ultralytics once a process; safe to call from any thread.

    Args:
        verbose: Let its messages through, on stderr.

    Raises:
        ModelError: If it is not installed.
    """
    if not torch_installed():
        raise ModelError(
            "PyTorch and Ultralytics are not installed here: pip install torch ultralytics, or give --model a folder "
            "that `yolocli convert` has made elsewhere"
        )
    with _import_lock:
        if "ultralytics.utils" not in sys.modules:
            os.environ.update(ENVIRONMENT)
            settings = cache_folder("ultralytics")
            os.environ.setdefault("YOLO_CONFIG_DIR", str(settings))
            for name, value in WAITING.items():
                os.environ.setdefault(name, value)
            from filelock import FileLock

            # its settings file is rewritten in place: a process that reads it half-written would reset it
            with FileLock(settings / "import.lock"):
                import ultralytics.utils  # noqa: F401
        from ultralytics.utils import LOGGER

        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_Readable())
        LOGGER.handlers = [handler]
        LOGGER.setLevel(logging.INFO if verbose else logging.ERROR)
