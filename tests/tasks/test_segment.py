"""Masks are those of Ultralytics' predict, in every form, and take no memory to speak of."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import COCO, COCO_IMAGES, SAMPLES
from tests.support import detector
from tests.tasks.material import MODELS
from tests.tasks.predicted import PICTURES, found_by, weights_of
from yolocli.detector import Detector
from yolocli.images import rle
from yolocli.images.letterbox import Canvas, Frame, letterbox
from yolocli.images.masks import Mask, edges_on_image, mask_in_box, outlines
from yolocli.images.picture import Picture
from yolocli.results import Detection
from yolocli.runtimes import RUNTIMES
from yolocli.runtimes.torch.library import import_ultralytics
from yolocli.tasks.base import ModelFacts, Raw, Wanted
from yolocli.tasks.segment import Segment

cv2 = pytest.importorskip("cv2")

WEIGHTS = {model.name: model.weights for model in MODELS if model.task == "segment"}
FACTS = ModelFacts({0: "cat"})
SHAPES = [(480, 640), (97, 131), (50, 31), (640, 211), (1, 90), (300, 300)]
"""Rows and columns of pictures: larger and smaller than the canvas, upright, odd."""


def read(picture: np.ndarray, loaded: Detector) -> tuple[Canvas, tuple[Detection, ...]]:
    canvases = loaded.prepare(Picture(picture))
    return canvases[0], loaded.finish(loaded.infer(canvases), canvases).detections


def rings(record: Detection) -> list[np.ndarray]:
    segments = record.more["segments"]
    points = np.array([segments["x"], segments["y"]]).T
    lengths = segments.get("rings", [len(points)])
    assert sum(lengths) == len(points)
    return np.split(points, np.cumsum(lengths)[:-1])


def filled(record: Detection, canvas: Canvas) -> np.ndarray:
    """What the polygon of a record fills by the even-odd rule on the canvas, (height, width)."""
    gains, start = np.array([canvas.gain_x, canvas.gain_y]), np.array([canvas.left, canvas.top])
    bitmap = np.zeros(canvas.shape[:2], np.uint8)
    cv2.fillPoly(bitmap, [(ring * gains + start).round().astype(np.int32) for ring in rings(record)], 1)
    return bitmap


def decoded(counts: str, height: int, width: int) -> np.ndarray:
    """COCO's compressed run lengths, read the plain way."""
    lengths: list[int] = []
    at = 0
    while at < len(counts):
        value, shift, more = 0, 0, True
        while more:
            digit = ord(counts[at]) - 48
            value |= (digit & 31) << shift
            shift, at, more = shift + 5, at + 1, bool(digit & 32)
        value -= (1 << shift) if digit & 16 else 0
        lengths.append(value + lengths[-2] if len(lengths) > 2 else value)
    assert min(lengths[1:], default=1) > 0, "a run of no pixels"
    return np.repeat(np.arange(len(lengths)) % 2, lengths).reshape(width, height).T.astype(np.uint8)


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / max((one | other).sum(), 1))


