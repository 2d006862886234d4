"""Which runtime is taken, and why: no network is run."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from yolocli import runtimes
from yolocli.config import AUTO, DetectorConfig, Precision
from yolocli.detector import load_detector
from yolocli.errors import ModelError, UsageError
from yolocli.images.letterbox import Canvas
from yolocli.machine import gpu
from yolocli.output.fingerprint import fingerprint
from yolocli.runtimes import RUNTIMES, choose
from yolocli.runtimes.base import ConversionError
from yolocli.runtimes.choose import prepare, prepare_detector
from yolocli.runtimes.openvino import convert
from yolocli.runtimes.openvino import engine as openvino
from yolocli.runtimes.plan import Plan, Prepared
from yolocli.runtimes.torch import engine as torch

FP32, BF16, FP16, INT8 = Precision.fp32, Precision.bf16, Precision.fp16, Precision.int8
TORCH, OPENVINO = "torch", "openvino"
CONVERTED = Path("/cache/x_openvino_model")
CANVAS = Canvas(np.zeros((32, 32, 3), np.uint8), 32, 32)


@pytest.fixture(autouse=True)
def _an_x86_machine_with_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino, "openvino_installed", lambda: True)
    for engine in (openvino, torch):
        monkeypatch.setattr(engine, "nvidia_gpu_present", lambda: False)
    monkeypatch.setattr(openvino.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(convert, "converted_model", lambda weights, **options: CONVERTED)
    # no file is there: models are names
    monkeypatch.setattr(choose, "resolve_model", lambda name, downloads: Path(name))
    monkeypatch.setattr(choose, "sha256", lambda path: "0" * 64)


def openvino_model(folder: Path, *, quantised: bool) -> Path:
    path = folder / ("a_int8_openvino_model" if quantised else "a_openvino_model")
    path.mkdir()
    (path / "a.xml").write_text('<layer type="FakeQuantize"/>' if quantised else "<layer/>")
    (path / "a.bin").write_bytes(b"")
    return path


def ready(model: str | Path = "a.pt", *, devices: tuple[str, ...] = (), **options: Any) -> Prepared:
    return prepare_detector(DetectorConfig(str(model), **options), devices)


def chosen(model: str | Path = "a.pt", *, devices: tuple[str, ...] = (), **options: Any) -> Plan:
    return ready(model, devices=devices, **options).plan


def test_auto_takes_openvino_on_an_x86_cpu_and_says_why() -> None:
    prepared = ready()
    assert (prepared.plan.runtime, prepared.plan.precision, prepared.path) == (OPENVINO, FP32, CONVERTED)
    assert prepared.plan.why == "auto: x86-64 CPU, openvino installed"


@pytest.mark.parametrize(
    ("change", "devices", "model", "reason"),
    [
        ({"openvino_installed": lambda: False}, (), "a.pt", "auto: openvino not installed"),
        ({"nvidia_gpu_present": lambda: True}, (), "a.pt", "auto: NVIDIA GPU present"),
        ({}, ("cuda:0", "cuda:1"), "a.pt", "auto: device cuda:0"),
        ({}, ("mps",), "a.pt", "auto: device mps"),
        ({}, (), "a.onnx", "auto: .onnx runs through Ultralytics"),
    ],
)
def test_auto_takes_torch_otherwise_and_says_why(
    change: dict[str, Any], devices: tuple[str, ...], model: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in change.items():
        monkeypatch.setattr(openvino, name, value)
    prepared = ready(model, devices=devices)
    assert (prepared.plan.runtime, prepared.plan.why, prepared.path) == (TORCH, reason, Path(model))


def test_auto_takes_torch_on_arm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino.platform, "machine", lambda: "arm64")
    assert chosen().why == "auto: arm64 CPU"


def test_the_cpu_asked_for_is_no_reason_to_look_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino, "nvidia_gpu_present", lambda: True)
    assert chosen(devices=("cpu",)).runtime == OPENVINO


def test_auto_falls_back_to_torch_when_a_model_cannot_be_converted(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(weights: Path, **options: Any) -> Path:
        raise ConversionError("it computes something else")

    monkeypatch.setattr(convert, "converted_model", fail)
    plan = chosen()
    assert (plan.runtime, plan.precision, plan.why) == (TORCH, FP32, "auto: it computes something else")
    with pytest.raises(ConversionError):
        chosen(runtime=OPENVINO)


def test_a_plan_can_be_prepared_on_another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = ready()
    there = pickle.loads(pickle.dumps(here.plan))
    monkeypatch.setattr(convert, "converted_model", lambda weights, **options: weights.with_name("converted"))
    prepared = prepare(there, tmp_path / "a.pt")
    assert prepared.plan == here.plan
    assert prepared.path == tmp_path / "converted"


def test_a_made_up_runtime_is_one_module_and_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "RUNTIMES", {"made-up": "tests.runtimes.made_up", **RUNTIMES})
    monkeypatch.setattr(choose, "RUNTIMES", runtimes.RUNTIMES)
    assert (chosen("a.made").runtime, chosen("a.made").why) == ("made-up", "auto: it is made for this")
    assert chosen("a.pt").runtime == OPENVINO
    assert load_detector(ready("a.made")).infer([CANVAS])[0].rows.tolist() == [[1, 2, 3, 4, 0.5, 0]]
    with pytest.raises(UsageError, match="--runtime made-down: did you mean made-up"):
        chosen(runtime="made-down")


def test_openvino_that_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(openvino, "openvino_installed", lambda: False)
    for model, runtime in (("a.pt", OPENVINO), (openvino_model(tmp_path, quantised=False), AUTO)):
        with pytest.raises(ModelError, match=r"pip install '\.\[openvino\]'"):
            chosen(model, runtime=runtime)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runtime": OPENVINO, "devices": ("cuda:0",)}, "--device cuda:0 needs --runtime torch"),
        ({"runtime": OPENVINO, "model": "a.onnx"}, "not a.onnx"),
        ({"runtime": OPENVINO, "precision": FP16}, "needs a GPU"),
        ({"runtime": TORCH, "precision": FP16}, "needs a GPU"),
        ({"runtime": OPENVINO, "precision": INT8}, "yolocli optimize"),
        ({"runtime": TORCH, "precision": INT8}, "yolocli optimize"),
        ({"model": "a.onnx", "precision": BF16}, "has the precision it was exported with"),
    ],
)
def test_what_does_not_go_together_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        chosen(**options)


def test_a_converted_model_has_its_own_precision(tmp_path: Path) -> None:
    int8, fp32 = openvino_model(tmp_path, quantised=True), openvino_model(tmp_path, quantised=False)
    assert (chosen(int8).precision, chosen(fp32).precision) == (INT8, FP32)
    assert chosen(int8, precision=INT8).why == "auto: an OpenVINO model"
    assert chosen(fp32, precision=BF16).precision is BF16
    for path, precision in ((int8, FP32), (int8, BF16), (fp32, INT8)):
        with pytest.raises(UsageError, match=f"--precision {precision.value}"):
            chosen(path, precision=precision)


def test_precisions_of_torch() -> None:
    assert chosen(runtime=TORCH).precision is FP32
    assert chosen(runtime=TORCH, precision=BF16).precision is BF16
    assert chosen(runtime=TORCH, precision=FP16, devices=("cuda:0",)).precision is FP16
    assert chosen("a.onnx").precision is None


def test_a_gpu_is_seen_by_its_driver_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(gpu, "version", lambda name: "2.9.0")
    monkeypatch.setattr(gpu.sys, "platform", "linux")
    monkeypatch.setattr(gpu, "NVIDIA_FILES", (str(tmp_path / "nvidiactl"),))
    assert not gpu.nvidia_gpu_present()
    (tmp_path / "nvidiactl").touch()
    assert gpu.nvidia_gpu_present()
    monkeypatch.setattr(gpu, "version", lambda name: "2.9.0+cpu")
    assert not gpu.nvidia_gpu_present()
    monkeypatch.setattr(gpu, "version", lambda name: "2.9.0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert not gpu.nvidia_gpu_present()


def test_runs_of_two_runtimes_or_precisions_do_not_share_a_folder() -> None:
    plan = chosen()
    marks = [
        fingerprint(dataclasses.replace(plan, runtime=runtime, precision=precision))
        for runtime in (TORCH, OPENVINO)
        for precision in (FP32, BF16)
    ]
    assert all(mark not in marks[:position] for position, mark in enumerate(marks))
    # how it came to be chosen is no setting of a record
    assert fingerprint(plan) == fingerprint(chosen(runtime=OPENVINO))
