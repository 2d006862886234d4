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
from yolocli.tasks import boxes, rotated
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


def overlaps_of(rows: np.ndarray) -> np.ndarray:
    """Of all pairs."""
    places = centred(rows[:, BOX])
    places[:, :2] += rows[:, CLASS, None] * np.float32(rotated.CLASS_OFFSET)
    shapes = np.concatenate([places[:, :2], rotated._covariances(places[:, 2:], rows[:, OWN])], 1)
    with np.errstate(invalid="ignore"):
        return rotated._probiou(shapes, shapes)


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
    overlaps = overlaps_of(rows)
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


def crowded(count: int, things: int) -> np.ndarray:
    """Many candidates around each of a few things."""
    random = np.random.default_rng(2)
    rows = candidates(2, things, 3, 60.0)[random.integers(0, things, count)]
    rows[:, BOX] += random.normal(0, 0.5, (count, 4))
    rows[:, OWN] += random.normal(0, 0.01, (count, 1))
    rows[:, CONFIDENCE] = random.permutation(count) / count
    return rows


def test_what_is_compared_in_parts_is_as_if_all_were_compared() -> None:
    rows = np.concatenate([crowded(1500, 30), candidates(3, 300, 3, 20.0)])
    rows[-300:, CONFIDENCE] -= np.float32(1e-4)  # no two scores are equal
    rows = rows[np.argsort(-rows[:, CONFIDENCE])]
    overlaps = overlaps_of(rows)
    for iou in (0.05, 0.5, 0.9):
        goes = np.triu(overlaps > np.float32(iou), 1).any(0)
        assert 5 < (~goes).sum() < len(rows) - 5
        for limit in (1, 70, 3000):
            np.testing.assert_array_equal(rotated.suppress(rows, iou, limit), rows[~goes][:limit])


def test_few_of_all_pairs_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs, probiou = 0, rotated._probiou

    def counted(some: np.ndarray, others: np.ndarray) -> np.ndarray:
        nonlocal pairs
        pairs += len(some) * len(others)
        return probiou(some, others)

    monkeypatch.setattr(rotated, "_probiou", counted)
    rotated.suppress(crowded(rotated.MAX_CANDIDATES, 30), 0.7, 300)
    assert pairs < rotated.MAX_CANDIDATES**2 / 100


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


numbers = st.floats(-500, 500).map(lambda number: round(number, 2))
upright = st.tuples(numbers, numbers, st.floats(0.1, 400), st.floats(0.1, 400))


def turned_by(box: tuple[float, float, float, float], angle: float, step: int) -> list[float]:
    """Returns the corners of an upright box, turned around the origin; step -1 counts them the other way round."""
    x, y, width, height = box
    corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)][::step]
    cos, sin = math.cos(angle), math.sin(angle)
    return [number for x, y in corners for number in (x * cos - y * sin, x * sin + y * cos)]


@settings(max_examples=200, deadline=None)
@example(one=(0, 0, 10, 5), other=(10, 0, 10, 5), angle=0.7, step=1)  # with an edge in common
@example(one=(0, 0, 10, 5), other=(0, 0, 20, 5), angle=0.7, step=1)  # with three
@example(one=(0, 0, 9, 9), other=(3, 3, 3, 3), angle=0.0, step=-1)  # one in the other
@given(one=upright, other=upright, angle=st.floats(0, 7), step=st.sampled_from([1, -1]))
def test_boxes_turned_together_overlap_as_before(
    one: tuple[float, float, float, float], other: tuple[float, float, float, float], angle: float, step: int
) -> None:
    (x1, y1, w1, h1), (x2, y2, w2, h2) = one, other
    expected = boxes.iou((x1, y1, x1 + w1, y1 + h1), (x2, y2, x2 + w2, y2 + h2))
    first, second = turned_by(one, angle, 1), turned_by(other, angle, step)
    assert rotated.iou(first, second) == pytest.approx(expected, abs=1e-6)
    assert rotated.iou(first, second) == rotated.iou(second, first)
    assert rotated.iou(first, first) == 1


def test_boxes_without_area_overlap_nothing_but_themselves() -> None:
    point, line, square = [1.0] * 8, [0.0, 0, 0, 0, 2, 0, 2, 0], [0.0, 0, 0, 2, 2, 2, 2, 0]
    assert rotated.iou(point, point) == rotated.iou(line, line) == 1
    assert rotated.iou(point, line) == rotated.iou(point, square) == rotated.iou(line, square) == 0


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
@pytest.mark.parametrize(("imgsz", "confidence"), [(192, 0.1), (320, 0.01), ((320, 224), 0.05)])
def test_boxes_are_those_of_predict(
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
        assert len(found) == len(answer.obb), picture
        rows = zip(answer.obb.cls.tolist(), answer.obb.conf.tolist(), answer.obb.xyxyxyxy.tolist(), strict=True)
        for box, (category, score, corners) in zip(found, rows, strict=True):
            assert box.class_id == category
            assert box.confidence == pytest.approx(score, abs=1e-3)
            np.testing.assert_allclose(list(box.more["box"].values()), np.ravel(corners), atol=0.05)
            total += 1
    assert total > 10
