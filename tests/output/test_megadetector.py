"""megadetector, as the validator of megadetector-utils reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.output.readers import read_with_reader
from tests.output.written import NAMES, RealRun, detections, failure, written
from tests.support import box, result
from yolocli.output.formats.json_stream import unicode_name
from yolocli.results import Detection, ImageFailure, ImageResult, Outcome
from yolocli.tasks import find_task

READ = """
import json, sys
from megadetector.postprocessing.validate_batch_results import ValidateBatchResultsOptions, validate_batch_results

options = ValidateBatchResultsOptions()
options.raise_errors = options.return_data = True
answer = validate_batch_results(f"{sys.argv[1]}/megadetector.json", options)
print(json.dumps(answer))
"""


def _read(folder: Path) -> dict[str, Any]:
    answer: dict[str, Any] = read_with_reader(READ, folder)
    validation = answer.pop("validation_results")
    assert (validation["errors"], validation["warnings"]) == ([], [])
    return answer


def _assert_is_the_journal(answer: dict[str, Any], outcomes: list[Outcome], task: str = "detect") -> None:
    names = answer["detection_categories"]
    assert "0" not in names
    assert [image["file"] for image in answer["images"]] == [unicode_name(one.path) for one in outcomes]
    for image, one in zip(answer["images"], outcomes, strict=True):
        if isinstance(one, ImageFailure):
            assert image["detections"] is None
            assert one.error in image["failure"]
            continue
        records = [record for record in one.detections if record.xyxy is not None]
        assert [(names[found["category"]], found["conf"]) for found in image["detections"]] == [
            (record.name, record.confidence) for record in records
        ]
        for found, record in zip(image["detections"], records, strict=True):
            x, y, width, height = found["bbox"]
            shape = find_task(task, "").shape(record)
            assert shape.box is not None
            sides = (one.width, one.height)
            inside = [min(max(value, 0), sides[at % 2]) for at, value in enumerate(shape.box)]
            assert [x * one.width, y * one.height, (x + width) * one.width, (y + height) * one.height] == pytest.approx(
                inside, abs=0.02
            )


@pytest.mark.parametrize("task", ["detect", *(pytest.param(task, marks=pytest.mark.slow) for task in ("pose", "obb"))])
def test_what_was_found_is_read_back(task: str, real_run: RealRun) -> None:
    folder, outcomes = real_run(task)
    assert {type(one) for one in outcomes} == {ImageResult, ImageFailure}
    assert detections(outcomes)
    answer = _read(folder)
    _assert_is_the_journal(answer, outcomes, task)
    assert answer["info"]["format_version"] == "1.6"
    assert answer["detection_categories"]["1"] == "qr_code"


@pytest.mark.parametrize("outcomes", [[], [result("a.jpg"), result("b.jpg")], [failure()]], ids=len)
def test_a_run_that_found_nothing_is_read_back(outcomes: list[Outcome], tmp_path: Path) -> None:
    assert written(tmp_path, ["megadetector"], outcomes) == []
    _assert_is_the_journal(_read(tmp_path), outcomes)


def test_every_name_is_another_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes: list[Outcome] = [result(name, [box()]) for name in NAMES]
    written(tmp_path, ["megadetector"], outcomes, settings={"model": "/models/md_v5a.0.0.pt"})
    for name, value in {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}.items():
        monkeypatch.setenv(name, value)
    answer = _read(tmp_path)
    _assert_is_the_journal(answer, outcomes)
    assert len({image["file"].encode() for image in answer["images"]}) == len(NAMES)
    assert answer["info"]["detector"] == "md_v5a.0.0.pt"


def test_a_confidence_is_never_a_whole_number(tmp_path: Path) -> None:
    written(tmp_path, ["megadetector"], [result("a.jpg", [Detection("person", 0, 1, (0.0, 0.0, 640.0, 480.0))])])
    (image,) = _read(tmp_path)["images"]  # the validator asks for it
    assert image["detections"] == [{"category": "1", "conf": 1.0, "bbox": [0, 0, 1, 1]}]


def test_a_class_without_a_name_has_one(tmp_path: Path) -> None:
    written(tmp_path, ["megadetector"], [result("a.jpg", [box("12", 12)])], names={0: " "})
    assert _read(tmp_path)["detection_categories"] == {"1": "0", "13": "12"}


def test_classes_of_images_are_classifications(tmp_path: Path) -> None:
    classes = [Detection("cat", 1, 0.9), Detection("dog", 0, 0.05)]
    written(tmp_path, ["megadetector"], [result("a.jpg", classes), failure()], "classify", {0: "dog", 1: "cat"})
    answer = _read(tmp_path)
    (found,) = answer["images"][0]["detections"]
    assert found["bbox"] == [0, 0, 1, 1]
    assert [(answer["classification_categories"][index], score) for index, score in found["classifications"]] == [
        ("cat", 0.9),
        ("dog", 0.05),
    ]


def test_what_has_no_place_is_counted(tmp_path: Path) -> None:
    classes = [Detection("sky", 1, more={"pixel_ratio": 0.4})]
    said = written(tmp_path, ["megadetector"], [result("a.jpg", classes)], "semantic", {1: "sky"})
    assert said == ["megadetector.json has no place for records of semantic models (1)"]
    assert json.loads((tmp_path / "megadetector.json").read_text())["images"] == [{"file": "a.jpg", "detections": []}]
    _read(tmp_path)
