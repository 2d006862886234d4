"""Which runtime is taken, and why: no network is run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from yolocli.config import DetectorConfig, Precision, RuntimeName
from yolocli.errors import ModelError, UsageError
from yolocli.output.fingerprint import fingerprint
from yolocli.runtimes import choose
from yolocli.runtimes.choose import choose_runtime
from yolocli.runtimes.openvino.convert import ConversionError

FP32, BF16, FP16, INT8 = Precision.fp32, Precision.bf16, Precision.fp16, Precision.int8
AUTO, TORCH, OPENVINO = RuntimeName.auto, RuntimeName.torch, RuntimeName.openvino


@pytest.fixture(autouse=True)
def _an_x86_machine_with_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "openvino_installed", lambda: True)
    monkeypatch.setattr(choose, "nvidia_gpu_present", lambda: False)
    monkeypatch.setattr(choose.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(choose, "converted_model", lambda weights, **options: Path("/cache/x_openvino_model"))


def export(folder: Path, *, quantised: bool) -> Path:
    path = folder / ("a_int8_openvino_model" if quantised else "a_openvino_model")
    path.mkdir()
    (path / "a.xml").write_text('<layer type="FakeQuantize"/>' if quantised else "<layer/>")
    (path / "a.bin").write_bytes(b"")
    return path


def chosen(model: str | Path = "a.pt", *, devices: tuple[str, ...] = (), **options: Any) -> DetectorConfig:
    return choose_runtime(DetectorConfig(str(model), **options), devices)


def test_auto_takes_openvino_on_an_x86_cpu_and_says_why() -> None:
    config = chosen()
    assert (config.runtime, config.precision, config.converted) == (OPENVINO, FP32, "/cache/x_openvino_model")
    assert config.chosen == "auto: x86-64 CPU, openvino installed"


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
        monkeypatch.setattr(choose, name, value)
    config = chosen(model, devices=devices)
    assert (config.runtime, config.chosen, config.converted) == (TORCH, reason, None)


def test_auto_takes_torch_on_arm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose.platform, "machine", lambda: "arm64")
    assert chosen().chosen == "auto: arm64 CPU"


def test_the_cpu_asked_for_is_no_reason_to_look_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "nvidia_gpu_present", lambda: True)
    assert chosen(devices=("cpu",)).runtime is OPENVINO


def test_auto_falls_back_to_torch_when_a_model_cannot_be_converted(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(weights: Path, **options: Any) -> Path:
        raise ConversionError("it computes something else")

    monkeypatch.setattr(choose, "converted_model", fail)
    config = chosen()
    assert (config.runtime, config.precision, config.chosen) == (TORCH, FP32, "auto: it computes something else")
    with pytest.raises(ConversionError):
        chosen(runtime=OPENVINO)


def test_a_choice_is_settled_once(tmp_path: Path) -> None:
    for model in ("a.pt", export(tmp_path, quantised=True)):
        once = chosen(model)
        assert choose_runtime(once) == once


def test_openvino_that_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(choose, "openvino_installed", lambda: False)
    for model, runtime in (("a.pt", OPENVINO), (export(tmp_path, quantised=False), AUTO)):
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


def test_an_export_has_its_own_precision(tmp_path: Path) -> None:
    int8, fp32 = export(tmp_path, quantised=True), export(tmp_path, quantised=False)
    assert (chosen(int8).precision, chosen(fp32).precision) == (INT8, FP32)
    assert chosen(int8, precision=INT8).chosen == "auto: an OpenVINO model"
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
    monkeypatch.setattr(choose, "version", lambda name: "2.9.0")
    monkeypatch.setattr(choose.sys, "platform", "linux")
    monkeypatch.setattr(choose, "NVIDIA_FILES", (str(tmp_path / "nvidiactl"),))
    assert not choose.nvidia_gpu_present()
    (tmp_path / "nvidiactl").touch()
    assert choose.nvidia_gpu_present()
    monkeypatch.setattr(choose, "version", lambda name: "2.9.0+cpu")
    assert not choose.nvidia_gpu_present()
    monkeypatch.setattr(choose, "version", lambda name: "2.9.0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert not choose.nvidia_gpu_present()


def test_runs_of_two_runtimes_or_precisions_do_not_share_a_folder() -> None:
    config = chosen()
    marks = [
        fingerprint(dataclasses.replace(config, runtime=runtime, precision=precision), "0")
        for runtime in (TORCH, OPENVINO)
        for precision in (FP32, BF16)
    ]
    assert all(mark not in marks[:position] for position, mark in enumerate(marks))
    # how it came to be chosen, and where the conversion lies, is no setting of a record
    assert fingerprint(config, "0") == fingerprint(chosen(runtime=OPENVINO), "0")
