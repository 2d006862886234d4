"""What every task keeps to: all rows of the registry, and one made up."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from tests.tasks import made_up
from yolocli.config import MASKS
from yolocli.errors import ModelError
from yolocli.images.letterbox import Canvas
from yolocli.results import Detection, Findings
from yolocli.tasks import DEFAULT_TASK, TASKS, find_task
from yolocli.tasks.base import ModelFacts, Raw, Task, Wanted
from yolocli.tasks.candidates import BOX, CLASS, COLUMNS, CONFIDENCE, OWN, no_rows
from yolocli.tasks.fields import Each, Kind
from yolocli.tasks.shape import Keypoint, Shape

FACTS = ModelFacts({0: "cat", 1: "dog", 2: "=cmd"})
CANVAS = Canvas(np.zeros((320, 640, 3), np.uint8), 1280, 640, gain_x=0.5, gain_y=0.5)
"""Twice as large as the network sees it."""
MADE_UP = {**TASKS, "turned": made_up.ROW}
WHOLE = [name for name in TASKS if find_task(name, "a.pt").whole]
BOXED = [name for name in MADE_UP if name not in WHOLE]
OUTPUTS = {"classify": (3,), "semantic": (3, 8, 16), "depth": (1, 16, 32)}
"""What the network of a task for whole images gives for the canvas below."""

OWN_OF: Mapping[str, Callable[[float, float], Any]] = {
    "segment": lambda x, y: 1,  # of maps of ones
    "pose": lambda x, y: [x + 50, y + 50, 0.9] * 17,
}
"""What a task has of its own for a box at a place."""


@pytest.fixture(params=BOXED)
def task(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Task:
    monkeypatch.setattr("yolocli.tasks.TASKS", MADE_UP)
    return find_task(request.param, "a.pt")


@pytest.fixture(params=WHOLE)
def whole(request: pytest.FixtureRequest) -> Task:
    return find_task(request.param, "a.pt")


def raw_of(whole: Task, seed: int = 0) -> Raw:
    return Raw(no_rows(), np.random.default_rng(seed).random(OUTPUTS[whole.name], np.float32))


def rows_of(task: Task, *boxes: tuple[float, ...]) -> np.ndarray:
    """Rows of x, y, confidence and class: boxes of 100 pixels; what the task adds is zero unless `OWN_OF` says it."""
    found = np.zeros((len(boxes), COLUMNS + task.extra(FACTS)), np.float32)
    for row, (x, y, confidence, class_index) in zip(found, boxes, strict=True):
        row[BOX], row[CONFIDENCE], row[CLASS] = (x, y, x + 100, y + 100), confidence, class_index
        row[OWN] = OWN_OF.get(task.name, lambda x, y: 0)(x, y)
    return found


def records_of(task: Task, *boxes: tuple[float, ...]) -> tuple[Detection, ...]:
    rows = rows_of(task, *boxes)
    maps = np.ones((rows.shape[1] - COLUMNS, 80, 160), np.float32) if task.maps else None
    return task.read(Raw(rows, maps), CANVAS, FACTS, Wanted()).detections


def test_a_task_is_called_what_its_row_says(task: Task, request: pytest.FixtureRequest) -> None:
    assert task.name == request.node.callspec.params["task"]
    assert DEFAULT_TASK in TASKS


def test_what_no_row_is_for_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yolocli.tasks.TASKS", MADE_UP)
    with pytest.raises(ModelError, match=rf"a\.pt: a model for 'knit'; supported: {', '.join(MADE_UP)}"):
        find_task("knit", "a.pt")


def test_the_best_of_what_overlaps_is_kept_and_no_more_than_wanted(task: Task) -> None:
    rows = rows_of(task, (0, 0, 0.5, 0), (300, 0, 0.6, 0), (5, 0, 0.9, 0), (5, 5, 0.7, 1))
    before = rows.copy()
    kept = task.suppress(rows, 0.5, 300)
    np.testing.assert_array_equal(kept, rows[[2, 3, 1]])
    np.testing.assert_array_equal(rows, before)
    np.testing.assert_array_equal(task.suppress(rows, 0.5, 1), rows[[2]])
    assert task.suppress(rows[:0], 0.5, 300).shape == (0, COLUMNS + task.extra(FACTS))


def test_records_are_of_the_image_with_the_names_of_the_model(task: Task) -> None:
    cat, dog = records_of(task, (10, 20, 0.123456, 0), (30, 40, 0.1, 1))
    assert (cat.name, cat.class_id, cat.confidence, cat.xyxy) == ("cat", 0, 0.1235, (20.0, 40.0, 220.0, 240.0))
    assert (dog.name, dog.class_id) == ("dog", 1)
    assert records_of(task) == ()


def test_records_cross_processes_and_come_back_from_the_journal(task: Task) -> None:
    for record in records_of(task, (10, 20, 0.5, 0), (30, 40, 0.1, 2)):
        assert pickle.loads(pickle.dumps(record)) == record
        assert Detection.from_dict(json.loads(json.dumps(record.to_dict()))) == record
        assert list(record.to_dict())[:4] == ["name", "class", "confidence", "box"]


def test_a_table_has_a_cell_for_each_column(task: Task) -> None:
    assert len(set(task.columns)) == len(task.columns)
    for record in records_of(task, (10, 20, 0.5, 0), (30, 40, 0.1, 2)):
        row = dict(zip(task.columns, task.cells(record), strict=True))
        assert (row["name"], row["class"], row["confidence"]) == (record.name, record.class_id, record.confidence)
        assert all(isinstance(cell, str | int | float) for cell in row.values())


def fits(value: Any, kind: Kind) -> bool:
    """Tells whether a value is of a kind; of an object, each field that is there."""
    if isinstance(kind, Each):
        return isinstance(value, list) and all(fits(one, kind.kind) for one in value)
    if isinstance(kind, Mapping):
        return isinstance(value, dict) and all(name in kind and fits(value[name], kind[name]) for name in value)
    return type(value) is kind


def assert_fields(task: Task, found: Findings) -> None:
    """Asserts that the fields of a task are those of its records, in their order, and that all of CSV is among them."""
    assert found.detections
    for record in found.detections:
        fields = {name: value for name, value in record.to_dict().items() if name not in {"name", "class"}}
        assert fits(fields, task.fields)
        assert list(fields) == [name for name in task.fields if name in fields]
    assert fits(dict(found.more), task.image_fields)
    box = task.fields.get("box", {})
    assert isinstance(box, Mapping)
    assert {"name", "class", *task.fields, *box} - {"box"} >= set(task.columns)


@pytest.mark.parametrize("masks", MASKS)
def test_fields_say_what_a_record_holds(task: Task, masks: str) -> None:
    rows = rows_of(task, (10, 20, 0.5, 0), (30, 40, 0.1, 2))
    maps = np.ones((rows.shape[1] - COLUMNS, 80, 160), np.float32) if task.maps else None
    assert_fields(task, task.read(Raw(rows, maps), CANVAS, FACTS, Wanted(masks=masks)))


def test_a_shape_is_where_the_record_is(task: Task) -> None:
    for record in records_of(task, (10, 20, 0.5, 0), (30, 40, 0.1, 2)):
        shape = task.shape(Detection.from_dict(json.loads(json.dumps(record.to_dict()))))
        assert shape == task.shape(record)
        assert shape.box == record.xyxy
        assert record.name in task.caption(record)
        assert f"{record.confidence:.2f}" in task.caption(record)


def test_likeness_is_1_for_the_same_and_0_for_what_is_elsewhere(task: Task) -> None:
    one, close, far = records_of(task, (0, 0, 0.5, 0), (20, 0, 0.5, 0), (200, 0, 0.5, 0))
    assert task.likeness(one, one) == 1
    assert 0 < task.likeness(one, close) < 1
    assert task.likeness(one, close) == task.likeness(close, one)
    assert task.likeness(one, far) == pytest.approx(0, abs=1e-9)


def outputs(task: Task, end_to_end: bool) -> tuple[np.ndarray, list[Raw]]:
    """What a network gives for two images, and the same as rows."""
    random = np.random.default_rng(0)
    extra = task.extra(FACTS)
    centre, size = random.uniform(100, 500, (2, 30, 2)), random.uniform(10, 90, (2, 30, 2))
    scores, own = random.random((2, 30, len(FACTS.names))), random.random((2, 30, extra))
    corners = [centre - size / 2, centre + size / 2]
    best, classes = scores.max(2, keepdims=True), scores.argmax(2)[..., None]
    found = np.concatenate([*corners, best, classes, own], 2).astype(np.float32)
    whole = np.concatenate([centre, size, scores, own], 2).transpose(0, 2, 1).astype(np.float32)
    done = np.concatenate([centre, size, found[..., CONFIDENCE:]], 2) if task.centred else found
    return done if end_to_end else whole, [Raw(rows.copy()) for rows in found]


@pytest.mark.parametrize("end_to_end", [False, True])
def test_two_runtimes_are_compared_in_every_column(task: Task, end_to_end: bool) -> None:
    def difference(column: int | None = None, by: Any = 1.0) -> str | None:
        expected, actual = outputs(task, end_to_end)
        if column is not None:
            actual[1].rows[17, column] += by
        return task.difference([expected], actual, FACTS, end_to_end=end_to_end)

    assert difference() is None
    for column in {*range(COLUMNS + task.extra(FACTS))} - {CLASS}:
        assert difference(column), column
        assert difference(column, np.nan), column


def test_a_task_for_whole_images_is_called_what_its_row_says(whole: Task, request: pytest.FixtureRequest) -> None:
    assert whole.name == request.node.callspec.params["whole"]
    assert whole.extra(FACTS) == 0
    assert whole.suppress(no_rows(), 0.5, 300).shape == (0, COLUMNS)


def test_records_of_whole_images_come_back_from_the_journal(whole: Task) -> None:
    before = raw_of(whole)
    found = whole.read(before, CANVAS, FACTS, Wanted())
    assert found.detections
    assert not found.files
    for record in found.detections:
        assert FACTS.names[record.class_id] == record.name
        assert record.xyxy is None
        assert pickle.loads(pickle.dumps(record)) == record
        assert Detection.from_dict(json.loads(json.dumps(record.to_dict()))) == record
        row = dict(zip(whole.columns, whole.cells(record), strict=True))
        assert row == record.to_dict(), "a column for each field"
    np.testing.assert_array_equal(before.maps, raw_of(whole).maps)
    assert whole.read(before, CANVAS, FACTS, Wanted(classes=frozenset())).detections == () or whole.name == "depth"


@pytest.mark.parametrize("maps", [False, True])
def test_fields_say_what_a_record_of_a_whole_image_holds(whole: Task, maps: bool) -> None:
    assert_fields(whole, whole.read(raw_of(whole), CANVAS, FACTS, Wanted(maps=maps)))


def test_a_whole_image_has_no_shape_but_something_to_read(whole: Task) -> None:
    for record in whole.read(raw_of(whole), CANVAS, FACTS, Wanted()).detections:
        assert whole.shape(record) == Shape()
        assert whole.caption(record).startswith(f"{record.name} ")


def test_the_output_of_another_network_is_refused(whole: Task) -> None:
    raw = Raw(no_rows(), np.zeros((84, 5, 6, 7), np.float32))
    with pytest.raises(ModelError, match=rf"output of shape \(84, 5, 6, 7\) is not that of a model for '{whole.name}'"):
        whole.read(raw, CANVAS, FACTS, Wanted())


def test_what_overflows_gives_no_number_that_json_has_not(whole: Task) -> None:
    for value in (np.nan, np.inf, -np.inf):
        raw = raw_of(whole)
        raw.maps.flat[0] = value
        for record in whole.read(raw, CANVAS, FACTS, Wanted(maps=True)).detections:
            json.dumps(record.to_dict(), allow_nan=False)


def test_likeness_of_whole_images_is_1_for_the_same_and_falls(whole: Task) -> None:
    one = whole.read(raw_of(whole), CANVAS, FACTS, Wanted()).detections
    other = whole.read(raw_of(whole, seed=1), CANVAS, FACTS, Wanted()).detections
    assert whole.judged(one)
    for record in one:
        assert whole.likeness(record, record) == 1
        for partner in other:
            if partner.class_id == record.class_id:
                assert whole.likeness(record, partner) == whole.likeness(partner, record)
                assert 0 < whole.likeness(record, partner) < 1 or whole.name == "classify"


def test_two_runtimes_are_compared_in_every_number_of_a_whole_image(whole: Task) -> None:
    def difference(by: float) -> str | None:
        actual = [raw_of(whole), raw_of(whole, seed=1)]
        expected = np.stack([raw.maps for raw in actual])
        actual[1].maps.flat[2] += by
        return whole.difference([expected], actual, FACTS, end_to_end=False)

    assert difference(0) is None
    assert difference(0.01)
    assert difference(np.nan)


def test_importing_a_task_is_light() -> None:
    modules = ", ".join(row.partition(":")[0] for row in TASKS.values())
    code = f"import sys, {modules}; print(sorted({{'numpy', 'cv2', 'torch', 'openvino'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"[]\n"


BOX_OF = {"x1": 1.0, "y1": 2.0, "x2": 9.0, "y2": 8.0}
TURNED = {"x1": 1.0, "y1": 2.0, "x2": 5.0, "y2": 0.0, "x3": 9.0, "y3": 4.0, "x4": 5.0, "y4": 6.0}
RINGS = {"x": [1.0, 9.0, 9.0, 3.0, 4.0, 4.0], "y": [2.0, 2.0, 8.0, 3.0, 3.0, 5.0]}


@pytest.mark.parametrize(
    ("name", "fields", "shape"),
    [
        ("segment", {"segments": RINGS}, {"rings": (tuple(zip(RINGS["x"], RINGS["y"], strict=True)),)}),
        (
            "segment",
            {"segments": {**RINGS, "rings": [3, 3]}},
            {"rings": (((1.0, 2.0), (9.0, 2.0), (9.0, 8.0)), ((3.0, 3.0), (4.0, 3.0), (4.0, 5.0)))},
        ),
        ("segment", {"rle": {"size": [8, 9], "counts": "PW05"}}, {"rle": {"size": [8, 9], "counts": "PW05"}}),
        ("segment", {}, {}),
        (
            "pose",
            {"keypoints": {"x": [1.0, 2.0], "y": [3.0, 4.0], "visible": [0.4, 0.6]}},
            {"keypoints": (Keypoint(1.0, 3.0, 0.4, False), Keypoint(2.0, 4.0, 0.6, True))},
        ),
        ("pose", {"keypoints": {"x": [1.0], "y": [3.0]}}, {"keypoints": (Keypoint(1.0, 3.0, 1.0, True),)}),
        ("obb", {"box": TURNED}, {"corners": ((1.0, 2.0), (5.0, 0.0), (9.0, 4.0), (5.0, 6.0))}),
    ],
)
def test_what_a_task_adds_is_in_its_shape(name: str, fields: dict[str, Any], shape: dict[str, Any]) -> None:
    record = Detection.from_dict({"name": "cat", "class": 0, "confidence": 0.5, "box": BOX_OF, **fields})
    assert find_task(name, "a.pt").shape(record) == Shape(box=record.xyxy, **shape)


def test_of_17_keypoints_limbs_are_known() -> None:
    points = {"x": [float(index) for index in range(17)], "y": [0.0] * 17}
    record = Detection("person", 0, 0.5, (0.0, 0.0, 16.0, 1.0), {"keypoints": points})
    limbs = find_task("pose", "a.pt").shape(record).limbs
    assert {point for limb in limbs for point in limb} == set(range(17))
