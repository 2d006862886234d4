from __future__ import annotations

import itertools
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import assert_same_boxes, run
from yolocli.results import Detection
from yolocli.runtimes.torch.library import import_ultralytics
from yolocli.tasks.boxes import MAX_CANDIDATES, iou, suppress


@pytest.fixture(scope="module", autouse=True)
def _ultralytics() -> None:
    import_ultralytics()


def test_iou() -> None:
    assert iou((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert iou((0, 0, 2, 2), (2, 2, 3, 3)) == 0
    assert iou((1, 1, 1, 1), (1, 1, 1, 1)) == 0


def _candidates(seed: int, count: int, classes: int, grid: float, levels: int) -> np.ndarray:
    """Boxes on a coarse grid, so that equal boxes, touching boxes and equal scores are common; some have no area."""
    random = np.random.default_rng(seed)
    corners = np.round(random.uniform(0, 300, (count, 2)) / grid) * grid
    sizes = np.round(random.exponential(60, (count, 2)) / grid) * grid
    scores = random.integers(1, levels, count) / levels
    ids = random.integers(0, classes, count)
    return np.column_stack([corners, corners + sizes, scores, ids]).astype(np.float32)


def _by_torchvision(candidates: np.ndarray, iou: float, limit: int) -> np.ndarray:
    import torch
    from torchvision.ops import nms

    rows = torch.from_numpy(candidates)
    shifted = rows[:, :4] + rows[:, 5:6] * 7680
    return rows[nms(shifted, rows[:, 4], iou)[:limit]].numpy()


def _by_ultralytics(candidates: np.ndarray, classes: int, iou: float, limit: int) -> np.ndarray:
    """Through Ultralytics' own function, which takes the network's output."""
    import torch
    from ultralytics.utils.nms import non_max_suppression

    output = torch.zeros(1, 4 + classes, len(candidates))
    x1, y1, x2, y2, scores, ids = torch.from_numpy(candidates).T
    output[0, :4] = torch.stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1])
    output[0, 4 + ids.long(), torch.arange(len(candidates))] = scores
    return non_max_suppression(output, 0.0, iou, max_det=limit)[0].numpy()


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(0, 120),
    classes=st.sampled_from([1, 3, 80]),
    grid=st.sampled_from([0.125, 8.0, 50.0]),
    levels=st.sampled_from([4, 1000]),
    iou=st.sampled_from([0.0, 0.3, 0.5, 0.7, 1.0]),
    limit=st.sampled_from([1, 5, 300]),
)
def test_keeps_what_torchvision_keeps(
    seed: int, count: int, classes: int, grid: float, levels: int, iou: float, limit: int
) -> None:
    """With four levels most scores are equal, and are taken in the order of the network."""
    candidates = _candidates(seed, count, classes, grid, levels)
    np.testing.assert_array_equal(suppress(candidates, iou, limit), _by_torchvision(candidates, iou, limit))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), iou=st.sampled_from([0.0, 0.45, 0.7]), limit=st.sampled_from([3, 300]))
def test_keeps_what_ultralytics_keeps(seed: int, iou: float, limit: int) -> None:
    candidates = _candidates(seed, 90, 5, 4.0, 1000)
    expected = _by_ultralytics(candidates, 5, iou, limit)
    np.testing.assert_array_equal(suppress(candidates, iou, limit), expected)


def test_boxes_without_area_suppress_nothing() -> None:
    points = np.array([[5, 5, 5, 5, 0.9, 0], [5, 5, 5, 5, 0.8, 0], [0, 0, 10, 10, 0.7, 0], [3, 0, 3, 9, 0.6, 0]])
    points = points.astype(np.float32)
    np.testing.assert_array_equal(suppress(points, 0.5, 300), points)
    np.testing.assert_array_equal(suppress(points, 0.5, 300), _by_torchvision(points, 0.5, 300))


def test_more_candidates_than_are_looked_at() -> None:
    candidates = _candidates(7, MAX_CANDIDATES + 500, 80, 0.125, 1 << 24)
    best = candidates[np.argsort(-candidates[:, 4], kind="stable")[:MAX_CANDIDATES]]
    np.testing.assert_array_equal(suppress(candidates, 0.7, 300), _by_torchvision(best, 0.7, 300))
    # one box over and over suppresses itself; the worst box of all lies alone, and still must not be seen
    candidates[:] = (0, 0, 10, 10, 0.5, 0)
    candidates[-1] = (5000, 5000, 5010, 5010, 0.4, 0)
    assert len(suppress(candidates, 0.7, 300)) == 1
    assert len(suppress(candidates[-MAX_CANDIDATES:], 0.7, 300)) == 2


def test_the_clock_empties_ultralytics_images_and_none_here(
    weights: Path, photos: list[Path], reference: dict[Path, tuple[Detection, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The NMS clock trap: on a loaded machine Ultralytics' detections become nothing, without an error."""
    from ultralytics import YOLO
    from ultralytics.utils import LOGGER

    shown = [path for path in reversed(photos) if reference[path]][:3]
    model = YOLO(str(weights))
    monkeypatch.setattr(LOGGER, "warning", lambda *arguments: None)
    ticks = itertools.count(int(time.time()), 100)
    monkeypatch.setattr(time, "time", lambda: float(next(ticks)))

    answers = model.predict([str(path) for path in shown], batch=len(shown), verbose=False)
    assert [len(answer.boxes) > 0 for answer in answers] == [True] + [False] * (len(shown) - 1), "the trap is gone"

    outcomes, _ = run(*shown, model=str(weights), batch=len(shown), workers=1, ordered=True)
    for path, outcome in zip(shown, outcomes, strict=True):
        assert_same_boxes(outcome.detections, reference[path], where=str(path))
