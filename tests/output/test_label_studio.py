"""label-studio, as Label Studio's own SDK validates it; and from percent back to pixels."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from tests.output.readers import read_with_reader
from tests.output.written import NAMES, WEIGHTS_OF, RealRun, detections, failure, written
from tests.support import box, result
from yolocli.images.rings import area
from yolocli.output.formats.json_stream import unicode_name
from yolocli.results import Detection, ImageResult, Outcome
from yolocli.sources.names import Root
from yolocli.tasks import find_task
from yolocli.tasks.shape import Point

READ = """
import json, sys
from label_studio_sdk.label_interface import LabelInterface

folder = sys.argv[1]
with open(f"{folder}/label_config.xml", encoding="utf-8") as stream:
    interface = LabelInterface(stream.read())
interface.validate()
with open(f"{folder}/tasks.json") as stream:
    tasks = json.load(stream)
for task in tasks:
    for prediction in task["predictions"]:
        errors = interface.validate_prediction(prediction, return_errors=True)
        assert not errors, errors
        assert interface.validate_prediction(prediction)
    assert all(task["data"].get(one.value_name) for one in interface.objects)
controls = {control.tag: control.labels for control in interface.controls}
print(json.dumps({"tasks": tasks, "controls": controls}))
"""


LEFT_OUT = "tasks.json has no place for"


def _read(folder: Path) -> dict[str, Any]:
    answer: dict[str, Any] = read_with_reader(READ, folder)
    return answer


def _regions(answer: dict[str, Any]) -> list[list[dict[str, Any]]]:
    return [task["predictions"][0]["result"] for task in answer["tasks"]]


def _pixels(region: dict[str, Any], x: float, y: float) -> Point:
    return x * region["original_width"] / 100, y * region["original_height"] / 100


def _corners(region: dict[str, Any]) -> list[Point]:
    """Returns the corners of a rectangle, turned about its upper left one as Label Studio turns it."""
    value = region["value"]
    left, top = _pixels(region, value["x"], value["y"])
    width, height = _pixels(region, value["width"], value["height"])
    cos, sin = math.cos(math.radians(value["rotation"])), math.sin(math.radians(value["rotation"]))
    places = ((0.0, 0.0), (width, 0.0), (width, height), (0.0, height))
    return [(left + x * cos - y * sin, top + x * sin + y * cos) for x, y in places]


def _same_corners(found: Sequence[Point], expected: Sequence[Point], pixels: float) -> bool:
    return all(min(math.dist(one, other) for other in found) <= pixels for one in expected)


def _results(outcomes: Sequence[Outcome]) -> list[ImageResult]:
    return [one for one in outcomes if isinstance(one, ImageResult)]


# Every task, by a real model


def test_boxes_are_read_back(real_run: RealRun) -> None:
    folder, outcomes = real_run("detect")
    assert detections(outcomes)
    answer = _read(folder)
    assert answer["controls"] == {"RectangleLabels": ["qr_code", "barcode", "data_matrix", "aruco_marker"]}
    for task, regions, one in zip(answer["tasks"], _regions(answer), _results(outcomes), strict=True):
        assert task["data"]["path"] == one.path
        assert task["predictions"][0]["model_version"] == WEIGHTS_OF["detect"].name
        assert [(region["value"]["rectanglelabels"], region["score"]) for region in regions] == [
            ([record.name], record.confidence) for record in one.detections
        ]
        for region, record in zip(regions, one.detections, strict=True):
            assert (region["original_width"], region["original_height"]) == (one.width, one.height)
            left_top, _, right_bottom, _ = _corners(region)
            assert (*left_top, *right_bottom) == pytest.approx(record.xyxy, abs=0.01)
        assert one.ref.source == _served(folder, task["data"]["image"])


def _served(folder: Path, address: str) -> str:
    """Returns the file that Label Studio opens, started as we say."""
    lines = (folder / "label-studio.txt").read_text("utf-8").splitlines()
    (root_line,) = [line for line in lines if "DOCUMENT_ROOT" in line]
    parts = urlsplit(address)
    assert parts.path == "/data/local-files/"
    document_root = root_line.partition("=")[2].rstrip(" \\")
    assert any(line == f"   {folder.parent}/pictures" for line in lines), "the folder to name as a storage"
    return os.path.join(document_root, parse_qs(parts.query)["d"][0])


@pytest.mark.slow
@pytest.mark.parametrize("masks", ["polygon", "rle"])
def test_masks_are_read_back(masks: str, real_run: RealRun) -> None:
    folder, outcomes = real_run("segment", masks)
    answer = _read(folder)
    assert detections(outcomes)
    task = find_task("segment", "")
    for regions, one in zip(_regions(answer), _results(outcomes), strict=True):
        assert {region["value"]["polygonlabels"][0] for region in regions if region["type"] == "polygonlabels"} <= {
            record.name for record in one.detections
        }
        rings = [
            [_pixels(region, *point) for point in region["value"]["points"]]
            for region in regions
            if region["type"] == "polygonlabels"
        ]
        for record in one.detections:
            shape = task.shape(record)
            assert shape.box is not None
            for ring in shape.rings:
                near = [made for made in rings if len(made) == len(ring)]
                assert len(ring) < 3 or any(_same_corners(made, ring, 0.01) for made in near)
        if masks == "rle":
            assert rings or not one.detections
            assert all(area(ring) for ring in rings)


@pytest.mark.slow
def test_poses_are_read_back(real_run: RealRun) -> None:
    folder, outcomes = real_run("pose")
    answer = _read(folder)
    assert answer["controls"]["KeyPointLabels"] == ["0", "1", "2", "3"]
    task = find_task("pose", "")
    for regions, one in zip(_regions(answer), _results(outcomes), strict=True):
        found = iter(regions)
        for record in one.detections:
            whole = next(found)
            assert whole["value"]["rectanglelabels"] == [record.name]
            for index, point in enumerate(task.shape(record).keypoints):
                if 0 <= point.x <= one.width and 0 <= point.y <= one.height:
                    region = next(found)
                    assert (region["parentID"], region["value"]["keypointlabels"]) == (whole["id"], [str(index)])
                    place = _pixels(region, region["value"]["x"], region["value"]["y"])
                    assert place == pytest.approx((point.x, point.y), abs=0.01)
        assert next(found, None) is None


@pytest.mark.slow
def test_rotated_boxes_are_read_back(real_run: RealRun) -> None:
    folder, outcomes = real_run("obb")
    answer = _read(folder)
    task = find_task("obb", "")
    turned = 0
    for regions, one in zip(_regions(answer), _results(outcomes), strict=True):
        for region, record in zip(regions, one.detections, strict=True):
            corners = task.shape(record).corners
            assert _same_corners(_corners(region), corners, 0.05)
            turned += region["value"]["rotation"] % 90 > 1
    assert turned


@pytest.mark.slow
def test_classes_are_read_back(real_run: RealRun) -> None:
    folder, outcomes = real_run("classify")
    answer = _read(folder)
    for (region,), one in zip(_regions(answer), _results(outcomes), strict=True):
        best, made = one.detections[0], (region["type"], region["value"]["choices"], region["score"])
        assert made == (
            "choices",
            [best.name],
            best.confidence,
        )


# What records can be


@pytest.mark.parametrize(
    ("task", "outcomes"),
    [("detect", []), ("classify", []), ("segment", [result("a.jpg"), result("b.jpg")]), ("semantic", [failure()])],
)
def test_a_run_that_found_nothing_is_read_back(task: str, outcomes: list[Outcome], tmp_path: Path) -> None:
    written(tmp_path, ["label-studio"], outcomes, task)
    answer = _read(tmp_path)
    assert _regions(answer) == [[] for _ in _results(outcomes)]
    assert list(answer["controls"].values()) == [["person", "bus"]]


def _turned(corners: Sequence[Point]) -> Detection:
    names = ("x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4")
    numbers = dict(zip(names, (number for corner in corners for number in corner), strict=True))
    return Detection.from_dict({"name": "bus", "class": 5, "confidence": 0.5, "box": numbers})


def test_a_rotated_box_is_the_same_whatever_corner_comes_first(tmp_path: Path) -> None:
    boxes = []
    for degrees in range(-180, 180, 15):
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        corners = [
            (100 + x * cos - y * sin, 90 + x * sin + y * cos) for x, y in ((40, 20), (40, -20), (-40, -20), (-40, 20))
        ]
        boxes += [corners, corners[::-1]]
    assert written(tmp_path, ["label-studio"], [result("a.jpg", list(map(_turned, boxes)))], "obb") == []
    for region, corners in zip(_regions(_read(tmp_path))[0], boxes, strict=True):
        assert _same_corners(_corners(region), corners, 0.001)
        assert min(region["value"]["rotation"], 360 - region["value"]["rotation"]) <= 45.001


def test_a_rotated_box_reaches_out_of_the_image(tmp_path: Path) -> None:
    some = [(-20.0, 240.0), (30.0, 190.0), (60.0, 220.0), (10.0, 270.0)]
    every = [(-100.0, 240.0), (320.0, -180.0), (740.0, 240.0), (320.0, 660.0)]
    said = written(tmp_path, ["label-studio"], [result("a.jpg", [_turned(some), _turned(every)])], "obb")
    assert said == [f"{LEFT_OUT} rotations of boxes that reach too far out of their images (1)"]
    first, second = _regions(_read(tmp_path))[0]
    assert _same_corners(_corners(first), some, 0.01)
    assert _same_corners(_corners(second), [(0, 0), (640, 0), (640, 480), (0, 480)], 0.01)


def test_holes_and_specks_are_left_out_and_parts_are_not(tmp_path: Path) -> None:
    outer, hole = [(10.0, 10.0), (10.0, 80.0), (90.0, 80.0), (90.0, 10.0)], [(30.0, 30.0), (60.0, 30.0), (60.0, 60.0)]
    inner, far = [(50.0, 35.0), (52.0, 35.0), (52.0, 37.0)], [(120.0, 20.0), (120.0, 50.0), (150.0, 50.0)]
    rings = [outer, hole, inner, far, [(9.0, 9.0)]]
    points = [point for ring in rings for point in ring]
    segments = {"x": [x for x, _ in points], "y": [y for _, y in points], "rings": [len(ring) for ring in rings]}
    record = Detection("bus", 5, 0.5, (9.0, 9.0, 150.0, 80.0), {"segments": segments})
    speck = Detection("bus", 5, 0.5, (9.0, 9.0, 10.0, 10.0), {"segments": {"x": [9.0], "y": [9.0]}})
    said = written(tmp_path, ["label-studio"], [result("a.jpg", [record]), result("b.jpg", [speck])], "segment")
    assert said == [f"{LEFT_OUT} holes in masks (1)"]
    parts, boxes = _regions(_read(tmp_path))
    for region, ring in zip(parts, (outer, inner, far), strict=True):
        made = [_pixels(region, *point) for point in region["value"]["points"]]
        assert np.array(made) == pytest.approx(np.array(ring), abs=0.001)
    assert [region["type"] for region in boxes] == ["rectanglelabels"]


CLASSES = {0: 'a "b" & <c>', 1: "two\nlines", 2: "\N{FROG FACE}", 3: "nul\0", 4: " ", 5: "frog", 6: "frog", 7: "$image"}


def test_classes_are_called_anything(tmp_path: Path) -> None:
    boxes = [box(name, index) for index, name in CLASSES.items()] + [box("unknown", 99)]
    written(tmp_path, ["label-studio"], [result("a.jpg", boxes)], names=CLASSES)
    answer = _read(tmp_path)
    labels = [region["value"]["rectanglelabels"][0] for region in _regions(answer)[0]]
    assert labels == [
        'a "b" & <c>',
        "two\nlines",
        "\N{FROG FACE}",
        "nul\\x00",
        "4",
        "frog",
        "frog",
        "$image",
        "unknown",
    ]
    assert answer["controls"]["RectangleLabels"] == list(dict.fromkeys(labels))


# Where images are


@pytest.mark.parametrize(
    ("image_root", "address"),
    [
        ("", "/data/local-files/?d=photos/a/1%23.jpg"),
        ("s3://bucket/photos/", "s3://bucket/photos/a/1#.jpg"),
        ("s3://bucket/photos", "s3://bucket/photos/a/1#.jpg"),
        ("http://host:8080/photos", "http://host:8080/photos/a/1%23.jpg"),
        ("/data/local-files/?d=", "/data/local-files/?d=a/1%23.jpg"),
        ("/data/local-files/?d=photos", "/data/local-files/?d=photos/a/1%23.jpg"),
        ("photos", "/data/local-files/?d=photos/a/1%23.jpg"),
        ("/mnt/photos", "/data/local-files/?d=photos/a/1%23.jpg"),
    ],
)
def test_images_are_looked_for_where_they_lie(image_root: str, address: str, tmp_path: Path) -> None:
    outcome = result("a/1#.jpg")
    outcome = replace(outcome, ref=replace(outcome.ref, source="/srv/photos/a/1#.jpg"))
    text = f"label-studio:image-root={image_root}" if image_root else "label-studio"
    written(tmp_path, [text], [outcome], roots=(Root("/srv/photos"),))
    (task,) = json.loads((tmp_path / "tasks.json").read_text())
    assert task["data"] == {"image": address, "path": "a/1#.jpg"}
    steps = (tmp_path / "label-studio.txt").read_text("utf-8")
    served = {"": "/srv", "/mnt/photos": "/mnt"}.get(image_root)
    assert (f"DOCUMENT_ROOT={served} \\\n" in steps) if served else ("DOCUMENT_ROOT" not in steps)


def test_folders_of_several_places_are_all_shown(tmp_path: Path) -> None:
    roots = (Root("/srv/one/a"), Root("/srv/two", "two"))
    outcomes = [result("1.jpg", source="/srv/one/a/1.jpg"), result("two/1.jpg", source="/srv/two/1.jpg")]
    written(tmp_path, ["label-studio"], outcomes, roots=roots)
    assert [task["data"]["image"] for task in json.loads((tmp_path / "tasks.json").read_text())] == [
        "/data/local-files/?d=srv/one/a/1.jpg",
        "/data/local-files/?d=srv/two/1.jpg",
    ]
    steps = (tmp_path / "label-studio.txt").read_text("utf-8")
    assert all(line in steps for line in ("   /srv/one/a\n", "   /srv/two\n", "DOCUMENT_ROOT=/ "))


def test_images_in_archives_have_tasks_where_it_is_said_where_they_lie(tmp_path: Path) -> None:
    outcomes = [result(name, source=f"/srv/{name}") for name in ("p.tar::1.jpg", "2.jpg")]
    said = written(tmp_path, ["label-studio"], outcomes, roots=(Root("/srv"),))
    assert [task["data"]["path"] for task in _read(tmp_path)["tasks"]] == ["2.jpg"]
    assert said == ["tasks.json has no place for images in archives: give --image-root (1)"]
    said = written(tmp_path, ["label-studio:image-root=s3://b"], outcomes, roots=(Root("/srv"),))
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    assert ([task["data"]["image"] for task in tasks], said) == (["s3://b/p.tar::1.jpg", "s3://b/2.jpg"], [])


def test_every_name_is_another_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, ["label-studio"], [result(name, [box()]) for name in NAMES])
    for name, value in {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}.items():
        monkeypatch.setenv(name, value)
    tasks = _read(tmp_path)["tasks"]
    assert [task["data"]["path"] for task in tasks] == list(map(unicode_name, NAMES))
    queries = [urlsplit(task["data"]["image"]).query for task in tasks]
    assert [parse_qs(query, errors="surrogateescape")["d"] for query in queries] == [[name] for name in NAMES]


def test_what_has_no_place_is_counted(tmp_path: Path) -> None:
    point = {"x": [700.0, 5.0], "y": [5.0, 5.0], "visible": [0.9, 0.1]}
    posed = replace(box(), more={"keypoints": point})
    said = written(tmp_path, ["label-studio"], [failure(), result("b.jpg", [posed])], "pose")
    assert said == ["tasks.json has no place for failed images (1), keypoints outside of their images (1)"]
    said = written(
        tmp_path, ["label-studio"], [result("a.jpg", [Detection("sky", 1, more={"pixel_ratio": 1.0})])], "semantic"
    )
    assert said == ["tasks.json has no place for records of semantic models (1)"]
    assert json.loads((tmp_path / "tasks.json").read_text())[0]["predictions"][0]["result"] == []
