from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import assert_same_boxes, run
from yolocli.images.letterbox import Canvas, Frame, letterbox, to_image
from yolocli.results import Detection
from yolocli.runtimes.base import frame_for
from yolocli.runtimes.torch.library import import_ultralytics

_sides = st.one_of(st.integers(1, 40), st.integers(1, 900), st.sampled_from([1, 31, 32, 33, 480, 639, 640, 641, 1080]))


@pytest.fixture(scope="module", autouse=True)
def _ultralytics() -> None:
    import_ultralytics()


def _picture(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(height * 10_000 + width).integers(0, 256, (height, width, channels), np.uint8)


@settings(max_examples=150, deadline=None)
@given(
    height=_sides,
    width=_sides,
    frame=st.tuples(st.integers(1, 20), st.integers(1, 20), st.sampled_from([8, 32, 64])),
    rectangular=st.booleans(),
)
def test_canvas_equals_ultralytics(height: int, width: int, frame: tuple[int, int, int], rectangular: bool) -> None:
    from ultralytics.data.augment import LetterBox

    rows, columns, stride = frame
    image = _picture(height, width)
    expected = LetterBox((rows * stride, columns * stride), auto=rectangular, stride=stride)(image=image)
    canvas = letterbox(image, Frame(rows * stride, columns * stride, stride, rectangular))
    assert (canvas.width, canvas.height) == (width, height)
    np.testing.assert_array_equal(canvas.pixels, expected)


def test_grey_images_keep_their_one_channel() -> None:
    from ultralytics.data.augment import LetterBox

    for height, width in ((64, 64), (100, 37), (640, 640)):
        image = _picture(height, width, 1)
        canvas = letterbox(image, Frame(640, 640, 32, True))
        expected = LetterBox((640, 640), auto=True, stride=32)(image=image)
        np.testing.assert_array_equal(canvas.pixels, expected.reshape(*expected.shape[:2], 1))


@settings(max_examples=150, deadline=None)
@given(height=_sides, width=_sides, rectangular=st.booleans(), seed=st.integers(0, 2**32 - 1))
def test_boxes_go_back_as_with_ultralytics(height: int, width: int, rectangular: bool, seed: int) -> None:
    import torch
    from ultralytics.utils.ops import scale_boxes

    canvas = letterbox(np.zeros((height, width, 3), np.uint8), Frame(640, 640, 32, rectangular))
    boxes = np.random.default_rng(seed).uniform(-50, 700, (20, 4)).astype(np.float32)
    expected = scale_boxes(canvas.shape[:2], torch.from_numpy(boxes.copy()), (height, width, 3)).numpy()
    found = to_image(boxes, canvas)
    # float32 of numbers this large carries 7 digits, and the two divide in another order
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-4)
    assert not np.signbit(found).any()


def test_a_box_that_is_the_whole_image_stays_it() -> None:
    for height, width in ((1080, 1920), (37, 640), (1, 1), (333, 500)):
        canvas = letterbox(np.zeros((height, width, 3), np.uint8), Frame(640, 640, 32, True))
        whole = np.array([[-99, -99, 9999, 9999]], np.float32)
        assert to_image(whole, canvas).tolist() == [[0, 0, width, height]]


def test_no_boxes_stay_none() -> None:
    assert to_image(np.zeros((0, 4), np.float32), Canvas(np.zeros((32, 32, 3), np.uint8), 5, 5)).shape == (0, 4)


@pytest.mark.parametrize(
    ("imgsz", "expected"), [((640, 640), (640, 640)), ((1, 33), (32, 64)), ((100, 640), (128, 640))]
)
def test_a_frame_is_a_multiple_of_the_stride(imgsz: tuple[int, int], expected: tuple[int, int]) -> None:
    frame = frame_for(imgsz, 32, True)
    assert (frame.height, frame.width) == expected


@pytest.mark.slow
def test_a_mixed_batch_is_padded_to_squares_by_ultralytics_and_not_here(
    weights: Path, photos: list[Path], reference: dict[Path, tuple[Detection, ...]]
) -> None:
    """The square padding trap: with Ultralytics an image's boxes depend on the images it shares a batch with."""
    from ultralytics import YOLO

    mixed = [photos[0], photos[-1], photos[1], photos[-2]]
    answers = YOLO(str(weights)).predict([str(path) for path in mixed], batch=4, verbose=False)
    changed = [
        path
        for path, answer in zip(mixed, answers, strict=True)
        if sorted(round(score, 3) for score in answer.boxes.conf.tolist())
        != sorted(round(box.confidence, 3) for box in reference[path])
    ]
    assert changed, "Ultralytics no longer pads a mixed batch to squares: the trap is gone"

    outcomes, _ = run(*mixed, model=str(weights), batch=4, workers=1, ordered=True)
    for path, outcome in zip(mixed, outcomes, strict=True):
        assert_same_boxes(outcome.detections, reference[path], where=str(path))
