"""coco and coco-dataset, as pycocotools, faster-coco-eval and supervision read them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.output.readers import read_with_reader
from tests.output.written import NAMES, RealRun, detections, failure, written
from tests.support import box, result
from yolocli.errors import OutputError
from yolocli.images.rle import encode
from yolocli.output.folder import OutputFolder
from yolocli.output.formats.json_stream import unicode_name
from yolocli.output.journal import Journal
from yolocli.output.projection import rebuild
from yolocli.results import Detection, ImageResult, Outcome
from yolocli.tasks import find_task

FORMATS = ("coco", "coco-dataset")
DATASET = "coco-dataset.json"
READ = """
import contextlib, io, json, sys
from pathlib import Path
from pycocotools.coco import COCO
import faster_coco_eval, faster_coco_eval.core

folder = sys.argv[1]
with contextlib.redirect_stdout(io.StringIO()):
    plain = COCO(f"{folder}/images.json")
    fast = faster_coco_eval.COCO(f"{folder}/images.json")
    results = json.loads(Path(folder, "coco.json").read_text("utf-8"))
    read = {
        "pycocotools": plain.loadRes(f"{folder}/coco.json") if results else plain,
        "faster-coco-eval": fast.loadRes(f"{folder}/coco.json"),
        "dataset": COCO(f"{folder}/coco-dataset.json"),
    }
    answer = {}
    for name, coco in read.items():
        objects = coco.loadAnns(coco.getAnnIds())
        for one in objects:
            if isinstance(one.get("segmentation"), dict):
                counts = one["segmentation"]["counts"]
                one["segmentation"]["counts"] = counts if isinstance(counts, str) else counts.decode()
            if "segmentation" in one and "rle" in sys.argv:
                one["pixels"] = int(coco.annToMask(one).sum())
                one["rows"] = ["".join(map(str, row)) for row in coco.annToMask(one)]
        answer[name] = {
            "images": {one["id"]: [one["file_name"], one["width"], one["height"]] for one in coco.dataset["images"]},
            "classes": {one["id"]: one["name"] for one in coco.loadCats(coco.getCatIds())},
            "categories": coco.loadCats(coco.getCatIds()),
            "objects": sorted(objects, key=lambda one: one["id"]),
        }
    judged = faster_coco_eval.COCO(f"{folder}/coco-dataset.json")
    kind = "segm" if all("segmentation" in one for one in judged.dataset["annotations"]) else "bbox"
    evaluation = faster_coco_eval.COCOeval_faster(judged, judged.loadRes(f"{folder}/coco.json"), kind)
    evaluation.params.maxDets = [1, 10, 1000]
    evaluation.run()
    answer["AP"] = float(evaluation.stats[0])
print(json.dumps(answer))
"""
LOADERS = ("pycocotools", "faster-coco-eval", "dataset")


def _assert_is_the_journal(answer: dict[str, Any], outcomes: Sequence[Outcome]) -> None:
    """All that has a place is there, in every loader: images, classes, scores and boxes."""
    images = {
        str(number): [unicode_name(one.path), one.width, one.height]
        for number, one in enumerate(outcomes, 1)
        if isinstance(one, ImageResult)
    }
    found = [(number, record) for number, _, record in detections(outcomes) if record.xyxy is not None]
    for name in LOADERS:
        read = answer[name]
        assert read["images"] == images, name
        assert [
            (one["image_id"], read["classes"][str(one["category_id"])], one["category_id"] - 1, one["score"])
            for one in read["objects"]
        ] == [(number, record.name, record.class_id, record.confidence) for number, record in found], name
        for one, (_, record) in zip(read["objects"], found, strict=True):
            x, y, width, height = one["bbox"]
            assert (x, y, x + width, y + height) == pytest.approx(record.xyxy, abs=0.011), name
    assert all(one["iscrowd"] == 0 for one in answer["dataset"]["objects"])


def test_what_was_found_is_read_back(real_run: RealRun) -> None:
    folder, outcomes = real_run("detect")
    answer = read_with_reader(READ, folder)
    assert detections(outcomes)
    _assert_is_the_journal(answer, outcomes)
    assert answer["AP"] == pytest.approx(1.0)  # the results are those of the dataset


@pytest.mark.parametrize("outcomes", [[], [result("a.jpg"), result("b.jpg")], [failure()]], ids=len)
def test_a_run_that_found_nothing_is_read_back(outcomes: list[Outcome], tmp_path: Path) -> None:
    written(tmp_path, FORMATS, outcomes)
    answer = read_with_reader(READ, tmp_path)
    _assert_is_the_journal(answer, outcomes)
    assert answer["dataset"]["classes"] == {"1": "person", "6": "bus"}


def test_every_name_is_another_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a system whose encoding is not UTF-8, too, where most programs open files in that encoding."""
    outcomes = [result(name, [box()]) for name in NAMES]
    written(tmp_path, FORMATS, outcomes)
    for name, value in {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}.items():
        monkeypatch.setenv(name, value)
    answer = read_with_reader(READ, tmp_path)
    _assert_is_the_journal(answer, outcomes)
    names = [image[0] for image in answer["dataset"]["images"].values()]
    assert len({name.encode() for name in names}) == len(NAMES)  # each is Unicode, as many readers ask
    as_they_are = {
        name for name in NAMES if name.isascii() or not any("\udc80" <= letter <= "\udcff" for letter in name)
    }
    assert set(names) >= as_they_are - {"\\udcff\\udcfe.jpg"}


