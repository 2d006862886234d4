"""A task that nothing else knows goes the whole way: real runtimes, the real detector, a run and its journal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from tests import fakes
from tests.support import detector, records, run, write_image
from tests.tasks import made_up
from yolocli.config import DetectorConfig
from yolocli.detector import Detector, YoloDetector
from yolocli.errors import ModelError
from yolocli.images.letterbox import Canvas, Frame
from yolocli.images.picture import Picture
from yolocli.measure.match import match
from yolocli.runtimes.plan import Plan, Prepared
from yolocli.tasks import TASKS
from yolocli.tasks.base import ModelFacts, Raw, Wanted

NAMES = {0: "cat", 1: "dog"}


@pytest.fixture(autouse=True)
def _one_row_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yolocli.tasks.TASKS", {**TASKS, "turned": made_up.ROW})


class Runtime:
    """Finds the same in every image: two cats in one place, turned otherwise, one of them twice; and what is none."""

    task = made_up.Turned()
    facts = ModelFacts(NAMES, {"full_turn": 8})
    frame = Frame(64, 64, 32, False)
    channels = 3
    description = "made up"
    best_batch = 1
    rows: ClassVar = [
        [8, 8, 40, 40, 0.5, 0, 2],
        [8, 8, 40, 40, 0.9, 0, 4],
        [8, 9, 40, 40, 0.8, 0, 4],
        [0, 0, 64, 64, 0.3, 1, 0],
        [0, 0, 10, 10, 0.9, 0, np.nan],
    ]

    def __init__(self, suppressed: bool = False) -> None:
        self.suppressed = suppressed

    def infer(self, batch: Sequence[Canvas]) -> list[Raw]:
        return [Raw(np.array(self.rows, np.float32)) for _ in batch]


def prepared(**asked: Any) -> Prepared:
    return Prepared(Plan(DetectorConfig(**asked), "0" * 64, "made up", None), Path("x.pt"))


class Loader(fakes.FakeLoader):
    """Loads the real detector around the runtime here."""

    def load(self, prepared: Prepared) -> Detector:
        return YoloDetector(Runtime(), prepared)


def found(detector: Detector, picture: Picture) -> list[tuple[str, float, float]]:
    canvases = detector.prepare(picture)
    detections = detector.finish(detector.infer(canvases), canvases).detections
    return [(box.name, box.confidence, box.more["degrees"]) for box in detections]


def test_the_detector_asks_the_task() -> None:
    picture = Picture(np.zeros((128, 128, 3), np.uint8))
    assert found(YoloDetector(Runtime(), prepared()), picture) == [
        ("cat", 0.9, 180.0),
        ("cat", 0.5, 90.0),
        ("dog", 0.3, 0.0),
    ]
    assert found(YoloDetector(Runtime(), prepared(classes=("dog",))), picture) == [("dog", 0.3, 0.0)]
    cut = YoloDetector(Runtime(suppressed=True), prepared(max_detections=2))
    assert [box[1:] for box in found(cut, picture)] == [(0.5, 90.0), (0.9, 180.0)]


def test_what_the_task_adds_is_in_the_records_and_stays_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fakes.install(monkeypatch, Loader())
    write_image(tmp_path / "a.png", 128, 128)
    options = {"output": tmp_path / "out", "workers": 1}
    (outcome,), _ = run(tmp_path / "a.png", model="x.pt", **options)
    detections = [box.to_dict() for box in outcome.detections]
    assert detections[0] == {
        "name": "cat",
        "class": 0,
        "confidence": 0.9,
        "box": {"x1": 16.0, "y1": 16.0, "x2": 80.0, "y2": 80.0},
        "degrees": 180.0,
    }
    (record,) = records(tmp_path / "out/results.jsonl")
    assert (record["detections"], record["turned"]) == (detections, 2)
    write_image(tmp_path / "b.png", 128, 128)
    run(tmp_path / "a.png", tmp_path / "b.png", model="x.pt", **options)
    journal = records(tmp_path / "out/results.jsonl")
    assert [record["detections"] for record in journal] == [detections, detections]
    assert [record["turned"] for record in journal] == [2, 2]
    assert all(json.loads(file.read_bytes())["turned"] == 2 for file in (tmp_path / "out/json").rglob("*.json"))


def test_two_detectors_are_paired_as_the_task_says() -> None:
    canvas = Canvas(np.zeros((64, 64, 3), np.uint8), 64, 64)
    rows = np.array(Runtime.rows[:2], np.float32)
    quarter, half = made_up.Turned().read(Raw(rows), canvas, Runtime.facts, Wanted()).detections
    assert match(made_up.Turned(), [quarter, half], [half], 0.5).pairs == [(half, half, 1.0)]
    assert match(made_up.Turned(), [quarter], [half], 0.5).pairs == []
    assert len(match(made_up.Turned.__base__(), [quarter], [half], 0.5).pairs) == 1


class Backend:
    """What AutoBackend is around a converted model of this task, for images of 64x96."""

    names: ClassVar = NAMES
    task, format, backend = "turned", "onnx", None
    channels, stride, imgsz, batch, full_turn = 3, 32, (64, 96), 1, 8
    dynamic = end2end = fp16 = False

    def __call__(self, inputs: Any) -> Any:
        import torch

        return torch.from_numpy(whole_output())


def whole_output() -> np.ndarray:
    """The output of a head: (1, 4 + classes + 1, anchors)."""
    anchors = [[40, 20, 20, 10, 0.1, 0.8, 3], [60, 40, 8, 8, 0.6, 0.2, 5], [60, 40, 8, 8, 0.1, 0.2, 7]]
    return np.array(anchors, np.float32).T[None]


def test_torch_gives_the_columns_of_the_task() -> None:
    import torch

    from yolocli.runtimes.torch.load import TorchRuntime

    runtime = TorchRuntime(Backend(), prepared(), torch.device("cpu"))
    assert runtime.facts == Runtime.facts
    (raw,) = runtime.infer([Canvas(np.zeros((64, 96, 3), np.uint8), 96, 64)])
    np.testing.assert_allclose(raw.rows, [[30, 15, 50, 25, 0.8, 1, 3], [56, 36, 64, 44, 0.6, 0, 5]], rtol=1e-6)


def openvino_model(folder: Path, channels: int = 7) -> Path:
    """A network of one convolution with a head of this task, in the form that Ultralytics exports."""
    import openvino as ov
    from openvino import opset13 as ops

    path = folder / "x_openvino_model"
    path.mkdir()
    weights = np.random.default_rng(0).random((channels, 3, 32, 32), np.float32) / 1000
    pixels = ops.parameter(ov.PartialShape([-1, 3, -1, -1]), ov.Type.f32)
    map_ = ops.convolution(pixels, ops.constant(weights), [32, 32], [0, 0], [0, 0], [1, 1])
    rows = ops.reshape(map_, ops.constant([0, channels, -1]), True)
    ov.save_model(ov.Model([ops.result(rows)], [pixels], "x"), path / "model.xml", compress_to_fp16=False)
    lines = ["stride: 32", "task: turned", "imgsz: [64, 96]", "names: {0: cat, 1: dog}", "full_turn: 8"]
    (path / "metadata.yaml").write_text("\n".join(lines))
    return path


def test_openvino_gives_the_columns_of_the_task(openvino: None, tmp_path: Path) -> None:
    import openvino as ov

    path = openvino_model(tmp_path)
    picture = np.random.default_rng(1).integers(0, 256, (64, 96, 3), np.uint8)
    loaded = detector(path, threads=1, confidence=0.0)
    planes = np.ascontiguousarray(picture[..., ::-1].transpose(2, 0, 1)[None], np.float32) / 255
    whole = ov.Core().compile_model(path / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(planes)[0]
    (raw,) = loaded.infer([Canvas(picture, 96, 64)])
    assert raw.rows.shape == (6, 7)
    assert loaded.task.difference([whole], [raw], ModelFacts(NAMES), end_to_end=False) is None
    assert loaded.task.difference([whole + 0.01], [raw], ModelFacts(NAMES), end_to_end=False) is not None


def test_what_the_task_asks_for_is_kept_beside_a_model(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    from yolocli.runtimes.metadata import Metadata, read_metadata, write_metadata

    metadata = Metadata(NAMES, 32, (64, 96), made_up.Turned(), 3, False, {"full_turn": 8})
    write_metadata(tmp_path, metadata)
    assert read_metadata(tmp_path).facts == metadata.facts == Runtime.facts
    assert read_metadata(tmp_path).task.name == "turned"


def test_a_head_without_the_columns_of_the_task_is_refused(openvino: None, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not that of a YOLO detector"):
        detector(openvino_model(tmp_path, channels=6))
