"""Rotated boxes: what is kept, where corners lie, and that all of it is what Ultralytics' predict gives."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from tests.tasks.predicted import PICTURES, cut, detector_of, found_by, predicted, weights_of
from yolocli.results import Detection
from yolocli.runtimes import RUNTIMES
from yolocli.runtimes.torch.library import import_ultralytics
from yolocli.tasks import rotated
from yolocli.tasks.base import ModelFacts
from yolocli.tasks.candidates import BOX, CLASS, CONFIDENCE, OWN, centred
from yolocli.tasks.obb import CORNERS, Obb


def candidates(seed: int, count: int, classes: int, side: float) -> np.ndarray:
    random = np.random.default_rng(seed)
    centre, size = random.uniform(0, 200, (count, 2)), random.exponential(side, (count, 2))
    angle, scores = random.uniform(-math.pi / 4, math.pi * 3 / 4, (count, 1)), random.permutation(count) / count
    rows = [centre - size / 2, centre + size / 2, scores[:, None], random.integers(0, classes, (count, 1)), angle]
    return np.concatenate(rows, 1).astype(np.float32)


def by_ultralytics(rows: np.ndarray, classes: int, iou: float, limit: int) -> np.ndarray:
    """Through Ultralytics' own function, which takes the network's output; as rows."""
    import_ultralytics()
    import torch
    from ultralytics.utils.nms import non_max_suppression

    output = torch.zeros(1, 5 + classes, len(rows))
    output[0, :4] = torch.from_numpy(centred(rows[:, BOX]).T.copy())
    output[0, 4 + rows[:, CLASS].astype(int), torch.arange(len(rows))] = torch.from_numpy(rows[:, CONFIDENCE].copy())
    output[0, -1] = torch.from_numpy(rows[:, 6].copy())
    found: np.ndarray = non_max_suppression(output, 0.0, iou, nc=classes, max_det=limit, rotated=True)[0].numpy()
    return found


@settings(max_examples=100, deadline=None)
@example(seed=12833, count=130, classes=1, side=10.0, iou=0.7, limit=300)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(0, 150),
    classes=st.sampled_from([1, 3]),
    side=st.sampled_from([10.0, 60.0]),
    iou=st.sampled_from([0.05, 0.3, 0.7, 1.0]),
    limit=st.sampled_from([1, 5, 300]),
)
def test_keeps_what_ultralytics_keeps(seed: int, count: int, classes: int, side: float, iou: float, limit: int) -> None:
    rows = candidates(seed, count, classes, side)
    rows = rows[rows[:, CONFIDENCE] > 0]
    assume(len(rows) != 6)  # which it takes for finished rows
    boxes = centred(rows[:, BOX])
    boxes[:, :2] += rows[:, CLASS, None] * np.float32(rotated.CLASS_OFFSET)
    shapes = np.concatenate([boxes[:, :2], rotated._covariances(boxes[:, 2:], rows[:, OWN])], 1)
    with np.errstate(invalid="ignore"):
        overlaps = rotated._probiou(shapes, shapes)
    far = 1 - np.eye(len(rows))
    assume(not (far * (np.abs(overlaps - iou) < 1e-5)).any())  # either side is right there
    expected = by_ultralytics(rows, classes, iou, limit)
    kept = rotated.suppress(rows, iou, limit)
    np.testing.assert_array_equal(kept[:, CONFIDENCE:], expected[:, CONFIDENCE:])
    np.testing.assert_allclose(centred(kept[:, BOX]), expected[:, :4], atol=1e-3)


def test_a_box_that_went_takes_others_with_it() -> None:
    """Three in a row, each on the next: the last goes by the second, which went by the first."""
    rows = np.array([[0, 0, 40, 20, 0.9, 0, 0], [12, 0, 52, 20, 0.8, 0, 0], [24, 0, 64, 20, 0.7, 0, 0]], np.float32)
    assert rotated.suppress(rows, 0.6, 300)[:, CONFIDENCE].tolist() == [np.float32(0.9)]
    assert len(rotated.suppress(rows[[0, 2]], 0.6, 300)) == 2


def test_thousands_of_candidates_take_little_memory() -> None:
    import tracemalloc

    rows = candidates(1, 8000, 1, 3.0)
    tracemalloc.start()
    kept = rotated.suppress(rows, 0.7, 300)
    assert len(kept) == 300
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


def test_likeness_is_that_of_the_turned_boxes() -> None:
    def turned(*corners: float) -> Detection:
        return Detection("a", 0, 0.5, None, {"box": dict(zip(CORNERS, corners, strict=True))})

    square, diamond = turned(0, 0, 0, 2, 2, 2, 2, 0), turned(1, -1, -1, 1, 1, 3, 3, 1)
    assert Obb().likeness(square, diamond) == pytest.approx(0.5)
    assert Obb().likeness(square, turned(1, 0, 1, 2, 3, 2, 3, 0)) == pytest.approx(1 / 3)
    assert Obb().likeness(square, turned(5, 5, 5, 6, 6, 6, 6, 5)) == 0


def test_place_is_the_heads_own_arithmetic() -> None:
    import_ultralytics()
    import torch
    from ultralytics.utils.tal import dist2rbox

    random = np.random.default_rng(0)
    distances, points, own = (random.random((9, n), np.float32) * 9 for n in (4, 2, 1))
    expected = dist2rbox(*map(torch.from_numpy, (distances, own, points)), dim=-1)
    np.testing.assert_allclose(Obb().place(distances, points, own), expected, atol=1e-5)
    assert Obb().extra(ModelFacts({0: "a"})) == 1


@pytest.mark.slow
@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("name", ["obb-yolo11", "obb-yolo26"])
@pytest.mark.parametrize("imgsz", [192, 320])
def test_boxes_are_those_of_predict(
    name: str, runtime: str, imgsz: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if runtime == "openvino":
        request.getfixturevalue("openvino")
    loaded, total = detector_of(name, runtime, imgsz), 0
    for picture in [*PICTURES, *cut(PICTURES[0], tmp_path)]:
        (answer,) = predicted(weights_of(name), picture, imgsz)
        found = found_by(loaded, picture).detections
        assert len(found) == len(answer.obb), picture
        rows = zip(answer.obb.cls.tolist(), answer.obb.conf.tolist(), answer.obb.xyxyxyxy.tolist(), strict=True)
        for box, (category, score, corners) in zip(found, rows, strict=True):
            assert box.class_id == category
            assert box.confidence == pytest.approx(score, abs=1e-3)
            np.testing.assert_allclose(list(box.more["box"].values()), np.ravel(corners), atol=0.05)
            total += 1
    assert total > 10
