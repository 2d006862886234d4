from __future__ import annotations

import copy
import json
import os
import pickle
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import box, records, ref, result, run, write_image
from yolocli.results import (
    SCHEMA_VERSION,
    Detection,
    ImageFailure,
    ImageRef,
    ImageResult,
    Outcome,
    file_version,
    outcome_from_dict,
    to_json,
)
from yolocli.summary import RunSummary, Tally


@pytest.fixture(scope="module")
def valid() -> Callable[[Any], bool]:
    schema = json.loads(files("yolocli").joinpath("schema/record.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema).is_valid


_names = st.binary(min_size=1, max_size=30).map(os.fsdecode)
_words = st.from_regex(r"[A-Z][A-Za-z]{0,12}", fullmatch=True)
_lines = st.from_regex(r"[^\r\n\x00-\x1f\ud800-\udfff]{1,40}", fullmatch=True)
_numbers = st.integers(0, 10**6).map(lambda number: number / 100)
_timings = st.dictionaries(st.sampled_from(["read", "decode", "prepare", "infer", "post"]), _numbers)
_refs = st.builds(
    ImageRef,
    _names,
    _names,
    st.one_of(st.builds(file_version, st.integers(-1, 2**40), st.integers(-(2**62), 2**62)), st.text(max_size=9)),
)
_boxes = st.builds(
    Detection,
    _lines,
    st.integers(0, 10_000),
    st.integers(0, 10_000).map(lambda n: n / 10_000),
    st.tuples(*[_numbers] * 4),
)
_sides = st.integers(1, 100_000)
_results = st.builds(ImageResult, _refs, _sides, _sides, st.lists(_boxes, max_size=3).map(tuple), _timings)
_stages = st.sampled_from(["discover", "read", "decode", "prepare", "infer", "post", "worker"])
_failures = st.builds(ImageFailure, _refs, _stages, _words, _lines, _timings)
outcomes = st.one_of(_results, _failures)


@given(outcome=outcomes, timings=st.booleans())
def test_a_record_is_valid_and_comes_back_as_the_same_value(
    valid: Callable[[Any], bool], outcome: Outcome, timings: bool
) -> None:
    line = to_json(outcome.to_dict(timings=timings))
    assert b"\n" not in line
    record = json.loads(line)
    assert valid(record)
    assert ("timings_ms" in record) is timings
    ref = outcome.ref
    back = outcome_from_dict(record | {"version": ref.version})
    assert back == outcome
    assert dict(back.timings) == (dict(outcome.timings) if timings else {})
    assert os.fsencode(back.path) == os.fsencode(outcome.path)


@given(outcome=outcomes)
def test_outcomes_are_values(outcome: Outcome) -> None:
    again = pickle.loads(pickle.dumps(outcome))
    assert again == outcome
    assert copy.deepcopy(outcome) == outcome
    with pytest.raises(AttributeError):
        outcome.ref = None  # type: ignore[misc, assignment]


def test_a_record_reads_as_the_documentation_says() -> None:
    umbrella = Detection("umbrella", 25, 0.9123, (0.1, 50.2, 457.9, 629.4))
    outcome = ImageResult(ref("val/36.jpg", source="/data/val/36.jpg"), 481, 640, (umbrella,))
    assert to_json(outcome.to_dict()) == (
        b'{"schema": 1, "path": "val/36.jpg", "source": "/data/val/36.jpg", "status": "ok", '
        b'"width": 481, "height": 640, "detections": '
        b'[{"name": "umbrella", "class": 25, "confidence": 0.9123, '
        b'"box": {"x1": 0.1, "y1": 50.2, "x2": 457.9, "y2": 629.4}}]}'
    )
    failure = ImageFailure(ref("cut.jpg"), "decode", "TruncatedImage", "cut off")
    assert to_json(failure.to_dict()) == (
        b'{"schema": 1, "path": "cut.jpg", "source": "cut.jpg", "status": "failed", '
        b'"stage": "decode", "error": "TruncatedImage", '
        b'"message": "cut off"}'
    )


def test_the_fields_of_a_detection_follow_ultralytics(ultralytics_predict: object, photos: list[Path]) -> None:
    import torch
    from ultralytics.engine.results import Results

    row = torch.tensor([[1.0, 2.0, 3.0, 4.0, 0.5, 0.0]])
    (theirs,) = Results(torch.zeros(8, 8, 3).numpy(), "x.jpg", {0: "person"}, boxes=row).summary()
    assert box().to_dict().keys() == theirs.keys()
    assert box().to_dict()["box"].keys() == theirs["box"].keys()


DROPPED = {"schema": 1, "path": "a.jpg", "source": "/a.jpg", "status": "dropped", "version": ""}
GOOD = {"schema": 1, "path": "a.jpg", "status": "ok", "width": 4, "height": 3, "detections": [box().to_dict()]}
BAD = {"schema": 1, "path": "a.jpg", "status": "failed", "stage": "read", "error": "OSError", "message": "no"}


def _changed(record: dict[str, Any], **changes: Any) -> dict[str, Any]:
    changed = copy.deepcopy(record) | changes
    return {key: value for key, value in changed.items() if value is not None}


@pytest.mark.parametrize(
    "record",
    [
        _changed(GOOD, schema=2),
        _changed(GOOD, path=""),
        _changed(GOOD, path=None),
        _changed(GOOD, source=""),
        _changed(DROPPED, width=1),
        _changed(GOOD, status="failed"),
        _changed(GOOD, status="fine"),
        _changed(GOOD, width=0),
        _changed(GOOD, width=1.5),
        _changed(GOOD, detections=None),
        _changed(GOOD, stage="read"),
        _changed(GOOD, surprise=1),
        _changed(GOOD, timings_ms={"sleep": 1}),
        _changed(GOOD, timings_ms={"read": -1}),
        _changed(GOOD, detections=[_changed(box().to_dict(), confidence=1.5)]),
        _changed(GOOD, detections=[_changed(box().to_dict(), name=None)]),
        _changed(GOOD, detections=[{"name": "a", "class": 0}]),
        _changed(GOOD, detections=[_changed(box().to_dict(), segments={"x": [1.0]})]),
        _changed(GOOD, map={"scale": 1}),
        _changed(GOOD, map={"file": ""}),
        _changed(GOOD, detections=[_changed(box().to_dict(), extra=1)]),
        _changed(GOOD, detections=[_changed(box().to_dict(), box={"x1": 1, "y1": 1, "x2": 1})]),
        _changed(BAD, stage="lunch"),
        _changed(BAD, error="two words"),
        _changed(BAD, message="two\nlines"),
        _changed(BAD, message=None),
        _changed(BAD, width=3),
    ],
)
def test_the_schema_refuses(valid: Callable[[Any], bool], record: dict[str, Any]) -> None:
    assert valid(GOOD)
    assert valid(BAD)
    assert valid(DROPPED)
    assert not valid(record)


def test_another_schema_version_is_not_read() -> None:
    with pytest.raises(ValueError, match="schema 99"):
        outcome_from_dict(result().to_dict() | {"schema": 99})
    with pytest.raises(ValueError, match="status"):
        outcome_from_dict(result().to_dict() | {"status": "fine"})
    assert SCHEMA_VERSION == 1


@pytest.mark.parametrize("timings", [False, True])
def test_every_record_of_a_real_run_is_valid(
    valid: Callable[[Any], bool], timings: bool, weights: Path, photos: list[Path], tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number, photo in enumerate(photos[:2]):
        (folder / f"{number}.jpg").write_bytes(photo.read_bytes())
    write_image(os.fsencode(folder) + b"/\xff\n.png")
    (folder / "empty.jpg").touch()
    (folder / "text.png").write_text("text")
    (folder / "gone.jpg").symlink_to("nowhere")
    outcomes, _ = run(folder, model=str(weights), workers=1, output=tmp_path / "out", timings=timings)
    assert {outcome.status for outcome in outcomes} == {"ok", "failed"}
    lines = records(tmp_path / "out/results.jsonl")
    per_image = [json.loads(file.read_bytes()) for file in (tmp_path / "out/json").iterdir()]
    assert len(lines) == len(per_image) == 6
    for record in [*lines, *per_image]:
        assert valid(record), record
        assert ("timings_ms" in record) is timings
        if timings and record["status"] == "ok":
            assert record["timings_ms"].keys() == {"read", "decode", "prepare", "infer", "post"}


def test_of_a_ranking_of_classes_the_first_counts() -> None:
    ranked = (Detection("cat", 0, 0.9), Detection("dog", 1, 0.05))
    shares = (Detection("sky", 0, more={"pixel_ratio": 0.5}), Detection("sea", 1, more={"pixel_ratio": 0.5}))
    tally = Tally()
    for detections in (ranked, ranked[::-1], shares, (box(), box())):
        tally.add(result(boxes=detections))
    filled = tally.fill(RunSummary("thread", 1, 1, 1, "torch", "a.pt"))
    assert filled.classes == {"person": 2, "cat": 1, "dog": 1, "sea": 1, "sky": 1}
    assert filled.detections == 8
