"""The form in which Ultralytics exports a model for OpenVINO, and yolocli writes those it converts or optimises.

A folder whose name ends in `_openvino_model`, with one `.xml`, its `.bin`, and `metadata.yaml`.
"""

from __future__ import annotations

from pathlib import Path

from yolocli.errors import ModelError

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
