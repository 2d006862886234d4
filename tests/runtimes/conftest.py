"""What tests of runtimes share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def int8_model(openvino: None, coco_weights: Path) -> Path:
    """An INT8 export by Ultralytics, for squares of one size."""
    path = coco_weights.parent / "yolo11n_int8_openvino_model"
    if not path.is_dir():
        pytest.skip(f"no INT8 export at {path}")
    return path