def random_mask(seed: int) -> Mask:
    """Parts, holes, islands in holes and lines of one pixel, anywhere on a canvas."""
    random = np.random.default_rng(seed)
    height, width, left, top = random.integers(1, 40, 4)
    smooth = int(random.integers(1, 6))
    pixels = cv2.blur(random.random((height, width)), (smooth, smooth)) > random.uniform(0.2, 0.7)
    pixels[height // 2, width // 2] = True
    return Mask(pixels.astype(np.uint8), int(left), int(top))


def placed(mask: Mask, height: int, width: int) -> np.ndarray:
    """A mask on its canvas."""
    whole = np.zeros((height, width), np.uint8)
    whole[mask.top : mask.top + mask.pixels.shape[0], mask.left : mask.left + mask.pixels.shape[1]] = mask.pixels
    return whole


# ---- the same as predict ----


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The samples, and cuts of one in odd shapes; photographs where there are some."""
    samples = [path for path in sorted(SAMPLES.rglob("*.jpg")) if path.parent.name != "broken"]
    folder = tmp_path_factory.mktemp("cuts")
    shop = cv2.imread(str(SAMPLES / "shop/price_tags.jpg"))
    assert shop is not None
    for height, width in SHAPES:
        cv2.imwrite(str(folder / f"{height}x{width}.png"), shop[-height:, -width:])
    return [*samples, *sorted(folder.iterdir()), *(sorted(COCO_IMAGES.rglob("*.jpg")) if COCO else [])]


@pytest.fixture(scope="module", params=WEIGHTS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def predict(name: str) -> Callable[..., Any]:
    import_ultralytics()
    from ultralytics import YOLO

    model = YOLO(str(WEIGHTS[name]))
    return lambda path, **options: model.predict(str(path), batch=1, verbose=False, **options)[0]


@pytest.fixture
def masks(monkeypatch: pytest.MonkeyPatch) -> list[Mask]:
    """The bitmaps that records are made of, in their order."""
    seen: list[Mask] = []

    def spy(*arguments: Any) -> Mask | None:
        mask = mask_in_box(*arguments)
        seen.extend([] if mask is None else [mask])
        return mask

    monkeypatch.setattr("yolocli.tasks.segment.mask_in_box", spy)
    return seen


@pytest.mark.slow
@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("options", [{}, {"imgsz": 320}, {"imgsz": 640, "conf": 0.05}, {"imgsz": (224, 416)}], ids=str)
def test_instances_are_those_of_predict(
    request: pytest.FixtureRequest,
    name: str,
    predict: Callable[..., Any],
    pictures: list[Path],
    masks: list[Mask],
    runtime: str,
    options: dict[str, Any],
) -> None:
    if runtime == "openvino":
        request.getfixturevalue("openvino")
    size = options.get("imgsz")
    asked = {"imgsz": (size, size) if isinstance(size, int) else size, "confidence": options.get("conf", 0.25)}
    loaded = detector(WEIGHTS[name], runtime=runtime, **asked)
    of_one_part, same_points = 0, 0
    for path in pictures:
        masks.clear()
        canvas, records = read(cv2.imread(str(path)), loaded)
        answer = predict(path, **options)
        assert len(records) == len(masks) == len(answer), path
        left = dict(enumerate(records))
        for index, box in enumerate(answer.boxes):
            one = min(left, key=lambda key: np.abs(np.subtract(left[key].xyxy, box.xyxy[0].tolist())).max())
            record, bitmap = left.pop(one), placed(masks[one], *canvas.shape[:2])
            assert np.abs(np.subtract(record.xyxy, box.xyxy[0].tolist())).max() <= 0.05, path
            assert (record.class_id, record.confidence) == (int(box.cls), pytest.approx(float(box.conf), abs=1e-3)), (
                path
            )
            assert iou(bitmap, answer.masks.data[index].numpy()) >= 0.99, (path, record)
            if len(found := rings(record)) == 1:
                of_one_part += 1
                expected = answer.masks.xy[index]
                same_points += expected.shape == found[0].shape and np.abs(expected - found[0]).max() < 0.006
    assert of_one_part >= 5
    assert same_points >= 0.98 * of_one_part


@pytest.mark.slow
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_batch_changes_no_byte(request: pytest.FixtureRequest, name: str, pictures: list[Path], runtime: str) -> None:
    if runtime == "openvino":
        request.getfixturevalue("openvino")
    loaded = detector(WEIGHTS[name], runtime=runtime, confidence=0.05, threads=1)
    canvases = [loaded.prepare(Picture(cv2.imread(str(path)))) for path in pictures]
    of_one_shape = [parts for parts in canvases if parts[0].shape == canvases[1][0].shape][:4]
    assert len(of_one_shape) == 4
    together = loaded.infer([parts[0] for parts in of_one_shape])
    for parts, raw in zip(of_one_shape, together, strict=True):
        assert loaded.finish([raw], parts) == loaded.finish(loaded.infer(parts), parts)


# ---- each step against the same thing done the plain way ----


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), ratio=st.sampled_from([1, 2, 4, 8, 1.5, 3.2]))
def test_a_mask_in_its_box_is_that_of_all_of_the_canvas(seed: int, ratio: float) -> None:
    import_ultralytics()
    import torch
    from ultralytics.utils.ops import process_mask

    random = np.random.default_rng(seed)
    rows, columns = (10 * random.integers(1, 5, 2)).tolist()
    height, width = int(rows * ratio), int(columns * ratio)
    maps, shares = random.standard_normal((5, rows, columns), np.float32), random.standard_normal((1, 5), np.float32)
    box = random.uniform(-0.3, 1.3, 4) * [width, height, width, height]
    box = (np.round(box) if seed % 2 else box).astype(np.float32)
    expected = process_mask(*map(torch.from_numpy, (maps, shares, box[None])), (height, width), upsample=True)
    found = mask_in_box(maps, shares[0], box.tolist(), width, height)
    whole = np.zeros((height, width), np.uint8) if found is None else placed(found, height, width)
    assert np.count_nonzero(whole != expected[0].numpy()) <= 1
    assert (found is None) == (not whole.any())


def test_what_is_no_number_is_in_no_mask() -> None:
    maps = np.ones((2, 8, 8), np.float32)
    maps[:, :, 4:] = np.inf
    mask = mask_in_box(maps, np.array([1.5, -1], np.float32), (0, 0, 32, 32), 32, 32)
    assert mask is not None
    assert placed(mask, 32, 32)[:, :12].all()
    assert not placed(mask, 32, 32)[:, 20:].any()
    assert mask_in_box(maps * np.nan, np.ones(2, np.float32), (0, 0, 32, 32), 32, 32) is None


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_rings_filled_by_the_even_odd_rule_give_the_mask(seed: int) -> None:
    """Holes of one pixel and parts of one pixel among them."""
    mask = random_mask(seed)
    bitmap = np.zeros((100, 100), np.uint8)
    cv2.fillPoly(bitmap, outlines(mask), 1)
    np.testing.assert_array_equal(bitmap, placed(mask, 100, 100))


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    width=st.sampled_from([7, 20, 64, 96, 97, 300, 641]),
    height=st.sampled_from([5, 31, 64, 90, 144, 211]),
)
def test_rle_is_the_mask_at_the_size_of_the_image(seed: int, width: int, height: int) -> None:
    canvas = letterbox(np.zeros((height, width, 3), np.uint8), Frame(96, 96, 32, rectangular=bool(seed % 2)))
    mask = random_mask(seed)
    inner_height, inner_width = round(canvas.gain_y * height), round(canvas.gain_x * width)
    of_canvas = placed(mask, 200, 200)[canvas.top : canvas.top + inner_height, canvas.left : canvas.left + inner_width]
    enlarged = cv2.resize(of_canvas.astype(np.float64), (width, height), interpolation=cv2.INTER_LINEAR)
    edges = edges_on_image(mask, canvas)
    counts = rle.encode(edges, width * height)
    found = decoded(counts, height, width)
    certain = np.abs(enlarged - 0.5) > 1e-4
    np.testing.assert_array_equal(found[certain], enlarged[certain] > 0.5)
    np.testing.assert_array_equal(rle.decode(counts), edges)


def test_a_pixel_that_is_half_in_a_mask_is_in_it() -> None:
    canvas = Canvas(np.zeros((2, 4, 3), np.uint8), 6, 3, 4 / 6, 2 / 3)  # pixels 1 and 4 lie between two of the canvas
    mask = Mask(np.array([[1, 0], [1, 0]], np.uint8), 0, 0)
    counts = rle.encode(edges_on_image(mask, canvas), 18)
    assert decoded(counts, 3, 6).tolist() == [[1, 1, 0, 0, 0, 0]] * 3


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_counts_are_those_of_coco(seed: int) -> None:
    coco = pytest.importorskip("pycocotools.mask")
    mask = random_mask(seed)
    canvas = Canvas(np.zeros((90, 80, 3), np.uint8), 80, 90)
    expected = coco.encode(np.asfortranarray(placed(mask, 90, 80)))
    assert rle.encode(edges_on_image(mask, canvas), 90 * 80) == expected["counts"].decode()


@pytest.mark.parametrize("runs", [[], [0, 12], [0, 1], [11, 12], [3, 4, 5, 12], [0, 1, 2, 3, 4, 5, 6, 12]])
def test_counts_at_the_ends_of_an_image(runs: list[int]) -> None:
    counts = rle.encode(np.array(runs, np.int64), 12)
    assert rle.decode(counts).tolist() == runs
    expected = np.zeros(12, np.uint8)
    for start, end in zip(runs[::2], runs[1::2], strict=True):
        expected[start:end] = 1
    np.testing.assert_array_equal(decoded(counts, 3, 4).T.ravel(), expected)


# ---- records ----


def two_masks(*, masks: str = "polygon", maps: np.ndarray | None = None) -> tuple[Canvas, tuple[Detection, ...]]:
    """A ring with an island in it, and a box of which nothing is masked, before another."""
    canvas = letterbox(np.zeros((120, 240, 3), np.uint8), Frame(64, 64, 32, rectangular=False))
    if maps is None:
        maps = np.full((2, 16, 16), -1, np.float32)
        maps[0, 5:12, 2:9], maps[0, 6:11, 3:8], maps[0, 8, 5] = 1, -1, 1
        maps[1, 6, 12] = 1
    rows = np.array([[4, 16, 40, 60, 0.9, 0, 1, 0], [0, 0, 64, 4, 0.8, 0, 1, 0], [42, 20, 60, 44, 0.7, 0, 0, 1]])
    found = Segment().read(Raw(rows.astype(np.float32), maps), canvas, FACTS, Wanted(masks=masks))
    return canvas, found.detections


@pytest.mark.parametrize("form", ["polygon", "rle", "none"])
def test_a_box_without_a_mask_is_no_record(form: str) -> None:
    _, records = two_masks(masks=form)
    assert [record.confidence for record in records] == [0.9, 0.7]
    assert [set(record.more) for record in records] == 2 * [
        {"polygon": {"segments"}, "rle": {"rle"}, "none": set()}[form]
    ]
    assert two_masks(masks=form, maps=np.full((2, 16, 16), -1, np.float32))[1] == ()


def test_rings_are_told_apart_where_there_are_several() -> None:
    _, (several, single) = two_masks()
    assert len(rings(several)) == 3
    assert set(single.more["segments"]) == {"x", "y"}
    assert json.loads(json.dumps(several.to_dict())) == several.to_dict()


def test_polygons_and_rle_are_of_the_same_mask(masks: list[Mask]) -> None:
    canvas, polygons = two_masks()
    _, runs = two_masks(masks="rle")
    for polygon, run, mask in zip(polygons, runs, masks[:2], strict=True):
        np.testing.assert_array_equal(filled(polygon, canvas), placed(mask, *canvas.shape[:2]))
        assert run.more["rle"]["size"] == [canvas.height, canvas.width]
        at_size = decoded(run.more["rle"]["counts"], canvas.height, canvas.width)
        inner = placed(mask, *canvas.shape[:2])[canvas.top : canvas.top + 32]
        assert iou(at_size, cv2.resize(inner, (canvas.width, canvas.height), interpolation=cv2.INTER_NEAREST)) > 0.8


@pytest.mark.parametrize("form", ["polygon", "rle"])
def test_likeness_is_that_of_the_masks_and_not_of_the_boxes(form: str) -> None:
    """Two halves of a square, and a third that covers half of the first."""
    task, maps = Segment(), np.full((3, 40, 40), -1, np.float32)
    maps[0, :, :20], maps[1, :, 20:], maps[2, :, 10:30] = 1, 1, 1
    rows = np.concatenate(
        [np.tile(np.float32([0, 0, 160, 160, 0.5, 0]), (3, 1)), np.eye(3, dtype=np.float32) * 2 + 1], 1
    )
    rows[:, 6:] = np.eye(3)
    canvas = Canvas(np.zeros((160, 160, 3), np.uint8), 320, 320, 0.5, 0.5)
    left, right, middle = task.read(Raw(rows.astype(np.float32), maps), canvas, FACTS, Wanted(masks=form)).detections
    assert task.likeness(left, left) == 1
    assert task.likeness(left, right) < 0.02
    assert task.likeness(left, middle) == task.likeness(middle, left) == pytest.approx(1 / 3, abs=0.01)


def test_likeness_without_masks_is_that_of_the_boxes() -> None:
    one = Detection("cat", 0, 0.5, (0, 0, 10, 10))
    assert Segment().likeness(one, Detection("cat", 0, 0.5, (5, 0, 15, 10))) == pytest.approx(1 / 3)


def test_the_cell_of_a_mask() -> None:
    box = ("cat", 0, 0.5, 0.0, 0.0, 10.0, 10.0)
    assert cells({}) == (*box, "")
    assert cells({"rle": {"size": [4, 3], "counts": "05;2"}}) == (*box, "05;2")
    assert cells({"segments": {"x": [1.5, 2.0], "y": [3.0, 4.25]}}) == (*box, "1.5 3.0, 2.0 4.25")
    assert cells({"segments": {"x": [1, 2, 3], "y": [4, 5, 6], "rings": [2, 1]}}) == (*box, "1 4, 2 5; 3 6")


def cells(more: dict[str, Any]) -> tuple[str | float, ...]:
    return Segment().cells(Detection("cat", 0, 0.5, (0.0, 0.0, 10.0, 10.0), more))


# ---- memory ----

EIGHT_K = """
import json, sys
from tests.support import run
path, weights, runtime, imgsz, masks = sys.argv[1:]
(outcome,), _ = run(path, model=weights, runtime=runtime, masks=masks, imgsz=(int(imgsz),) * 2, confidence=0.001,
                    iou=1.0, max_detections=300, workers=1)
(peak,) = [int(line.split()[1]) // 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(json.dumps([len(outcome.detections), outcome.width, peak]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(("imgsz", "masks"), [(640, "polygon"), (640, "rle"), (1920, "rle")])
def test_hundreds_of_masks_on_8k_take_no_memory_to_speak_of(
    request: pytest.FixtureRequest, tmp_path: Path, runtime: str, imgsz: int, masks: str
) -> None:
    if imgsz == 640 and not request.config.getoption("--long"):
        pytest.skip("with --long: larger masks stand for it")
    if runtime == "openvino":
        request.getfixturevalue("openvino")
    tile = cv2.imread(str(SAMPLES / "shop/price_tags.jpg"))
    cv2.imwrite(str(tmp_path / "8k.jpg"), np.tile(tile, (10, 10, 1))[:4320, :7680])
    arguments = [str(tmp_path / "8k.jpg"), str(WEIGHTS["segment-yolo11"]), runtime, str(imgsz), masks]
    done = subprocess.run([sys.executable, "-c", EIGHT_K, *arguments], capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr.decode()
    found, width, peak = json.loads(done.stdout)
    assert width == 7680
    assert found > 250
    assert peak < 1500, f"{peak} MiB"


@pytest.mark.slow
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_masks_may_be_made_of_another_number_of_prototypes(
    runtime: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """As many as a head has, which only the head and the shape of the maps say."""
    if runtime == "openvino":
        request.getfixturevalue("openvino")
    import_ultralytics()
    from ultralytics import YOLO
    from ultralytics.utils import YAML

    whole = weights_of("segment-yolo11")
    description = dict(YOLO(str(whole)).model.yaml)
    *rest, (source, count, kind, arguments) = description["head"]
    description["head"] = [*rest, [source, count, kind, [arguments[0], 16, *arguments[2:]]]]
    YAML.save(tmp_path / "few.yaml", description)
    YOLO(str(tmp_path / "few.yaml")).load(str(whole)).save(str(tmp_path / "few.pt"))
    loaded = detector(tmp_path / "few.pt", runtime=runtime, threads=1, imgsz=(192, 192), confidence=0.1)
    (answer,) = YOLO(str(tmp_path / "few.pt")).predict(str(PICTURES[0]), imgsz=192, conf=0.1, verbose=False)
    found = found_by(loaded, PICTURES[0]).detections
    assert len(found) == len(answer.boxes) > 0
    pixels = Picture(np.zeros((192, 192, 3), np.uint8))
    (raw,) = loaded.infer(loaded.prepare(pixels))
    assert raw.maps is not None
    assert len(raw.maps) == raw.rows.shape[1] - 6 == 16
