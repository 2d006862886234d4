"""The form in which Ultralytics exports a model for OpenVINO, and yolocli writes those it converts or optimises.

A folder whose name ends in `_openvino_model`, with one `.xml`, its `.bin`, and `metadata.yaml`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from yolocli.errors import ModelError, OutputError, UsageError

SUFFIX = "_openvino_model"
MODEL = "model.xml"
QUANTISED = b'type="FakeQuantize"'
"""What only a quantised graph holds."""


def is_openvino_model(path: Path) -> bool:
    """Tells whether a path is a folder with a model for OpenVINO."""
    return path.name.lower().endswith(SUFFIX) and path.is_dir()


def graph_file(folder: Path) -> Path:
    """Returns the `.xml` of a model.

    Raises:
        ModelError: If there is none, or its weights are missing.
    """
    graph = next((file for file in sorted(folder.glob("*.xml")) if file.is_file()), None)
    if graph is None or not graph.with_suffix(".bin").is_file():
        raise ModelError(f"{folder}: a model for OpenVINO is an .xml and its .bin; convert it again")
    return graph


def is_quantised(folder: Path) -> bool:
    """Tells whether a model computes in INT8.

    Raises:
        ModelError: If it cannot be read.
    """
    try:
        return QUANTISED in graph_file(folder).read_bytes()
    except OSError as error:
        raise ModelError(f"{folder}: cannot be read: {error.strerror or error}") from error


def check_name(target: Path) -> None:
    """Makes sure that a folder to be written will be known for a model.

    Raises:
        UsageError: If its name is another.
    """
    if not target.name.endswith(SUFFIX):
        raise UsageError(f"--output {target}: the name must end in {SUFFIX}, by which models are known")


def refuse_used(target: Path, force: bool) -> None:
    """Makes sure that a folder may be written.

    Raises:
        UsageError: If it is there, and may not be replaced.
    """
    if target.exists() and not force:
        raise UsageError(f"{target}: exists; name another --output, or use --force to replace it")


@contextmanager
def new_model(target: Path) -> Iterator[Path]:
    """Gives an empty folder, which takes the place of the target when the block ends well.

    It lies beside the target, so that moving it there is one step.

    Raises:
        OutputError: If that place cannot be written.
    """
    try:
        parent = tempfile.TemporaryDirectory(dir=target.parent, prefix=".yolocli-", ignore_cleanup_errors=True)
    except OSError as error:
        raise OutputError(f"{target.parent}: cannot be written: {error.strerror or error}; use --output") from error
    with parent:
        made = Path(parent.name) / target.name
        made.mkdir()
        yield made
        try:
            if target.exists():
                shutil.rmtree(target)
            os.replace(made, target)
        except OSError as error:
            raise OutputError(f"{target}: cannot be written: {error.strerror or error}") from error
