"""What the tests of the embedded detector share."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from yolocli.builtin import WEIGHTS

ROOT = Path(__file__).parents[2]
os.environ.setdefault("YOLO_OFFLINE", "1")


@pytest.fixture(scope="session")
def detector() -> Iterator[Any]:
    """The shipped weights in Ultralytics' own wrapper, loaded by its safe loader."""
    from ultralytics import YOLO
    from ultralytics.nn import tasks

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks, "SAFE_LOAD", True)  # read from the environment at import, maybe long ago
        yield YOLO(str(WEIGHTS))


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of sample images."""
    return ROOT / "sample_images"


@pytest.fixture(scope="session")
def photographs(coco_weights: Path, photos: list[Path]) -> list[Path]:
    """Real photographs without marks, where there are any on this machine."""
    return photos
