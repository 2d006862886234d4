"""What a run says of itself: JSON objects in the output folder, such as run.json and summary.json."""

from __future__ import annotations

import datetime
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from yolocli.config import RunConfig
from yolocli.executors.settle import Settled
from yolocli.output.disk import sync_stream
from yolocli.output.folder import OutputFolder
from yolocli.output.ownership import RUN


def write_json(folder: OutputFolder, name: str, content: Mapping[str, Any], *, durable: bool = False) -> None:
    """Writes an object as JSON.

    Args:
        folder: Where to.
        name: Of the file.
        content: The object.
        durable: When this returns, it outlives a power cut, and so do the names of all files beside it.

    Raises:
        OutputError: If it cannot be written.
    """
    with folder.open(name) as stream:
        stream.write(_json(content))
        if durable:  # before it takes the place of another
            sync_stream(stream)
    if durable:
        folder.sync_names()


def read_json(folder: OutputFolder, name: str) -> dict[str, Any] | None:
    """Returns an object written before, None when there is none or it is no JSON object."""
    try:
        content = json.loads((folder.root / name).read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def has_run(output: Path) -> bool:
    """Tells whether a run has written to a folder before."""
    return (output / RUN).exists()


def conclude(folder: OutputFolder, files: Mapping[str, Mapping[str, Any]]) -> None:
    """Makes all that was written outlive a power cut; only then puts the files in place that say so.

    Args:
        folder: Where to.
        files: Objects to be written as JSON, by name.

    Raises:
        OutputError: If that cannot be done.
    """
    with ExitStack() as stack:
        for name, content in files.items():
            stream = stack.enter_context(folder.open(name))
            stream.write(_json(content))
            stream.flush()
        folder.sync()
    folder.sync_names()


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, indent=2).encode() + b"\n"


def settings_of(config: RunConfig, settled: Settled, formats: Sequence[str]) -> dict[str, Any]:
    """Returns the settings of a run, for people and for those who go on with its folder.

    Args:
        config: What was asked for.
        settled: What was found.
        formats: What the folder holds.
    """
    detector = settled.detector
    plan = detector.plan
    return {
        "inputs": _printable(config.source.inputs),
        "files_from": config.source.files_from,
        "shard": None if config.source.shard is None else str(config.source.shard),
        "model": str(detector.model),
        "runtime": plan.runtime,
        "runtime_chosen": plan.why or "asked for",
        "precision": plan.precision.value if plan.precision else None,
        "mode": config.mode,
        "workers": settled.workers,
        "threads_per_worker": detector.threads,
        "batch": settled.batch,
        "devices": list(config.devices),
        "formats": list(formats),
    }


def _printable(names: Iterable[str]) -> list[str]:
    return [name.encode("utf-8", "backslashreplace").decode() for name in names]


def versions() -> dict[str, str]:
    """Returns the versions of what a record may depend on."""
    found = {"python": platform.python_version()}
    for package in ("yolocli", "ultralytics", "torch", "openvino", "opencv-python", "numpy"):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def now() -> str:
    """Returns the time, in UTC and to the second."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
