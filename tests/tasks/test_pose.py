"""Keypoints: where they lie, how alike two poses are, and that they are what Ultralytics' predict gives."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from tests.tasks.predicted import PICTURES, cut, detector_of, found_by, predicted, weights_of
from yolocli.errors import ModelError
from yolocli.images.letterbox import Canvas
from yolocli.results import Detection
from yolocli.runtimes import RUNTIMES
from yolocli.tasks.base import ModelFacts, Raw, Wanted
from yolocli.tasks.pose import COCO_SIGMAS, SIGMA, Pose

FACTS = ModelFacts({0: "a"}, {"kpt_shape": [2, 3]})
CANVAS = Canvas(np.zeros((64, 64, 3), np.uint8), 100, 80, gain_x=0.5, gain_y=0.5, left=7, top=12)


def read(own: list[float], shape: list[int]) -> Detection:
    rows = np.array([[10, 20, 50, 50, 0.5, 0, *own]], np.float32)
    return Pose().read(Raw(rows), CANVAS, ModelFacts({0: "a"}, {"kpt_shape": shape}), Wanted()).detections[0]


def test_keypoints_are_of_the_image_and_inside_it() -> None:
    keypoints = read([17, 32, 0.876543, 0, 63, 0.1], [2, 3]).more["keypoints"]
    assert keypoints == {"x": [20.0, 0.0], "y": [40.0, 80.0], "visible": [0.8765, 0.1]}
    assert read([17, 32, 0, 63], [2, 2]).more["keypoints"] == {"x": [20.0, 0.0], "y": [40.0, 80.0]}
    assert Pose().cells(read([17, 32, 0.5, 0, 63, 0.1], [2, 3]))[-1] == "20.0 40.0 0.5; 0.0 80.0 0.1"
    assert Pose().cells(read([17, 32, 0, 63], [2, 2]))[-1] == "20.0 40.0; 0.0 80.0"


def pose(*xs: float, visible: tuple[float, ...] | None = None) -> Detection:
    points = {"x": list(xs), "y": [0.0] * len(xs)} | ({"visible": list(visible)} if visible else {})
    return Detection("a", 0, 0.5, (0.0, 0.0, 10.0, 10.0), {"keypoints": points})


def test_oks_is_cocos() -> None:
    moved = Pose().likeness(pose(0, 5), pose(1, 5))
    assert moved == pytest.approx((1 + math.exp(-1 / (2 * 100 * (2 * SIGMA) ** 2))) / 2)
    unseen = Pose().likeness(pose(0, 5, visible=(0.9, 0.1)), pose(0, 9, visible=(0.9, 0.2)))
    assert unseen == 1
    assert Pose().likeness(pose(0, visible=(0.1,)), pose(9, visible=(0.1,))) < 0.1
    person = Pose().likeness(pose(*[0.0] * 17), pose(*[0.5] * 17))
    assert person == pytest.approx(np.mean([math.exp(-0.25 / (2 * 100 * (2 * sigma) ** 2)) for sigma in COCO_SIGMAS]))


@pytest.mark.slow
@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("name", ["pose-yolo11", "pose-yolo26"])
@pytest.mark.parametrize(("imgsz", "confidence"), [(192, 0.1), (320, 0.01), ((320, 224), 0.05)])
def test_keypoints_are_those_of_predict(
    name: str,
    runtime: str,
    imgsz: int | tuple[int, int],
    confidence: float,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    if runtime == "openvino":
        request.getfixturevalue("openvino")
    loaded, total = detector_of(name, runtime, imgsz, confidence=confidence), 0
    for picture in [*PICTURES, *cut(PICTURES[0], tmp_path)]:
        (answer,) = predicted(weights_of(name), picture, imgsz, confidence)
        found = found_by(loaded, picture).detections
        assert len(found) == len(answer.boxes), picture
        for box, row, points in zip(found, answer.boxes.data.tolist(), answer.keypoints.data.numpy(), strict=True):
            assert box.class_id == row[5]
            assert box.confidence == pytest.approx(row[4], abs=1e-3)
            np.testing.assert_allclose(box.xyxy, row[:4], atol=0.05)
            keypoints = box.more["keypoints"]
            np.testing.assert_allclose([keypoints["x"], keypoints["y"]], points[:, :2].T, atol=0.1)
            np.testing.assert_allclose(keypoints["visible"], points[:, 2], atol=1e-3)
            total += 1
    assert total > 10


@pytest.mark.parametrize("shape", [5, None, [17, 3, 1], [51, 1], [-17, -3], [0, 3], [10**9, 3], ["a", 3]])
def test_a_damaged_shape_of_keypoints_is_the_models_failure(shape: object) -> None:
    with pytest.raises(ModelError, match=r"kpt_shape .* is damaged"):
        Pose().extra(ModelFacts({0: "a"}, {"kpt_shape": shape}))
