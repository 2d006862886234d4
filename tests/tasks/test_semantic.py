"""semantic: the class of each pixel, as Ultralytics' predict says it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support import REPOSITORY
from tests.tasks.predicted import found_by
from tests.tasks.whole import SIZES, files, loaded, odd, pixels, predicted, weights
from yolocli.images.labels import labels, labels_of_ids
from yolocli.images.letterbox import Canvas, Frame, letterbox
from yolocli.tasks.base import ModelFacts, Raw, Wanted
from yolocli.tasks.candidates import no_rows
from yolocli.tasks.semantic import Semantic

MODEL = weights("semantic")


def canvas_of(height: int, width: int, rectangular: bool = True, side: int = 192) -> Canvas:
    return letterbox(np.zeros((height, width, 3), np.uint8), Frame(side, side, 32, rectangular))


def expected_labels(scores: NDArray[Any], canvas: Canvas) -> NDArray[Any]:
    """What torch makes of scores, or of class ids, in the two steps of Ultralytics' predict."""
    import torch
    from torch.nn.functional import interpolate
    from ultralytics.utils.ops import scale_masks

    ids = scores.ndim == 2
    mode: Any = {"mode": "nearest"} if ids else {"mode": "bilinear", "align_corners": False}
    whole = torch.from_numpy(scores.astype(np.float32))[(None,) * (4 - scores.ndim)]
    shape = (canvas.height, canvas.width)
    image = scale_masks(interpolate(whole, canvas.shape[:2], **mode), shape, mode=mode["mode"])[0]
    if ids:
        return image[0].numpy()
    return (image.argmax(0) if len(image) > 1 else image[0] > 0).numpy()


@pytest.mark.parametrize("classes", [1, 2, 19])
@pytest.mark.parametrize("rectangular", [True, False])
def test_labels_are_those_of_torch(classes: int, rectangular: bool) -> None:
    random = np.random.default_rng(classes)
    for height, width in (*SIZES, (700, 300), (90, 1000)):
        canvas = canvas_of(height, width, rectangular)
        for stride in (8, 1):
            shape = canvas.shape[0] // stride, canvas.shape[1] // stride
            scores = random.normal(0, 3, (classes, *shape)).astype(np.float32)
            wrong = (labels(scores, canvas) != expected_labels(scores, canvas)).sum()
            assert wrong <= 2 + height * width / 10_000, (height, width, stride)
            ids = random.integers(0, classes, shape)
            np.testing.assert_array_equal(labels_of_ids(ids, canvas), expected_labels(ids, canvas))


def test_a_class_that_is_nowhere_the_best_of_the_map_can_be_between() -> None:
    scores = np.stack([np.tile([10, 0], 12), np.tile([0, 10], 12), np.full(24, 9)]).astype(np.float32)
    canvas = canvas_of(192, 192)
    scores = np.ascontiguousarray(np.broadcast_to(scores[:, None], (3, 24, 24)))
    found = labels(scores, canvas)
    assert {0, 1, 2} == set(np.unique(found).tolist())
    np.testing.assert_array_equal(found, expected_labels(scores, canvas))


def read(scores: NDArray[Any], names: dict[int, str] | None = None, **wanted: Any) -> Any:
    facts = ModelFacts(names or {index: f"class {index}" for index in range(len(scores))})
    return Semantic().read(Raw(no_rows(), scores), canvas_of(192, 192), facts, Wanted(maps=True, **wanted))


def halves(classes: int, left: int, right: int) -> NDArray[Any]:
    """Scores with one class best on the left, and another on the right."""
    scores = np.zeros((classes, 24, 24), np.float32)
    scores[left, :, :12] = scores[right, :, 12:] = 1
    return scores


def test_a_record_for_each_class_that_is_there_and_wanted() -> None:
    found = read(halves(5, 3, 1))
    assert [record.to_dict() for record in found.detections] == [
        {"name": "class 1", "class": 1, "pixel_ratio": 0.5},
        {"name": "class 3", "class": 3, "pixel_ratio": 0.5},
    ]
    some = read(halves(5, 3, 1), classes=frozenset((3, 4)))
    assert [record.class_id for record in some.detections] == [3]
    assert np.unique(pixels(some)).tolist() == [3, some.more["map"]["ignored"]] == [3, 255]


