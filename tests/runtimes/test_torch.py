"""What makes PyTorch faster on a CPU, and that it changes nothing."""

from __future__ import annotations

import itertools
import shutil
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from tests.support import detector as load_real
from tests.support import prepared, write_image, yolocli
from yolocli.builtin import WEIGHTS
from yolocli.config import Precision
from yolocli.errors import ModelError
from yolocli.images.letterbox import Canvas
from yolocli.runtimes.base import BATCH_OF_MANY_THREADS
from yolocli.runtimes.torch.backend import PLAIN, load_backend
from yolocli.runtimes.torch.confined import ConfinedError, confined
from yolocli.runtimes.torch.library import import_ultralytics
from yolocli.runtimes.torch.load import TorchRuntime

on_x86 = pytest.mark.skipif(
    not torch.backends.cpu.get_cpu_capability().startswith("AVX"), reason="only done on x86 CPUs with AVX2"
)


@pytest.fixture(scope="module")
def fused_conv() -> ModuleType:
    """The module, imported like torch's runtime does: Ultralytics must not reach for the user's settings first."""
    import_ultralytics()
    from yolocli.runtimes.torch import fused_conv

    return fused_conv


def network(model: Path = WEIGHTS) -> Any:
    return load_backend(prepared(model, runtime="torch"), torch.device("cpu")).backend.model


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


@pytest.mark.slow
@on_x86
@pytest.mark.parametrize("shape", [(384, 640), (640, 480), (320, 640), (256, 256)])
def test_an_image_depends_neither_on_its_batch_nor_on_threads(shape: tuple[int, int]) -> None:
    detector = load_real(WEIGHTS, runtime="torch", threads=1, confidence=0.001)
    noise = np.random.default_rng(0).integers(0, 256, (5, *shape, 3), np.uint8)
    batch = [Canvas(pixels, shape[1], shape[0]) for pixels in noise]
    alone = [detector.infer([canvas])[0] for canvas in batch]
    assert any(len(raw.rows) for raw in alone)
    before = torch.get_num_threads()
    try:
        for threads, count in itertools.product((1, 2, 3), (1, 2, 4, 5)):
            torch.set_num_threads(threads)
            for one, together in zip(alone, detector.infer(batch[:count]), strict=False):
                assert one.rows.tobytes() == together.rows.tobytes(), (threads, count)
    finally:
        torch.set_num_threads(before)


@on_x86
def test_boxes_of_the_faster_head_are_those_of_the_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def anchors(confidence: float) -> np.ndarray:
        detector = load_real(WEIGHTS, runtime="torch", threads=1, confidence=confidence)
        return detector.infer([Canvas(noise, 160, 96)])[0].rows

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
    load_real(WEIGHTS, runtime="torch", devices=("cpu",), trust_weights=trusted)
    assert tasks.SAFE_LOAD is before
    (tmp_path / "no.pt").write_bytes(b"")
    with pytest.raises(ModelError):
        load_real(tmp_path / "no.pt", runtime="torch", trust_weights=trusted)
    assert tasks.SAFE_LOAD is before


class Exported:
    """What AutoBackend is around a converted detector for images of 64x96, all of the same two classes."""

    names: ClassVar = {0: "a", 1: "b"}
    backend = task = None
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
def test_a_converted_model_is_given_the_batch_that_it_was_made_for(
    kind: str, dynamic: bool, best: int, asked: list[int]
) -> None:
    """The last, short one is padded by AutoBackend."""
    backend = Exported(kind, 4, dynamic)
    runtime = TorchRuntime(backend, prepared(WEIGHTS, runtime="torch", confidence=0.0), torch.device("cpu"))
    assert runtime.best_batch == best
    answers = runtime.infer([Canvas(np.full((64, 96, 3), 20 * number, np.uint8), 96, 64) for number in range(10)])
    assert backend.asked == asked
    centres = [float(raw.rows[0, [0, 2]].mean()) for raw in answers]
    np.testing.assert_allclose(centres, [20 * number / 255 for number in range(10)], atol=1e-6)


@on_x86
@pytest.mark.parametrize(
    ("threads", "precision", "batch"),
    [(1, Precision.fp32, 1), (2, Precision.fp32, BATCH_OF_MANY_THREADS), (2, Precision.bf16, 1)],
)
def test_a_batch_is_for_many_threads(threads: int, precision: Precision, batch: int) -> None:
    assert load_real(WEIGHTS, runtime="torch", threads=threads, precision=precision).best_batch == batch


