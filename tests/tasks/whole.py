"""What tests of tasks for whole images share: Ultralytics' own answer, ours, and pictures of every shape."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.conftest import COCO, COCO_IMAGES, SAMPLES
from tests.support import detector
from tests.tasks.material import MODELS
from yolocli.detector import Detector
from yolocli.results import Findings
from yolocli.tasks.whole import MAPS

SIZES = ((1, 1), (7, 3), (1, 90), (90, 1), (33, 500), (500, 33), (191, 193), (192, 192), (100, 300), (480, 640))
"""Height and width of odd pictures."""


def weights(task: str) -> Path:
    """The small model of a task."""
    return next(model.weights for model in MODELS if model.task == task)


def files() -> list[Path]:
    """The sample images, and photographs of COCO if there are some."""
    photos = sorted(COCO_IMAGES.rglob("*.jpg")) if COCO else []
    return [*sorted(SAMPLES.glob("[!b]*/*.*")), *photos]


def odd(folder: Path) -> Iterator[Path]:
    """Writes pictures of odd sizes."""
    random = np.random.default_rng(0)
    for height, width in SIZES:
        path = folder / f"{height}x{width}.png"
        small = random.integers(0, 256, (max(height // 8, 1), max(width // 8, 1), 3), np.uint8)
        cv2.imwrite(str(path), cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC))
        yield path


@cache
def predictor(model: Path) -> Any:
    """Ultralytics' own."""
    from yolocli.runtimes.torch.library import import_ultralytics

    import_ultralytics()
    from ultralytics import YOLO

    return YOLO(str(model))


def predicted(model: Path, path: Path, **options: Any) -> Any:
    """What Ultralytics' predict gives for one file."""
    (answer,) = predictor(model).predict(str(path), verbose=False, **options)
    return answer


def loaded(model: Path, runtime: str, **asked: Any) -> Detector:
    """A detector of ours that gives maps."""
    return detector(model, runtime=runtime, threads=1, save_maps=True, **asked)


def pixels(findings: Findings) -> NDArray[Any]:
    """The map of what was found."""
    image = cv2.imdecode(np.frombuffer(findings.files[MAPS], np.uint8), cv2.IMREAD_UNCHANGED)
    assert image.ndim == 2
    return image
