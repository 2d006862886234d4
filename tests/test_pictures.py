"""What is known of a decoded image, and what becomes of one that gives several canvases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.fakes import POISONED, FakeDetector
from tests.support import write_image
from yolocli.executors.chunk import detect_images
from yolocli.images.decode import decode
from yolocli.images.letterbox import Canvas, Frame, letterbox, to_image
from yolocli.images.picture import Picture
from yolocli.results import Detection, Findings, ImageFailure, ImageRef, ImageResult

STORED = (24, 40)


@pytest.mark.parametrize("orientation", [None, *range(1, 9)])
@pytest.mark.parametrize(("suffix", "name"), [("jpg", "JPEG"), ("png", "PNG"), ("webp", "WEBP"), ("tif", "TIFF")])
def test_a_picture_says_how_it_lay_in_its_file(tmp_path: Path, suffix: str, name: str, orientation: int | None) -> None:
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(np.zeros((*STORED[::-1], 3), np.uint8)).save(path, exif=exif)
    picture = decode(path.read_bytes(), f".{suffix}", max_pixels=10**6)
    assert (picture.format, picture.stored, picture.orientation) == (name, STORED, orientation or 1)
    assert (picture.height, picture.width) == picture.pixels.shape[:2]
    if suffix == "jpg":
        turned = picture.orientation > 4
        assert (picture.width, picture.height) == (STORED[::-1] if turned else STORED)


@pytest.mark.parametrize("exif", [b"", b"Exif\0\0", b"Exif\0\0II*\0", b"II*\0\xff\xff\xff\xff", b"nonsense" * 9])
def test_exif_that_says_nothing_or_is_broken_is_upright(exif: bytes) -> None:
    from yolocli.images.tiff import orientation

    assert orientation(exif) == 1


def test_an_image_of_which_the_header_is_not_known_has_pixels_all_the_same() -> None:
    pfm = cv2.imencode(".pam", np.full((4, 6, 3), 7, np.uint8))[1].tobytes()
    picture = decode(pfm, ".pam", max_pixels=10**6)
    assert (picture.format, picture.stored, picture.width, picture.height) == (None, None, 6, 4)


# Several canvases


def test_boxes_on_a_canvas_of_a_part_go_back_into_the_whole_image() -> None:
    """A part of 100 x 80 at (300, 200), twice as large on its canvas, with 16 pixels of padding above."""
    canvas = Canvas(np.zeros((192, 200, 3), np.uint8), 1000, 900, 2.0, 2.0, left=-600, top=-400 + 16)
    boxes = np.array([[0, 16, 200, 176], [100, 26, 120, 36], [-5000, 0, 5000, 5000]], np.float32)
    assert to_image(boxes, canvas).tolist() == [[300, 200, 400, 280], [350, 205, 360, 210], [0, 192, 1000, 900]]


class Halves(FakeDetector):
    """Sees the left and the right half of an image on canvases of their own, and finds a thing in each."""

    def prepare(self, picture: Picture) -> tuple[Canvas, ...]:
        middle = picture.width // 2
        halves = (picture.pixels[:, :middle], picture.pixels[:, middle:])
        return tuple(
            Canvas(half, picture.width, picture.height, left=left)
            for half, left in zip(halves, (0, -middle), strict=True)
            if half.size
        )

    def infer(self, batch: Sequence[Canvas]) -> list[NDArray[np.float32]]:
        super().infer(batch)
        return [np.array([[0, 0, c.shape[1], c.shape[0], 0.5, 0]], np.float32) for c in batch]

    def finish(self, found: Sequence[NDArray[np.float32]], canvases: Sequence[Canvas]) -> Findings:
        mapped = [to_image(rows[:, :4], canvas)[0].tolist() for rows, canvas in zip(found, canvases, strict=True)]
        return Findings(tuple(Detection("half", 0, 0.5, (x1, y1, x2, y2)) for x1, y1, x2, y2 in mapped))


@pytest.mark.parametrize("batch", [1, 2, 3, 8])
def test_an_image_may_give_several_canvases_which_share_batches_with_others(tmp_path: Path, batch: int) -> None:
    sizes = {"a.png": (20, 12), "b.png": (20, 12), "c.png": (33, 9), "d.png": (1, 1)}
    for name, size in sizes.items():
        write_image(tmp_path / name, *size)
    write_image(tmp_path / "bad.png", 20, 12, value=POISONED)
    refs = [ImageRef(name, str(tmp_path / name)) for name in (*sizes, "bad.png")]
    detector = Halves()
    outcomes = detect_images(detector, refs, batch=batch, max_pixels=10**6)
    assert [outcome.path for outcome in outcomes] == [ref.path for ref in refs]
    for outcome, (width, height) in zip(outcomes, sizes.values(), strict=False):
        assert isinstance(outcome, ImageResult)
        assert (outcome.width, outcome.height) == (width, height)
        middle = width // 2
        expected = [(0, 0, middle, height), (middle, 0, width, height)]
        assert [box.xyxy for box in outcome.detections] == [box for box in expected if box[0] < box[2]]
        assert outcome.timings["infer"] > 0
    failure = outcomes[-1]
    assert isinstance(failure, ImageFailure)
    assert (failure.stage, failure.message) == ("infer", "poisoned")
    assert max(detector.batches) <= batch
    if batch > 2:
        assert max(detector.batches) > 2, "canvases of several images never shared a batch"


def test_letterboxing_says_what_it_did() -> None:
    canvas = letterbox(np.zeros((100, 200, 3), np.uint8), Frame(640, 640, 32, False))
    assert (canvas.gain_x, canvas.gain_y, canvas.left, canvas.top) == (3.2, 3.2, 0, 160)
