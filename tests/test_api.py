from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

import yolocli
from tests.support import projections, run, write_image
from yolocli.executors import EXECUTORS
from yolocli.results import Detection, ImageFailure, ImageResult


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png"):
        write_image(tmp_path / "in" / name, 64, 64)
    (tmp_path / "in/c.png").write_text("no image")
    return tmp_path / "in"


def test_detect_yields_the_outcomes_of_the_command(weights: Path, photos: list[Path], tmp_path: Path) -> None:
    expected, _ = run(*photos[:3], model=str(weights), workers=1, runtime="auto", ordered=True)
    outcomes = list(yolocli.detect(photos[:3], model=weights, workers=1, ordered=True))
    assert outcomes == expected
    for outcome in outcomes:
        assert isinstance(outcome, yolocli.ImageResult)
        assert all(isinstance(box, yolocli.Detection) for box in outcome.detections)


@pytest.mark.usefixtures("fake_detectors")
def test_the_example_of_the_package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    (folder.parent / "photos").symlink_to("in", target_is_directory=True)
    assert 'yolocli.detect(["photos"], mode="thread", workers=4)' in (yolocli.__doc__ or "")
    outcomes = yolocli.detect(["photos"], mode="thread", workers=4)
    assert sorted((outcome.path, outcome.status) for outcome in outcomes) == [
        ("a.png", "ok"),
        ("b.png", "ok"),
        ("c.png", "failed"),
    ]


@pytest.mark.usefixtures("fake_detectors")
@pytest.mark.parametrize("mode", list(EXECUTORS))
def test_failures_are_values_too(folder: Path, mode: typing.Any) -> None:
    outcomes = {outcome.path: outcome for outcome in yolocli.detect(folder, mode=mode, workers=2)}
    assert isinstance(outcomes["a.png"], ImageResult)
    assert isinstance(outcomes["a.png"].detections[0], Detection)
    failure = outcomes["c.png"]
    assert isinstance(failure, ImageFailure)
    assert (failure.stage, failure.error) == ("decode", "NotAnImage")


@pytest.mark.usefixtures("fake_detectors")
def test_an_output_folder_is_that_of_the_command_and_is_gone_on_with(folder: Path) -> None:
    output = folder.parent / "out"
    assert len(list(yolocli.detect([folder], output=output, formats=["csv"], workers=1))) == 3
    assert set(projections(output)) == {"detections.csv", "images.csv", "failures.jsonl"}
    assert [outcome.path for outcome in yolocli.detect([folder], output=output, formats=["csv"], workers=1)] == [
        "c.png"
    ]


def test_errors_are_the_published_ones(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(yolocli.UsageError):
        yolocli.detect([tmp_path / "gone"])
    with pytest.raises(yolocli.UsageError):
        yolocli.detect([folder], confidence=2)
    with pytest.raises(yolocli.ModelError):
        list(yolocli.detect([folder], model=tmp_path / "no/gone.pt"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(yolocli.YolocliError):
        list(yolocli.detect([tmp_path / "empty"], model=folder / "a.png"))


def test_it_is_typed_and_each_argument_is_told_of() -> None:
    hints = typing.get_type_hints(yolocli.detect, vars(__import__("yolocli.api", fromlist=["api"])))
    assert hints["return"] == Iterator[yolocli.Outcome]
    parameters = inspect.signature(yolocli.detect).parameters
    assert hints.keys() >= parameters.keys()
    documentation = inspect.getdoc(yolocli.detect) or ""
    assert [name for name in parameters if f"\n    {name}: " not in documentation] == []


def test_all_that_is_published_is_there() -> None:
    assert [name for name in yolocli.__all__ if not hasattr(yolocli, name)] == []


def test_prune_without_an_output_folder_is_wrong_usage(folder: Path) -> None:
    with pytest.raises(yolocli.UsageError, match="--prune drops records from a folder: give --output"):
        yolocli.detect([folder], prune=True)


@pytest.mark.usefixtures("fake_detectors")
def test_a_text_stands_for_a_sequence_of_one(folder: Path, tmp_path: Path) -> None:
    (folder / "only.jpg").write_bytes((folder / "a.png").read_bytes())

    def paths(**options: typing.Any) -> list[str]:
        return sorted(outcome.path for outcome in yolocli.detect(folder, **options))

    assert paths(include="*.jpg") == ["only.jpg"]
    assert paths(exclude="*.jpg") == ["a.png", "b.png", "c.png"]
    assert "a.png" in paths(output=tmp_path / "out", formats="csv")
    assert (tmp_path / "out/detections.csv").exists()


@pytest.mark.usefixtures("fake_detectors")
def test_inputs_may_come_from_a_list_alone(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "list").write_text("\0".join(str(folder / name) for name in ("a.png", "c.png")))
    outcomes = list(yolocli.detect(files_from=tmp_path / "list", null=True, ordered=True))
    assert [outcome.ref.source for outcome in outcomes] == [str(folder / "a.png"), str(folder / "c.png")]


@pytest.mark.usefixtures("fake_detectors")
def test_a_call_that_starts_anew_or_leaves_failures_alone(folder: Path, tmp_path: Path) -> None:
    def names(**options: typing.Any) -> list[str]:
        return sorted(outcome.path for outcome in yolocli.detect(folder, output=tmp_path / "out", **options))

    assert names() == ["a.png", "b.png", "c.png"]
    assert names(retry_failed=False) == []
    assert names(overwrite=True) == ["a.png", "b.png", "c.png"]


def test_one_class_is_given_as_a_text(weights: Path, photos: list[Path]) -> None:
    name = "person" if "yolo11n" in weights.name else "qr_code"
    outcomes = list(yolocli.detect(photos[:1], model=weights, classes=name))
    assert isinstance(outcomes[0], ImageResult)
    assert {box.name for box in outcomes[0].detections} <= {name}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"mode": "x"}, "mode x: choose from thread, locked, process"),
        ({"mode": "threads"}, "mode threads: did you mean thread?"),
        ({"runtime": "x"}, "runtime x: choose from auto, openvino, torch"),
        ({"precision": "fp8"}, "precision fp8: choose from fp32, bf16, fp16, int8"),
        ({"imgsz": "640"}, "imgsz='640': give a side in pixels, such as 640, or (height, width)"),
        ({"imgsz": (640,)}, "imgsz=(640,): give a side"),
        ({"imgsz": 640.5}, "imgsz=640.5: give a side"),
        ({"confidence": "0.5"}, "--conf 0.5: must be a number"),
        ({"iou": None}, "--iou None: must be a number"),
        ({"workers": "two"}, "workers two: give a number"),
        ({"batch": 1.5}, "--batch 1.5: must be a whole number"),
        ({"timeout": "30s", "mode": "process"}, "--timeout 30s: must be more than 0 seconds"),
        ({"max_runtime": 0}, "--max-runtime 0: must be more than 0 seconds"),
        ({"max_failures": 0.5}, "--max-failures 0.5: give a number, such as 100, or a share"),
        ({"null": True}, "--null says how the list of --files-from is separated"),
        ({"inputs": ()}, "no input: name files or folders"),
        ({"device": "gpu"}, "--device gpu: give auto, cpu"),
    ],
)
def test_a_wrong_argument_is_a_usage_error_that_says_what_is_allowed(
    folder: Path, arguments: dict[str, typing.Any], says: str
) -> None:
    with pytest.raises(yolocli.UsageError) as caught:
        yolocli.detect(**{"inputs": folder} | arguments)
    assert says in str(caught.value)
