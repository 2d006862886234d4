"""Devices, batches and memory of a GPU, as far as a machine without one can show."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from tests.fakes import FakeDetector, FakeLoader
from tests.support import prepared, run_config, write_image
from yolocli.builtin import WEIGHTS
from yolocli.config import DetectorConfig, Limits
from yolocli.detector import YoloDetector, YoloLoader
from yolocli.errors import ModelError, UsageError
from yolocli.executors import EXECUTORS, find_executor
from yolocli.executors.chunk import detect_images
from yolocli.executors.settle import settle
from yolocli.images.letterbox import Canvas
from yolocli.machine.cpus import WORKERS_PER_GPU
from yolocli.parsing import parse_devices
from yolocli.pipeline import Run
from yolocli.results import ImageRef, ImageResult
from yolocli.runtimes import load_runtime
from yolocli.runtimes.plan import Prepared
from yolocli.runtimes.torch.device_nms import suppress_on_device
from yolocli.tasks.base import ModelFacts, Raw
from yolocli.tasks.boxes import suppress
from yolocli.tasks.candidates import numbers, of_one_class
from yolocli.tasks.detect import Detect


@pytest.mark.parametrize(
    ("text", "devices"),
    [
        (None, ()),
        ("auto", ()),
        ("cpu", ("cpu",)),
        ("0", ("cuda:0",)),
        ("cuda", ("cuda:0",)),
        ("0,1", ("cuda:0", "cuda:1")),
        ("cuda:0,1", ("cuda:0", "cuda:1")),
        ("cuda:0, cuda:3", ("cuda:0", "cuda:3")),
        ("MPS", ("mps",)),
    ],
)
def test_device_lists(text: str | None, devices: tuple[str, ...]) -> None:
    assert parse_devices(text) == devices


@pytest.mark.parametrize("together", [20_000, 10], ids=["one kernel", "image by image"])
@pytest.mark.parametrize("agnostic", [False, True])
def test_nms_on_the_device_keeps_the_boxes_that_the_host_keeps(
    together: int, agnostic: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr("yolocli.runtimes.torch.device_nms.TOGETHER", together)
    random = np.random.default_rng(0)
    images = []
    for number in range(6):
        count = (0, 1, 300)[number % 3]
        corner = random.uniform(0, 600, (count, 2))
        size = random.uniform(5, 200, (count, 2))
        scores, classes = random.uniform(0.25, 1, (count, 1)), random.integers(0, 80, (count, 1)) % 4 * 26
        images.append(np.hstack([corner, corner + size, scores, classes]).astype(np.float32))
    rows = np.vstack([np.insert(image, 0, number, axis=1) for number, image in enumerate(images)]).astype(np.float32)
    kept = suppress_on_device(torch.from_numpy(rows), 0.5, agnostic).numpy()
    for number, image in enumerate(images):
        every = image[numbers(suppress(of_one_class(image), 0.5, 10_000))]
        expected = every if agnostic else suppress(image, 0.5, 10_000)
        assert len(every) < len(suppress(image, 0.5, 10_000)) or len(image) < 2
        assert len(expected) < max(len(image), 1) or len(image) < 2, "nothing overlaps: this would show nothing"
        np.testing.assert_array_equal(kept[kept[:, 0] == number][:, 1:], expected)


def test_a_runtime_that_suppresses_on_its_device_finds_the_same(
    weights: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "DEFAULT")  # no x86: as on a GPU
    classes = ("0", "1", "56") if "yolo11n" in weights.name else None
    ready = prepared(weights, runtime="torch", devices=("cpu",), classes=classes)
    runtime = load_runtime(ready)
    detector = YoloDetector(runtime, ready)
    refs = [ImageRef(path.name, str(path)) for path in photos[::3]]
    on_host = detect_images(detector, refs, batch=4, max_pixels=10**8)
    runtime.suppressed = True
    assert detect_images(detector, refs, batch=4, max_pixels=10**8) == on_host
    assert sum(len(outcome.detections) for outcome in on_host if isinstance(outcome, ImageResult)) > 3


@pytest.mark.parametrize("agnostic", [False, True])
def test_things_of_different_classes_suppress_one_another_where_the_model_says_so(agnostic: bool) -> None:
    class Found:
        facts: ClassVar = ModelFacts({0: "a", 1: "b"}, agnostic=agnostic)
        task: ClassVar = Detect()
        channels, best_batch, description, suppressed = 3, 1, "", False

    rows = [[10, 20, 30, 40, 0.8, 1], [60, 20, 80, 40, 0.7, 0], [10, 20, 30, 39, 0.9, 0]]
    detector = YoloDetector(Found(), FakeLoader().prepare(DetectorConfig(), (), None))  # type: ignore[arg-type]
    canvas = Canvas(np.zeros((64, 96, 3), np.uint8), 96, 64)
    names = [box.name for box in detector.finish([Raw(np.array(rows, np.float32))], [canvas]).detections]
    assert names == (["a", "a"] if agnostic else ["a", "b", "a"])


@pytest.mark.parametrize("suppressed", [False, True])
def test_what_is_no_number_becomes_no_box(suppressed: bool) -> None:
    class Overflown:
        facts: ClassVar = ModelFacts({0: "a"})
        task: ClassVar = Detect()
        channels, best_batch, description = 3, 1, ""

        def __init__(self) -> None:
            self.suppressed = suppressed

    good = [[10, 20, 30, 40, 0.9, 0], [60, 20, 80, 40, 0.8, 0]]
    bad = [[10, 20, 30, 40, 0.95, 0] for _ in range(18)]
    for row in range(18):
        bad[row][row % 6] = (np.nan, np.inf, -np.inf)[row // 6]
    canvas = Canvas(np.zeros((64, 96, 3), np.uint8), 96, 64)
    detector = YoloDetector(Overflown(), FakeLoader().prepare(DetectorConfig(), (), None))  # type: ignore[arg-type]
    expected = detector.finish([Raw(np.array(good, np.float32))], [canvas]).detections
    assert [box.confidence for box in expected] == [0.9, 0.8]
    assert detector.finish([Raw(np.array([*bad[:9], *good, *bad[9:]], np.float32))], [canvas]).detections == expected
    assert detector.finish([Raw(np.array(bad, np.float32))], [canvas]).detections == ()


@pytest.mark.parametrize("text", ["gpu", "cuda:x", "1,,2", "-1"])
def test_what_is_no_device_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--device"):
        parse_devices(text)


def test_workers_are_dealt_over_devices(tmp_path: Path) -> None:
    for number in range(4):
        write_image(tmp_path / f"{number}.png")
    given: list[str | None] = []
    lock = threading.Lock()

    class Noting(FakeLoader):
        def load(self, prepared: Prepared) -> FakeDetector:
            with lock:
                given.append(prepared.device)
            return super().load(prepared)

    config = run_config(tmp_path, workers=4, devices=("cuda:0", "cuda:1"))
    assert len(list(Run(config, loader=Noting()))) == 4
    assert sorted(given, key=str) == ["cuda:0", "cuda:0", "cuda:1", "cuda:1"]


@pytest.mark.parametrize("mode", EXECUTORS)
def test_a_mode_with_one_model_takes_one_device(mode: str) -> None:
    config = run_config("x", mode=mode, devices=("cuda:0", "cuda:1"))
    if find_executor(mode).shares:
        with pytest.raises(UsageError, match="on one --device; use thread, process or ray for several"):
            settle(config, FakeLoader(), print)
    else:
        settle(config, FakeLoader(), print)
    settle(run_config("x", mode=mode, devices=("cuda:0",)), FakeLoader(), print)


def test_images_with_a_limit_of_time_go_one_by_one() -> None:
    for timeout, batch in ((None, 8), (1.0, 1)):
        config = run_config("x", mode="process", batch=8, limits=Limits(timeout=timeout))
        assert settle(config, FakeLoader(), print).batch == batch


@pytest.mark.parametrize(
    ("devices", "nvidia", "workers", "expected"),
    [
        ((), True, 0, WORKERS_PER_GPU),
        ((), False, 0, 16),
        ((), True, 9, 9),
        (("cpu",), True, 0, 16),
        (("cuda:0",), False, 0, WORKERS_PER_GPU),
        (("cuda:0", "cuda:1", "cuda:1"), False, 0, 2 * WORKERS_PER_GPU),
    ],
)
def test_a_gpu_gets_a_few_models_and_not_one_for_each_core(
    devices: tuple[str, ...], nvidia: bool, workers: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yolocli.executors.settle.usable_cpus", lambda: 16)
    monkeypatch.setattr("yolocli.runtimes.torch.engine.nvidia_gpu_present", lambda: nvidia)
    settled = settle(run_config("x", model=str(WEIGHTS), devices=devices, workers=workers), YoloLoader(), print)
    assert settled.workers == expected
    assert settled.detector.threads == max(1, 16 // expected)


def test_a_device_that_is_not_there_is_said(weights: Path) -> None:
    with pytest.raises(ModelError, match="--device cuda:7"):
        load_runtime(replace(prepared(weights, runtime="torch"), device="cuda:7"))


class _SmallMemory(FakeDetector):
    """Runs out of memory when more than two images come at once."""

    def infer(self, batch: Sequence[Canvas]) -> list[Any]:
        if len(batch) > 2:
            raise RuntimeError("CUDA out of memory")
        return super().infer(batch)


def test_a_batch_too_large_for_the_memory_is_halved_and_no_failure(tmp_path: Path) -> None:
    refs = []
    for number in range(8):
        write_image(tmp_path / f"{number}.png")
        refs.append(ImageRef(f"{number}.png", str(tmp_path / f"{number}.png")))
    detector = _SmallMemory()
    assert [outcome.status for outcome in detect_images(detector, refs, batch=8, max_pixels=10**6)] == ["ok"] * 8
    assert detector.batches == [2, 2, 2, 2]


def test_images_of_a_shape_share_full_batches_whatever_lies_between_them(tmp_path: Path) -> None:
    refs = []
    for number in range(8):
        write_image(tmp_path / f"{number}.png", width=16 if number % 2 else 24)
        refs.append(ImageRef(f"{number}.png", str(tmp_path / f"{number}.png")))
    detector = FakeDetector()
    outcomes = detect_images(detector, refs, batch=4, max_pixels=10**6)
    assert detector.batches == [4, 4]
    assert [outcome.path for outcome in outcomes] == [ref.path for ref in refs]


def test_the_runtime_chooses_the_batch_when_nobody_else_does(tmp_path: Path) -> None:
    for number in range(8):
        write_image(tmp_path / f"{number}.png")

    class Batching(FakeLoader):
        def load(self, prepared: Prepared) -> FakeDetector:
            detector = super().load(prepared)
            detector.best_batch = 4
            return detector

    loader = Batching()
    run = Run(run_config(tmp_path, workers=1, batch=0), loader=loader)
    assert len(list(run)) == 8
    assert loader.made[0].batches == [4, 4]
    assert run.summary.batch == 4