def test_the_only_class_of_a_model_is_where_its_score_is_more_than_0() -> None:
    scores = halves(2, 0, 1)[1:] - 0.5
    found = read(scores)
    assert [record.to_dict() for record in found.detections] == [
        {"name": "class 0", "class": 0, "pixel_ratio": pytest.approx(0.5, abs=0.01)}
    ]
    assert np.unique(pixels(found)).tolist() == [0, 1]
    assert read(-np.ones_like(scores)).detections == ()


def test_more_classes_than_a_byte_holds_make_a_map_of_16_bits() -> None:
    found = read(halves(300, 299, 254), classes=frozenset((299,)))
    assert pixels(found).dtype == np.uint16
    assert np.unique(pixels(found)).tolist() == [299, found.more["map"]["ignored"]] == [299, 65535]
    assert pixels(read(halves(255, 254, 3))).dtype == np.uint8
    assert pixels(read(halves(256, 254, 3))).dtype == np.uint16  # 255 is a class there


def test_ids_of_an_exported_model_are_taken_as_they_are() -> None:
    ids = np.zeros((192, 192), np.uint8)
    ids[:, 96:] = 2
    found = read(ids, names={0: "a", 1: "b", 2: "c"})
    assert [(record.name, record.more["pixel_ratio"]) for record in found.detections] == [("a", 0.5), ("c", 0.5)]
    np.testing.assert_array_equal(pixels(found), ids)


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["torch", "openvino"])
def test_records_and_maps_are_those_of_predict(runtime: str, openvino: None, tmp_path: Path) -> None:
    ours = loaded(MODEL, runtime)
    for path in (*files(), *odd(tmp_path)):
        expected = predicted(MODEL, path)
        findings = found_by(ours, path)
        seen, wanted = pixels(findings), expected.semantic_mask.data.numpy().squeeze().reshape(expected.orig_shape)
        assert (seen != wanted).sum() <= max(seen.size / 1000, 1), path
        summary = {record["class"]: record for record in expected.summary()}
        assert [record.class_id for record in findings.detections] == list(summary), path
        for record in findings.detections:
            assert record.name == summary[record.class_id]["name"]
            assert record.more["pixel_ratio"] == pytest.approx(summary[record.class_id]["pixel_ratio"], abs=1e-3)


@pytest.mark.slow
def test_classes_are_kept_as_predict_keeps_them() -> None:
    ours = loaded(MODEL, "torch", classes=("qr_code", "3"))
    kept = 0
    for path in files()[:6]:
        expected = predicted(MODEL, path, classes=[0, 3]).semantic_mask.data.numpy().squeeze()
        seen = pixels(found_by(ours, path))
        assert (seen != expected).mean() <= 1e-3, path
        kept += (seen != 255).sum()
    predicted(MODEL, files()[0], classes=None)  # or it would be kept for the next test
    assert kept


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_many_classes_of_a_large_picture_take_little_memory() -> None:
    code = """
import numpy as np, re, pathlib
from yolocli.images.letterbox import Frame, letterbox
from yolocli.tasks.base import ModelFacts, Raw, Wanted
from yolocli.tasks.candidates import no_rows
from yolocli.tasks.semantic import Semantic
facts, wanted = ModelFacts({index: str(index) for index in range(150)}), Wanted(frozenset((3, 4)), maps=True)
def peak(): return int(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]) << 10
canvas = letterbox(np.zeros((4320, 7680, 3), np.uint8), Frame(640, 640, 32, True))
coarse = np.random.default_rng(0).normal(0, 3, (150, 9, 16)).astype(np.float32)
scores = coarse.repeat(5, 1).repeat(5, 2)[:, :canvas.shape[0] // 8, :canvas.shape[1] // 8]
def read(canvas): return Semantic().read(Raw(no_rows(), scores), canvas, facts, wanted)
read(letterbox(np.zeros((64, 64, 3), np.uint8), Frame(640, 640, 32, True)))
before = peak()
read(canvas)
print(peak() - before - canvas.width * canvas.height)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, check=True)
    assert int(done.stdout) < 100 << 20
