"""What Ultralytics' own predict makes of pictures, to compare with."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from tests.support import REPOSITORY, detector
from tests.tasks.material import MODELS
from yolocli.detector import Detector
from yolocli.images.decode import decode
from yolocli.results import Findings
from yolocli.runtimes.torch.library import import_ultralytics

CONFIDENCE = 0.1
PICTURES = [
    path
    for path in sorted((REPOSITORY / "sample_images").rglob("*.jpg"))
    if "broken" not in str(path.relative_to(REPOSITORY))
]
SIZES = ((90, 60), (61, 200), (333, 97), (640, 211), (31, 33))
"""Width and height of cuts: smaller than the canvas, upright, lying, odd."""


def weights_of(name: str) -> Path:
    return next(model.weights for model in MODELS if model.name == name)


def cut(picture: Path, folder: Path) -> list[Path]:
    """Writes parts of a picture around its middle, without loss; returns their paths."""
    import cv2

    image, paths = cv2.imread(str(picture)), []
    for width, height in SIZES:
        top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
        paths.append(folder / f"{width}x{height}.png")
        cv2.imwrite(str(paths[-1]), image[max(top, 0) : top + height, max(left, 0) : left + width])
    return paths


@lru_cache(maxsize=2)
def _model(weights: Path) -> Any:
    import_ultralytics()
    from ultralytics import YOLO

    return YOLO(str(weights))


def predicted(weights: Path, picture: Path, imgsz: int | Sequence[int], confidence: float = CONFIDENCE) -> Any:
    """Returns the answer for one picture on its own."""
    return _model(weights).predict(str(picture), imgsz=imgsz, conf=confidence, batch=1, verbose=False)


def detector_of(name: str, runtime: str, imgsz: int | tuple[int, int], **asked: Any) -> Detector:
    asked = {"confidence": CONFIDENCE, "threads": 1} | asked
    sides = (imgsz, imgsz) if isinstance(imgsz, int) else imgsz
    return detector(weights_of(name), runtime=runtime, imgsz=sides, **asked)


def found_by(loaded: Detector, picture: Path) -> Findings:
    """Returns what a detector finds in a picture."""
    pixels = decode(picture.read_bytes(), picture.suffix, channels=loaded.channels, max_pixels=10**9)
    canvases = loaded.prepare(pixels)
    return loaded.finish(loaded.infer(canvases), canvases)
