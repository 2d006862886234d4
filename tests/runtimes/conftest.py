"""What tests of runtimes share: one conversion for all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from yolocli.runtimes.openvino.convert import converted_model
from yolocli.runtimes.openvino.library import openvino_installed


@pytest.fixture(scope="session")
def openvino() -> None:
    if not openvino_installed():
        pytest.skip("the extra is not installed: pip install '.[openvino]'")


@pytest.fixture(scope="session")
def converted(openvino: None, weights: Path) -> Path:
    """The folder that the weights were converted to, in the cache of the tests."""
    return converted_model(weights, trust_weights=False)


@pytest.fixture(scope="session")
def int8_model(openvino: None, coco_weights: Path) -> Path:
    """An INT8 export by Ultralytics, for squares of one size."""
    path = coco_weights.parent / "yolo11n_int8_openvino_model"
    if not path.is_dir():
        pytest.skip(f"no INT8 export at {path}")
    return path
