"""Labels of every task, read back by supervision and by Ultralytics, which trains on them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from tests.output.data_sets import boxes_of
from tests.output.readers import read_with_reader
from tests.support import REPOSITORY, clean_environment, ref, run, write_image
from tests.tasks.material import MODELS
from tests.tasks.material.train import architecture
from yolocli.builtin import WEIGHTS
from yolocli.output.folder import OutputFolder
from yolocli.output.formats import find_format
from yolocli.output.formats.base import Context
from yolocli.output.formats.yolo import joined
from yolocli.output.projection import rebuild
from yolocli.results import Detection, ImageFailure, ImageResult, Outcome

NAMES = {0: "cat", 1: "dog"}
BOX = (10.0, 20.0, 60.0, 80.0)
BOXES_READ = """
    import json, sys
    from pathlib import Path
    import supervision
    images, labels, data, turned = sys.argv[1:]
    found = supervision.DetectionDataset.from_yolo(images, labels, data, is_obb=turned == "obb")
    boxes = {}
    for path, one in found.annotations.items():
        rows = zip(one.class_id, one.xyxy) if len(one) else ()
        boxes[Path(path).name] = [[int(index), *map(float, box)] for index, box in rows]
    print(json.dumps({"classes": found.classes, "boxes": boxes}))
