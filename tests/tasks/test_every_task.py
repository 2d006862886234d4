"""What holds for every task, by a real model: the same bytes whatever the mode, the workers and a stop; one schema."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.support import REPOSITORY, projections, records, run
from tests.tasks.material import MODELS
from yolocli.builtin import WEIGHTS
from yolocli.executors import EXECUTORS
from yolocli.output.projection import rebuild
from yolocli.results import ImageResult, outcome_from_dict
from yolocli.runtimes import RUNTIMES
from yolocli.tasks import TASKS, find_task

pytestmark = pytest.mark.slow

WEIGHTS_OF = {model.task: model.weights for model in reversed(MODELS)} | {"detect": WEIGHTS}
PARTS = ("json", "csv", "maps", "detections.csv", "images.csv", "failures.jsonl")
FORMATS = ("json", "csv", "csv-per-image")
OPTIONS: dict[str, Any] = {"imgsz": (192, 192), "confidence": 0.1, "save_maps": True, "formats": FORMATS, "threads": 1}

RunOf = Callable[..., Path]


def test_every_task_has_a_real_model() -> None:
    assert WEIGHTS_OF.keys() >= TASKS.keys()


@pytest.fixture(scope="module", params=[(task, runtime) for task in TASKS for runtime in RUNTIMES], ids="-".join)
def case(request: pytest.FixtureRequest) -> tuple[str, str]:
    task, runtime = request.param
    if runtime == "openvino":
        request.getfixturevalue("openvino")
        if task in {"detect", "pose", "semantic"} and not request.config.getoption("--long"):
            pytest.skip("with --long: others stand for it")
    return request.param


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some marks, in pictures of several shapes, and a file that is none."""
    folder = tmp_path_factory.mktemp("pictures")
    found = sorted(path for path in (REPOSITORY / "sample_images").rglob("*.jpg") if "broken" not in str(path))
    for picture in found[:: max(len(found) // 6, 1)][:6]:
        shutil.copyfile(picture, folder / picture.name)
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def run_of(case: tuple[str, str], pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> RunOf:
    def run_of(mode: str, workers: int, output: Path | None = None, inputs: Path = pictures) -> Path:
        task, runtime = case
        output = output or tmp_path_factory.mktemp("out") / "out"
        run(inputs, model=str(WEIGHTS_OF[task]), runtime=runtime, mode=mode, workers=workers, output=output, **OPTIONS)
        return output

    return run_of


@pytest.fixture(scope="module")
def alone(run_of: RunOf) -> Path:
    """What one worker makes of the pictures."""
    return run_of("thread", 1)


@pytest.mark.parametrize("mode", EXECUTORS)
def test_the_same_bytes_in_every_mode(mode: str, run_of: RunOf, alone: Path) -> None:
    assert projections(run_of(mode, 2), *PARTS) == projections(alone, *PARTS)


def test_the_same_bytes_after_a_stop(run_of: RunOf, alone: Path, pictures: Path, tmp_path: Path) -> None:
    """Half of the pictures, then the lines of some of them lost as by a kill, then all."""
    shutil.copytree(pictures, tmp_path / "in" / pictures.name)
    folder = tmp_path / "in" / pictures.name
    held_back = {path: path.read_bytes() for path in sorted(folder.iterdir())[::2]}
    for path in held_back:
        path.unlink()
    output = run_of("thread", 2, tmp_path / "out", folder)
    for path, data in held_back.items():
        path.write_bytes(data)
    journal = output / "results.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])
    run_of("process", 2, output, folder)

    def without_place(root: Path, place: Path) -> dict[str, bytes]:
        return {name: data.replace(str(place).encode(), b"") for name, data in projections(root, *PARTS).items()}

    assert without_place(output, folder) == without_place(alone, pictures)


def test_projections_can_be_made_again(alone: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(alone, copy)
    for name in ("json", "csv", "detections.csv", "images.csv"):
        shutil.rmtree(copy / name) if (copy / name).is_dir() else (copy / name).unlink()
    rebuild(copy, FORMATS)
    assert projections(copy, *PARTS) == projections(alone, *PARTS)


def test_records_are_what_the_schema_says_and_come_back_as_values(alone: Path, case: tuple[str, str]) -> None:
    schema = json.loads(files("yolocli").joinpath("schema/record.schema.json").read_text("utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    of_task = jsonschema.Draft202012Validator({"$ref": f"#/$defs/{case[0]}", "$defs": schema["$defs"]})
    task, seen = find_task(case[0], "a model"), 0
    for record in records(alone / "results.jsonl"):
        validator.validate(record)
        outcome = outcome_from_dict(record)
        assert outcome.to_dict().items() <= record.items()
        if isinstance(outcome, ImageResult):
            for fields, detection in zip(record["detections"], outcome.detections, strict=True):
                of_task.validate(fields)
                assert len(task.cells(detection)) == len(task.columns)
                assert task.likeness(detection, detection) == pytest.approx(1)
                seen += 1
            assert ("map" in record) is (case[0] in {"semantic", "depth"})
            assert "map" not in record or (alone / record["map"]["file"]).stat().st_size > 0
    assert seen > 0, "the model finds nothing in these pictures: no test"
    assert json.loads((alone / "run.json").read_text())["task"] == case[0]
