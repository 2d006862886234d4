"""What a run says of itself: JSON objects in the output folder, such as run.json and summary.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from yolocli.output.disk import sync_stream
from yolocli.output.folder import OutputFolder


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
    with folder.open(Path(name)) as stream:
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
            stream = stack.enter_context(folder.open(Path(name)))
            stream.write(_json(content))
            stream.flush()
        folder.sync()
    folder.sync_names()


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, indent=2).encode() + b"\n"