class Downloading:
    """Asks, when unpickled, for a class that Ultralytics allows, with arguments that make it fetch weights."""

    def __reduce__(self) -> tuple[Any, ...]:
        from ultralytics.nn.modules.block import TorchVision

        return TorchVision, ("alexnet", "DEFAULT")


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["torch", "auto"])
@pytest.mark.parametrize("trusted", [True, False])
def test_no_checkpoint_reaches_the_network(tmp_path: Path, runtime: str, trusted: bool) -> None:
    """The look-up of a name would leave a trace: the resolver is one that writes down what it is asked."""
    import_ultralytics()
    torch.save({"model": Downloading(), "train_args": {}}, tmp_path / "calls.pt")
    write_image(tmp_path / "a.png")
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(
        "import os, socket, sys\n"
        "def resolve(*arguments, **names):\n"
        "    sys.audit('socket.getaddrinfo', *arguments)  # as the real one does\n"
        "    open(os.environ['TRACE'], 'a').write(f'{arguments}')\n"
        "    raise socket.gaierror('no network')\n"
        "socket.getaddrinfo = resolve\n"
    )
    env = {"PYTHONPATH": str(tmp_path / "site"), "TRACE": str(tmp_path / "trace"), "HOME": str(tmp_path / "home")}
    options = ["--trust-weights"] if trusted else []
    model = ["-m", tmp_path / "calls.pt", "--runtime", runtime]
    done = yolocli("detect", tmp_path / "a.png", *model, "--stdout", "-q", *options, env=env)
    assert done.returncode == 4, done.stderr
    assert b"calls.pt: refused, as loading it would reach the network" in done.stderr
    assert not (tmp_path / "trace").exists()
    if not trusted:
        assert not (tmp_path / "home").exists()


def test_other_threads_keep_the_network_while_a_model_loads() -> None:
    with socket.socket() as server, confined(folders=True):
        server.bind(("127.0.0.1", 0))
        server.listen()
        with socket.socket() as client, pytest.raises(ConfinedError):
            client.connect(server.getsockname())
        with ThreadPoolExecutor(1) as pool:
            pool.submit(socket.create_connection, server.getsockname()).result().close()
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        socket.create_connection(server.getsockname()).close()


PROGRAM = """
import sys, torch

class Writing(torch.nn.Module):
    def __init__(self, target: str) -> None:
        super().__init__()
        self.target = target

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        torch.save(images[:, :1, :1, :1], self.target)
        return torch.zeros(images.shape[0], 6, 126)

torch.jit.save(torch.jit.script(Writing(sys.argv[1])), sys.argv[2])
"""


@pytest.mark.slow
def test_a_torchscript_runs_only_if_it_is_trusted(tmp_path: Path) -> None:
    """It is a program, and may write a file wherever it likes."""
    (tmp_path / "program.py").write_text(PROGRAM)
    names = ("evil.torchscript", "evil.pt.torchscript", "evil.torchscript.old")
    written = tmp_path / "written"
    # in a process without Ultralytics, which puts something that cannot be compiled in the place of torch.save
    subprocess.run([sys.executable, tmp_path / "program.py", written, tmp_path / names[0]], check=True, timeout=100)
    write_image(tmp_path / "a.png")
    for name in names:
        if name != names[0]:
            shutil.copyfile(tmp_path / names[0], tmp_path / name)
        command = ["detect", tmp_path / "a.png", "-m", tmp_path / name, "--stdout", "-q"]
        done = yolocli(*command)
        assert done.returncode == 4, done.stderr
        assert b"--trust-weights" in done.stderr
        assert not written.exists()
    done = yolocli(*command, "--trust-weights")
    assert written.exists(), done.stderr


def test_every_format_that_is_not_known_to_be_plain_must_be_trusted(tmp_path: Path) -> None:
    import_ultralytics()
    from ultralytics.nn.autobackend import AutoBackend

    assert set(AutoBackend._BACKEND_MAP) >= PLAIN
    for suffix in (
        ".engine",
        "_saved_model",
        ".pb",
        "_paddle_model",
        "_executorch_model",
        "_imx_model",
        "_hailo_model",
    ):
        (tmp_path / f"a{suffix}").touch()
        with pytest.raises(ModelError, match="may run code of its own"):
            load_real(tmp_path / f"a{suffix}", runtime="torch")