"""


def write(root: Path, task: str, *lines: Outcome, names: dict[int, str] = NAMES, wanted: str = "yolo") -> list[str]:
    """Returns what is told of labels that are written."""
    told: list[str] = []
    folder = OutputFolder(root)
    folder.create()
    found = find_format(wanted)
    assert found.final is not None
    writer = found.final(Context(folder, names, task, options=found.options, notice=told.append))
    for line in lines:
        writer.add(line)
    writer.close()
    folder.close()
    return told


def found(*records: Detection, path: str = "1.jpg") -> ImageResult:
    return ImageResult(ref(path), 100, 200, records)


def label(root: Path, name: str = "1") -> list[list[float]]:
    return [[float(cell) for cell in line.split()] for line in (root / f"labels/{name}.txt").read_text().splitlines()]


# Lines


def test_a_box_is_its_centre_and_size_in_shares_of_the_image(tmp_path: Path) -> None:
    write(tmp_path, "detect", found(Detection("dog", 1, 0.25, BOX), Detection("cat", 0, 0.5, (-9, 0, 109, 200))))
    assert (tmp_path / "labels/1.txt").read_text() == (
        "1 0.350000 0.250000 0.500000 0.300000\n0 0.500000 0.500000 1.000000 1.000000\n"
    )


def test_the_confidence_is_last_and_only_when_asked_for(tmp_path: Path) -> None:
    write(tmp_path, "detect", found(Detection("dog", 1, 0.25, BOX)), wanted="yolo:save-conf=true")
    assert label(tmp_path) == [[1, 0.35, 0.25, 0.5, 0.3, 0.25]]


def test_nothing_found_is_an_empty_file_and_a_failure_is_none(tmp_path: Path) -> None:
    told = write(tmp_path, "detect", found(), ImageFailure(ref("2.jpg"), "decode", "X", "x"))
    assert [path.name for path in (tmp_path / "labels").iterdir()] == ["1.txt"]
    assert label(tmp_path) == []
    assert len(told) == 1
    assert "failed images (1)" in told[0]


def test_keypoints_are_seen_covered_or_outside(tmp_path: Path) -> None:
    points = {"x": [10.0, 50.0, -3.0], "y": [20.0, 100.0, 5.0], "visible": [0.9, 0.2, 0.9]}
    write(tmp_path, "pose", found(Detection("cat", 0, 0.5, BOX, {"keypoints": points})))
    assert label(tmp_path) == [[0, 0.35, 0.25, 0.5, 0.3, 0.1, 0.1, 2, 0.5, 0.5, 1, 0, 0, 0]]
    assert yaml.safe_load((tmp_path / "data.yaml").read_text())["kpt_shape"] == [3, 3]


def test_a_rotated_box_is_its_corners_none_outside(tmp_path: Path) -> None:
    corners = dict(
        zip(("x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4"), (50, 10, 110, 50, 50, 90, -5, 50), strict=True)
    )
    write(tmp_path, "obb", found(Detection("cat", 0, 0.5, (-5, 10, 110, 90), {"box": corners})))
    assert label(tmp_path) == [[0, 0.5, 0.05, 1, 0.25, 0.5, 0.45, 0, 0.25]]


def ring(left: int, top: int, right: int, bottom: int) -> list[tuple[float, float]]:
    return [(left, top), (left, bottom), (right, bottom), (right, top)]


def test_rings_become_one_polygon_that_is_filled_as_they_are() -> None:
    rings = [ring(10, 10, 50, 60), ring(20, 20, 30, 30), ring(35, 40, 45, 50), ring(60, 5, 90, 90)]
    expected, actual = (np.zeros((100, 100), np.uint8) for _ in range(2))
    cv2.fillPoly(expected, [np.array(one, np.int32) for one in rings], 1)
    cv2.fillPoly(actual, [np.array(joined(rings), np.int32)], 1)
    paths = np.zeros((100, 100), np.uint8)
    cv2.polylines(paths, [np.array(joined(rings), np.int32)], True, 1)
    assert not ((expected != actual) & (paths == 0)).any(), "but for the paths between rings"
    assert (expected != actual).sum() < 60


@pytest.mark.parametrize("count", [1, 2])
def test_a_mask_of_a_pixel_is_a_polygon_still(count: int, tmp_path: Path) -> None:
    more = {"segments": {"x": [10.0, 20.0][:count], "y": [20.0, 40.0][:count]}}
    write(tmp_path, "segment", found(Detection("cat", 0, 0.5, BOX, more)))
    assert len(label(tmp_path)[0]) == 7


def test_run_lengths_are_traced(tmp_path: Path) -> None:
    mask = pytest.importorskip("pycocotools.mask")
    pixels = np.zeros((200, 100), np.uint8)
    pixels[20:81, 10:61] = 1
    pixels[40:50, 30:40] = 0
    encoded = mask.encode(np.asfortranarray(pixels))
    rle = {"size": [200, 100], "counts": encoded["counts"].decode()}
    write(tmp_path, "segment", found(Detection("cat", 0, 0.5, BOX, {"rle": rle})))
    points = np.array(label(tmp_path)[0][1:]).reshape(-1, 2) * (100, 200)
    filled = np.zeros((200, 100), np.uint8)
    cv2.fillPoly(filled, [points.round().astype(np.int32)], 1)
    assert (filled != pixels).sum() <= 30, "a path to the hole"


# data.yaml


@pytest.mark.parametrize(
    "name",
    ["person", 'q"uo\\te', "yes", "a: b", "čeština 人 🐈", "line\nbreak\t", "\x07\x7f\x85\u2028\ufeff", "", "# x"],
)
def test_class_names_come_back(name: str, tmp_path: Path) -> None:
    write(tmp_path, "detect", names={0: name, 1: "other"})
    assert yaml.safe_load((tmp_path / "data.yaml").read_text("utf-8"))["names"] == {0: name, 1: "other"}


def test_classes_are_numbered_without_gaps(tmp_path: Path) -> None:
    write(tmp_path, "detect", found(Detection("late", 3, 0.5, BOX)), names={1: "dog"})
    names = yaml.safe_load((tmp_path / "data.yaml").read_text())["names"]
    assert names == {0: "class_0", 1: "dog", 2: "class_2", 3: "late"}


def test_keypoints_are_as_many_as_the_model_has_if_nothing_is_found(tmp_path: Path) -> None:
    (model,) = (one for one in MODELS if one.name == "pose-yolo11")
    write_image(tmp_path / "a.png", 64, 64)
    formats = ("yolo", "coco-dataset")
    asked = {"model": str(model.weights), "imgsz": (64, 64), "confidence": 0.99}
    run(tmp_path / "a.png", output=tmp_path / "out", workers=1, formats=formats, **asked)
    for _ in range(2):
        assert yaml.safe_load((tmp_path / "out/data.yaml").read_text())["kpt_shape"] == [4, 3]
        dataset = json.loads((tmp_path / "out/coco-dataset.json").read_text())
        assert dataset["annotations"] == []
        assert [one["keypoints"] for one in dataset["categories"]] == [["0", "1", "2", "3"]] * len(
            dataset["categories"]
        )
        rebuild(tmp_path / "out", formats)


def test_a_model_without_places_has_no_labels_and_that_is_said(tmp_path: Path) -> None:
    told = write(tmp_path, "classify", found(Detection("cat", 0, 0.5)))
    assert not (tmp_path / "labels").exists()
    assert len(told) == 1
    assert "images of a model for classify (1)" in told[0]


# Readers


def test_supervision_reads_the_boxes_of_the_journal(data_set: Path) -> None:
    read = read_with_reader(BOXES_READ, data_set / "images", data_set / "labels", data_set / "data.yaml", "")
    expected = boxes_of(data_set)
    assert read["boxes"].keys() == expected.keys()
    assert sum(map(len, expected.values())) > 20
    assert "🐈.png.png" in expected
    assert expected["turned.jpg"]
    for name, boxes in expected.items():
        assert np.allclose(np.array(read["boxes"][name]), np.array(boxes), atol=0.01), name


def test_supervision_reads_an_empty_run(tmp_path: Path) -> None:
    write_image((tmp_path / "in").mkdir() or tmp_path / "in/1.jpg", 64, 64)
    run(tmp_path / "in", model=str(WEIGHTS), output=tmp_path / "out", workers=1, formats=("yolo",))
    read = read_with_reader(BOXES_READ, *(tmp_path / "out" / name for name in ("images", "labels", "data.yaml")), "")
    assert read["boxes"] == {"1.jpg": []}
    assert len(read["classes"]) == 4


TRAIN = """
    import json, sys
    import torch
    from ultralytics import YOLO
    from ultralytics.data.utils import check_det_dataset
    torch.set_num_threads(1)
    network, data, project = sys.argv[1:]
    labels = []
    def keep(trainer):
        labels.extend(trainer.train_loader.dataset.labels)
    model = YOLO(network)
    model.add_callback("on_train_start", keep)
    small = {"imgsz": 64, "epochs": 1, "batch": 4, "device": "cpu", "workers": 0}
    model.train(data=data, project=project, **small, amp=False, val=False, plots=False)
    print(json.dumps({
        one["im_file"].rpartition("/images/")[2]: [
            one["cls"][:, 0].tolist(), one["bboxes"].tolist(), [ring.tolist() for ring in one["segments"]],
            None if one["keypoints"] is None else one["keypoints"].tolist(), list(one["shape"]),
        ] for one in labels
    }))
