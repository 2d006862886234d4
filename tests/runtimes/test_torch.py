"""What makes PyTorch faster on a CPU, and that it changes nothing."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from yolocli.builtin import WEIGHTS
from yolocli.config import DetectorConfig, Precision, RuntimeName
from yolocli.detector import load_detector
from yolocli.errors import ModelError
from yolocli.letterbox import Canvas
from yolocli.runtimes.base import BATCH_OF_MANY_THREADS
from yolocli.runtimes.library import import_ultralytics
from yolocli.runtimes.torch import TorchRuntime, load_backend

on_x86 = pytest.mark.skipif(
    not torch.backends.cpu.get_cpu_capability().startswith("AVX"), reason="only done on x86 CPUs with AVX2"
)


@pytest.fixture(scope="module")
def fused_conv() -> ModuleType:
    """The module, imported like torch's runtime does: Ultralytics must not reach for the user's settings first."""
    import_ultralytics()
    from yolocli.runtimes import fused_conv

    return fused_conv


def network(model: Path = WEIGHTS) -> Any:
    return load_backend(DetectorConfig(str(model)), torch.device("cpu")).backend.model


def kinds(model: nn.Module) -> set[str]:
    return {type(module).__name__ for module in model.modules()}


def outputs(model: nn.Module, height: int = 96, width: int = 160) -> torch.Tensor:
    pixels = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        return model(pixels)[0]


@on_x86
def test_every_convolution_is_replaced_and_none_finds_anything_else(fused_conv: ModuleType, weights: Path) -> None:
    for path in (WEIGHTS, weights):
        model = network(path)
        before = outputs(model)
        assert fused_conv.fuse_convolutions(model, 3, 32)
        assert "FusedConv" in kinds(model)
        assert not kinds(model) & {"Conv2d", "SiLU"}
        after = outputs(model)
        assert not torch.equal(after, before)  # else this would not have run the other kernels
        torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-3)


@on_x86
@pytest.mark.parametrize("shape", [(384, 640), (640, 480), (320, 640), (256, 256)])
def test_an_image_depends_neither_on_its_batch_nor_on_threads(shape: tuple[int, int]) -> None:
    detector = load_detector(DetectorConfig(str(WEIGHTS), runtime=RuntimeName.torch, threads=1, confidence=0.001))
    noise = np.random.default_rng(0).integers(0, 256, (5, *shape, 3), np.uint8)
    batch = [Canvas(pixels, shape[1], shape[0]) for pixels in noise]
    alone = [detector.infer([canvas])[0] for canvas in batch]
    assert any(len(candidates) for candidates in alone)
    before = torch.get_num_threads()
    try:
        for threads, count in itertools.product((1, 2, 3), (1, 2, 4, 5)):
            torch.set_num_threads(threads)
            for one, together in zip(alone, detector.infer(batch[:count]), strict=False):
                assert one.tobytes() == together.tobytes(), (threads, count)
    finally:
        torch.set_num_threads(before)


@on_x86
def test_boxes_of_the_faster_head_are_those_of_the_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def anchors(confidence: float) -> np.ndarray:
        config = DetectorConfig(str(WEIGHTS), runtime=RuntimeName.torch, threads=1, confidence=confidence)
        return load_detector(config).infer([Canvas(noise, 160, 96)])[0]

    noise = np.random.default_rng(0).integers(0, 256, (96, 160, 3), np.uint8)
    every = anchors(0.0)
    scores = np.sort(every[:, 4])
    middle = float(scores[157]) * (1 + 1e-6)  # just above a score, whatever the weights
    faster = {confidence: anchors(confidence) for confidence in (middle, 1.0)}
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    plain = anchors(0.0)
    assert len(plain) == len(scores) == 12 * 20 + 6 * 10 + 3 * 5
    np.testing.assert_allclose(every, plain, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(faster[middle], plain[plain[:, 4] > middle], rtol=1e-4, atol=1e-3)
    assert len(faster[middle]) == 315 - 158
    assert len(faster[1.0]) == 0


def test_another_cpu_leaves_the_network_alone(fused_conv: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    _assert_left_alone(fused_conv)


@on_x86
def test_a_network_that_would_find_something_else_is_left_alone(
    fused_conv: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused_conv, "ACTIVATIONS", {nn.SiLU: "relu"})
    _assert_left_alone(fused_conv)


@on_x86
def test_a_pytorch_without_the_operators_leaves_the_network_alone(
    fused_conv: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*arguments: Any) -> None:
        raise AttributeError("'_OpNamespace' 'mkldnn' object has no attribute '_convolution_pointwise'")

    monkeypatch.setattr(fused_conv.FusedConv, "__init__", missing)
    _assert_left_alone(fused_conv)


def _assert_left_alone(fused_conv: ModuleType) -> None:
    model = network()
    before, modules = outputs(model), list(map(id, model.modules()))
    assert not fused_conv.fuse_convolutions(model, 3, 32)
    assert list(map(id, model.modules())) == modules
    assert torch.equal(outputs(model), before)


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("trusted", [True, False])
def test_what_a_checkpoint_may_hold_is_said_for_one_load_and_not_for_the_program_around_it(
    before: bool, trusted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_ultralytics()
    import ultralytics.nn.tasks as tasks

    monkeypatch.setattr(tasks, "SAFE_LOAD", before)
    load_detector(DetectorConfig(str(WEIGHTS), runtime=RuntimeName.torch, device="cpu", trust_weights=trusted))
    assert tasks.SAFE_LOAD is before
    (tmp_path / "no.pt").write_bytes(b"")
    with pytest.raises(ModelError):
        load_detector(DetectorConfig(str(tmp_path / "no.pt"), runtime=RuntimeName.torch, trust_weights=trusted))
    assert tasks.SAFE_LOAD is before


class Exported:
    """What AutoBackend is around an export of a detector for images of 64x96, all of the same two classes."""

    names: ClassVar = {0: "a", 1: "b"}
    backend = None
    channels, stride, imgsz = 3, 32, (64, 96)
    end2end = fp16 = False

    def __init__(self, kind: str, batch: int, dynamic: bool) -> None:
        self.format, self.batch, self.dynamic = kind, batch, dynamic
        self.asked: list[int] = []

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        self.asked.append(len(inputs))
        boxes = torch.rand(len(inputs), 6, 126, generator=torch.Generator().manual_seed(1))
        boxes[:, 0, 0] = inputs[:, 0, 0, 0]  # where the first box is tells which image this is
        return boxes


@pytest.mark.parametrize(
    ("kind", "dynamic", "best", "asked"),
    [
        ("onnx", False, 4, [4, 4, 2]),
        ("engine", False, 4, [4, 4, 2]),
        ("engine", True, 4, [4, 4, 2]),
        ("onnx", True, 1, [10]),
        ("torchscript", False, 1, [10]),
    ],
)
def test_an_export_is_given_the_batch_that_it_was_made_for(
    kind: str, dynamic: bool, best: int, asked: list[int]
) -> None:
    """The last, short one is padded by AutoBackend."""
    backend = Exported(kind, 4, dynamic)
    runtime = TorchRuntime(backend, DetectorConfig("model", confidence=0.0), torch.device("cpu"))
    assert runtime.best_batch == best
    answers = runtime.infer([Canvas(np.full((64, 96, 3), 20 * number, np.uint8), 96, 64) for number in range(10)])
    assert backend.asked == asked
    centres = [float(rows[0, [0, 2]].mean()) for rows in answers]
    np.testing.assert_allclose(centres, [20 * number / 255 for number in range(10)], atol=1e-6)


@on_x86
@pytest.mark.parametrize(
    ("threads", "precision", "batch"),
    [(1, Precision.fp32, 1), (2, Precision.fp32, BATCH_OF_MANY_THREADS), (2, Precision.bf16, 1)],
)
def test_a_batch_is_for_many_threads(threads: int, precision: Precision, batch: int) -> None:
    config = DetectorConfig(str(WEIGHTS), runtime=RuntimeName.torch, threads=threads, precision=precision)
    assert load_detector(config).best_batch == batch