def test_what_has_no_place_is_counted(tmp_path: Path) -> None:
    said = written(tmp_path, FORMATS, [failure("a.jpg"), result("b.jpg", [box()]), failure("c.jpg")])
    assert said == [f"{name} has no place for failed images (2)" for name in ("coco.json", DATASET)]
    assert read_with_reader(READ, tmp_path)["dataset"]["images"] == {"2": ["b.jpg", 640, 480]}
    classes = [Detection("cat", 1, 0.9), Detection("dog", 2, 0.05)]
    said = written(tmp_path, FORMATS[1:], [result("a.jpg", classes)], "classify")
    assert said == [f"{DATASET} has no place for records of classify models (2)"]


def test_a_class_that_the_model_does_not_name_has_a_category(tmp_path: Path) -> None:
    written(tmp_path, FORMATS, [result("a.jpg", [box("12", 12), box()])], names={})
    assert read_with_reader(READ, tmp_path)["dataset"]["classes"] == {"1": "person", "13": "12"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full")
def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the images of a dataset wait until its annotations are whole, too."""
    folder = OutputFolder(tmp_path)
    folder.create()
    made = Journal(folder)
    for index in range(3):
        made.append(result(f"{index}.jpg"))
    made.close()
    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: Path("/dev/full").open("r+b", buffering=0))
    with pytest.raises(OutputError, match="cannot be written: No space left"):
        rebuild(tmp_path, ["coco-dataset"])
    assert not (tmp_path / DATASET).exists()


# Masks


def _ring(*points: tuple[float, float]) -> dict[str, list[float]]:
    return {"x": [x for x, _ in points], "y": [y for _, y in points]}


OUTER = ((1.0, 1.0), (1.0, 8.0), (9.0, 8.0), (9.0, 1.0))
HOLE = ((3.0, 3.0), (6.0, 3.0), (6.0, 6.0), (3.0, 6.0))
FAR = ((12.0, 2.0), (12.0, 5.0), (15.0, 5.0))
SPECK = ((17.0, 7.0),)


def _masked(*rings: tuple[tuple[float, float], ...]) -> ImageResult:
    segments = _ring(*(point for ring in rings for point in ring))
    record = Detection("person", 0, 0.5, (1.0, 1.0, 17.0, 8.0), {"segments": segments | {"rings": [*map(len, rings)]}})
    return replace(result("a.jpg", [record]), width=20, height=10)


def test_parts_are_polygons_and_holes_are_pixels(tmp_path: Path) -> None:
    written(tmp_path, FORMATS, [_masked(OUTER), _masked(OUTER, FAR, SPECK), _masked(OUTER, HOLE, FAR)], "segment")
    answer = read_with_reader(READ, tmp_path, "rle")
    for name in LOADERS:
        whole, parts, holed = answer[name]["objects"]
        assert whole["segmentation"] == [[1, 1, 1, 8, 9, 8, 9, 1]]
        assert parts["segmentation"] == [[1, 1, 1, 8, 9, 8, 9, 1], [12, 2, 12, 5, 15, 5], [17, 7] * 3]
        assert holed["segmentation"]["size"] == [10, 20]
        assert holed["rows"] == [
            "00000000000000000000",
            "01111111110000000000",
            "01111111110010000000",
            "01111111110011000000",
            "01110011110011100000",
            "01110011110011110000",
            "01111111110000000000",
            "01111111110000000000",
            "01111111110000000000",
            "00000000000000000000",
        ]
    whole, parts, holed = answer["dataset"]["objects"]
    assert [whole["area"], parts["area"], holed["area"]] == [56, 60.5, holed["pixels"]]


def test_a_mask_at_the_edges_is_read_back(tmp_path: Path) -> None:
    """Runs that go on from one column to the next, and the first and the last pixel."""
    frame = _masked(((0.0, 0.0), (0.0, 9.0), (19.0, 9.0), (19.0, 0.0)), HOLE)
    written(tmp_path, FORMATS, [frame], "segment")
    (read,) = read_with_reader(READ, tmp_path, "rle")["dataset"]["objects"]
    assert read["pixels"] == read["area"] == 200 - 4
    assert read["rows"][0] == read["rows"][9] == "1" * 20


def test_run_lengths_are_handed_on(tmp_path: Path) -> None:
    encoded = {"size": [3, 4], "counts": encode(np.array([1, 5, 11, 12]), 12)}
    record = Detection("person", 0, 0.5, (0.0, 0.0, 3.0, 2.0), {"rle": encoded})
    written(tmp_path, FORMATS, [replace(result("a.jpg", [record]), width=4, height=3)], "segment")
    answer = read_with_reader(READ, tmp_path, "rle")
    for name in LOADERS:
        assert answer[name]["objects"][0]["segmentation"] == encoded
        assert answer[name]["objects"][0]["rows"] == ["0100", "1100", "1001"]
    assert answer["dataset"]["objects"][0]["area"] == 5


def test_a_person_has_a_skeleton(tmp_path: Path) -> None:
    places = [10.0 * index for index in range(17)]
    points = {"x": places, "y": [5.0, *places[1:]], "visible": [0.9] * 15 + [0.1] * 2}
    points["x"][16] = 700.0
    person = replace(box(), more={"keypoints": points})
    written(tmp_path, FORMATS, [result("a.jpg", [person])], "pose")
    answer = read_with_reader(READ, tmp_path)
    for name in LOADERS:
        (read,) = answer[name]["objects"]
        assert read["keypoints"][:6] == [0, 5, 2, 10, 10, 2]
        assert read["keypoints"][2::3] == [2] * 15 + [1, 0]
        assert len(answer[name]["categories"][0]["keypoints"]) == 17
        assert min(map(min, answer[name]["categories"][0]["skeleton"])) == 1
        assert max(map(max, answer[name]["categories"][0]["skeleton"])) == 17
    assert answer["dataset"]["objects"][0]["num_keypoints"] == 16


# Every task, by a real model


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "masks"),
    [("segment", "polygon"), ("segment", "rle"), ("pose", "polygon"), ("obb", "polygon"), ("classify", "polygon")],
)
def test_every_task_is_read_back(task: str, masks: str, real_run: RealRun) -> None:
    folder, outcomes = real_run(task, masks)
    answer = read_with_reader(READ, folder, "rle")
    _assert_is_the_journal(answer, outcomes)
    found = [(one, find_task(task, "").shape(record)) for _, one, record in detections(outcomes)]
    placed = [shape for _, shape in found if shape.box is not None]
    assert bool(placed) is (task != "classify")
    assert len(answer["dataset"]["images"]) == 4
    for name in LOADERS:
        for read, shape in zip(answer[name]["objects"], placed, strict=True):
            if shape.keypoints:
                flat = [number for point in shape.keypoints for number in (point.x, point.y)]
                assert [number for at, number in enumerate(read["keypoints"]) if at % 3 < 2] == flat
                assert read["keypoints"][2::3].count(2) == sum(point.seen for point in shape.keypoints)
            if shape.corners:
                assert read["segmentation"] == [[number for corner in shape.corners for number in corner]]
            if shape.rle:
                assert read["segmentation"] == dict(shape.rle)
    if placed:
        assert answer["AP"] == pytest.approx(1.0)
    if task == "pose":
        assert answer["dataset"]["categories"][0]["keypoints"] == ["0", "1", "2", "3"]
    if task == "segment":
        for read in answer["dataset"]["objects"]:
            line = 2 * (read["bbox"][2] + read["bbox"][3])  # pixels on an outline count by half, or not at all
            assert read["area"] == pytest.approx(read["pixels"], abs=1.5 * line + 1)


def test_the_formats_are_read_by_other_programs(real_run: RealRun) -> None:
    code = """
        import json, sys
        import supervision
        found = supervision.DetectionDataset.from_coco(sys.argv[1], sys.argv[2])
        print(json.dumps([len(found), found.classes, sum(len(one) for one in found.annotations.values())]))
    """
    folder, outcomes = real_run("detect")
    count, classes, boxes = read_with_reader(code, folder.parent / "pictures", folder / DATASET)
    assert (count, boxes) == (4, len(detections(outcomes)))
    assert classes == list(json.loads((folder / "run.json").read_text("utf-8"))["names"].values())