"""


def trained_on(data: Path, network: Path | str, folder: Path) -> dict[str, Any]:
    """Trains for an epoch; returns the labels that it was on, by the names of images."""
    code = "\n".join(line.removeprefix("    ") for line in TRAIN.splitlines())
    command = [sys.executable, "-c", code, str(network), str(data), str(folder)]
    environment = clean_environment(YOLO_CONFIG_DIR=str(folder), YOLO_OFFLINE="true")
    done = subprocess.run(command, capture_output=True, timeout=240, env=environment, cwd=folder)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


TRAINED = [model for model in MODELS if model.name in {"segment-yolo11", "pose-yolo11", "obb-yolo11"}]


@pytest.mark.slow
@pytest.mark.parametrize("model", TRAINED, ids=[model.task for model in TRAINED])
def test_ultralytics_trains_on_every_task(model: Any, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if model.task == "pose" and not request.config.getoption("--long"):
        pytest.skip("with --long: others stand for it")
    output = tmp_path / "out"
    pictures = [REPOSITORY / "sample_images" / name for name in ("shop", "workshop")]
    asked = {"model": str(model.weights), "imgsz": (192, 192), "confidence": 0.1}
    run(*pictures, output=output, workers=1, formats=("yolo",), **asked)
    labels = trained_on(output / "data.yaml", architecture(model, tmp_path), tmp_path)
    boxes = boxes_of(output)
    assert labels.keys() == boxes.keys()
    assert sum(map(len, boxes.values())) > 10
    for name, (classes, read, segments, keypoints, (height, width)) in labels.items():
        assert len(classes) == len(boxes[name]), name
        if model.task == "pose":
            assert len(keypoints) == len(boxes[name])
            assert all(len(points) == 4 for points in keypoints)
        else:
            assert len(segments) == len(boxes[name])
        if model.task == "pose" and read:
            centre, size = np.array(read)[:, :2], np.array(read)[:, 2:]
            sides = np.concatenate([centre - size / 2, centre + size / 2], 1) * (width, height, width, height)
            expected = np.array(boxes[name])[:, 1:]
            assert np.allclose(np.sort(sides, 0), np.sort(expected, 0), atol=0.05), name


@pytest.mark.slow
def test_ultralytics_trains_on_any_names(data_set: Path, tmp_path: Path) -> None:
    """One image turned by EXIF, names of any script, line breaks and bytes; the labels are those of the journal."""
    shutil.copytree(data_set, tmp_path / "out", symlinks=True)
    for cache in (tmp_path / "out").glob("*.cache"):
        cache.unlink()
    # by name: Ultralytics takes "2n" anywhere in a path for the letter of a scale
    labels = trained_on(tmp_path / "out/data.yaml", "yolo11n.yaml", tmp_path)
    boxes = boxes_of(data_set)
    assert labels.keys() == boxes.keys()
    for name, (classes, read, _, _, (height, width)) in labels.items():
        assert sorted(classes) == sorted(one[0] for one in boxes[name])
        areas = sorted(w * width * h * height for _, _, w, h in read)
        expected = sorted((x2 - x1) * (y2 - y1) for _, x1, y1, x2, y2 in boxes[name])
        assert np.allclose(areas, expected, rtol=1e-3, atol=0.5), name
    rebuild(tmp_path / "out", ["yolo"])  # what training leaves there is in nobody's way
