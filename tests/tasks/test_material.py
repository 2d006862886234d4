"""The small models are fit to test with: they load, they find most marks, and no two of their scores tie."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from tests.tasks.material import MODELS, Model
from yolocli.builtin import CODES
from yolocli.runtimes.torch.library import import_ultralytics

cv2 = pytest.importorskip("cv2", reason="draws with OpenCV")
for name in ("segno", "barcode", "zint"):
    pytest.importorskip(name, reason="draws marks: pip install .[builtin]")

import numpy as np  # noqa: E402

from tests.tasks.material.data import corners, hazy, scenes  # noqa: E402
from yolocli.builtin.scene import Box, Scene  # noqa: E402

SCENES = 16
IMGSZ = 192


@pytest.fixture(scope="module")
def drawn() -> tuple[Scene, ...]:
    """Scenes that nothing was trained on."""
    return scenes("test", SCENES)


def _load(model: Model) -> Any:
    import_ultralytics()
    from ultralytics import YOLO

    return YOLO(str(model.weights))


def _iou(box: Box, other: list[float]) -> float:
    width = min(box.x2, other[2]) - max(box.x1, other[0])
    height = min(box.y2, other[3]) - max(box.y1, other[1])
    common = max(0.0, width) * max(0.0, height)
    areas = (box.x2 - box.x1) * (box.y2 - box.y1) + (other[2] - other[0]) * (other[3] - other[1])
    return common / (areas - common)


def _masked(answer: Any, place: int, outline: Any) -> bool:
    """The mask covers the mark, and not much besides."""
    truth, seen = np.zeros(answer.orig_shape, np.uint8), np.zeros(answer.orig_shape, np.uint8)
    cv2.fillPoly(truth, [outline.points.astype(np.int32)], 1)
    cv2.fillPoly(seen, [answer.masks.xy[place].astype(np.int32)], 1)
    return float((truth & seen).sum() / (truth | seen).sum()) > 0.5


def _cornered(answer: Any, place: int, outline: Any) -> bool:
    """Corners lie within a sixth of the mark's longest side."""
    away = np.linalg.norm(answer.keypoints.xy[place].numpy() - corners(outline), axis=1)
    x1, y1, x2, y2 = outline.bounds
    return float(np.median(away)) < max(x2 - x1, y2 - y1) / 6


def _turned(answer: Any, place: int, outline: Any) -> bool:
    """The rotated boxes overlap."""
    truth = cv2.minAreaRect(outline.points)
    seen = cv2.minAreaRect(answer.obb.xyxyxyxy[place].numpy())
    shared = cv2.rotatedRectangleIntersection(truth, seen)[1]
    common = 0.0 if shared is None else cv2.contourArea(cv2.convexHull(shared))
    return common / (truth[1][0] * truth[1][1] + seen[1][0] * seen[1][1] - common) > 0.5


INSTANCES: dict[str, Callable[[Any, int, Any], bool]] = {"segment": _masked, "pose": _cornered, "obb": _turned}
"""Whether what was found at a place is the mark with an outline, by what a task adds to a box."""


@pytest.mark.parametrize("model", MODELS, ids=lambda one: one.name)
def test_is_small_safe_to_load_and_names_its_task(model: Model) -> None:
    import_ultralytics()
    from ultralytics.nn.tasks import torch_safe_load

    checkpoint, _ = torch_safe_load(str(model.weights), safe_only=True)
    assert checkpoint["optimizer"] is None
    assert _load(model).task == model.task
    assert model.weights.stat().st_size < 1_100_000


@pytest.mark.parametrize("model", MODELS, ids=lambda one: one.name)
def test_nothing_of_the_machine_is_in_it(model: Model) -> None:
    with zipfile.ZipFile(model.weights) as archive:
        text = b"".join(archive.read(name) for name in archive.namelist() if "/data/" not in name)
    words = re.findall(rb"[ -~]{4,}", text)
    assert not [word for word in words if re.search(rb"(^|[^a-z])/[a-z]+/|[A-Za-z]:\\\\|://", word)]


@pytest.mark.parametrize("model", [one for one in MODELS if one.task in INSTANCES], ids=lambda one: one.name)
def test_finds_most_marks_with_scores_that_differ(model: Model, drawn: tuple[Scene, ...]) -> None:
    loaded = _load(model)
    total = found = extra = 0
    scores: list[float] = []
    for scene in drawn:
        (answer,) = loaded.predict(scene.image, imgsz=IMGSZ, conf=0.25, verbose=False)
        boxes = answer.obb if model.task == "obb" else answer.boxes
        scores += boxes.conf.tolist()
        rows = list(zip(boxes.cls.tolist(), boxes.xyxy.tolist(), range(len(boxes)), strict=True))
        total += len(scene.boxes)
        extra += len(rows)
        for box, outline in zip(scene.boxes, scene.outlines, strict=True):
            near = [place for c, xyxy, place in rows if CODES[int(c)] == box.name and _iou(box, xyxy) > 0.5]
            found += any(INSTANCES[model.task](answer, place, outline) for place in near)
    assert found >= 0.6 * total, f"{found} of {total} marks"
    assert extra <= 2 * total, f"{extra} found where {total} are"
    assert len(set(scores)) == len(scores)


def test_classifies_most_crops(drawn: tuple[Scene, ...]) -> None:
    loaded = _load(next(model for model in MODELS if model.task == "classify"))
    assert len(loaded.names) > 5
    right = total = 0
    for scene in drawn:
        for box in scene.boxes:
            crop = scene.image[int(box.y1) : int(box.y2) + 1, int(box.x1) : int(box.x2) + 1]
            (answer,) = loaded.predict(crop, imgsz=IMGSZ, verbose=False)
            total += 1
            right += answer.names[answer.probs.top1] == box.name
            assert len(set(answer.probs.top5conf.tolist())) == 5
    assert right >= 0.6 * total, f"{right} of {total} crops"


def test_labels_most_pixels(drawn: tuple[Scene, ...]) -> None:
    loaded = _load(next(model for model in MODELS if model.task == "semantic"))
    right: list[float] = []
    for scene in drawn:
        truth = np.full(scene.image.shape[:2], len(CODES), np.uint8)
        for outline in scene.outlines:
            cv2.fillPoly(truth, [outline.points.astype(np.int32)], CODES.index(outline.name))
        (answer,) = loaded.predict(scene.image, imgsz=IMGSZ, verbose=False)
        seen = answer.semantic_mask.data.numpy().squeeze()
        right.append(float((seen == truth)[truth < len(CODES)].mean()))
    assert np.mean(right) > 0.5


def test_tells_most_depths_within_a_quarter(drawn: tuple[Scene, ...]) -> None:
    loaded = _load(next(model for model in MODELS if model.task == "depth"))
    rng = np.random.default_rng(0)
    near: list[float] = []
    for scene in drawn:
        image, truth = hazy(rng, scene)
        (answer,) = loaded.predict(image, imgsz=IMGSZ, verbose=False)
        ratio = answer.depth.data.numpy().squeeze() / truth
        near.append(float(((ratio > 0.8) & (ratio < 1.25)).mean()))
    assert np.mean(near) > 0.6
