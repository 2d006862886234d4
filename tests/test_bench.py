"""The benchmark: it measures the real command beside Ultralytics, and says the truth about agreement."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from yolocli.bench import BenchConfig, Cell, Row, _agreement, bench, cells, command, to_dict
from yolocli.errors import NoImagesError
from yolocli.overlap import iou


@pytest.mark.slow
def test_a_short_benchmark_of_the_real_thing(weights: Path, photos: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, photo in enumerate(photos[:4]):
        (folder / f"{number}.jpg").symlink_to(photo)
    words = ["bench", str(folder), "-m", str(weights), "--mode", "thread", "--runtime", "torch"]
    done = subprocess.run(
        [sys.executable, "-m", "yolocli", *words, "--images", "6", "--repeats", "1", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    baseline, row = json.loads(done.stdout)["rows"]
    assert baseline["name"] == "yolo predict"
    assert len(row["images_per_second"]) == len(baseline["images_per_second"]) == 1
    assert row["boxes"] > 0
    assert (row["matched"], row["extra"]) == (row["boxes"], 0), "torch does not agree with itself"
    assert row["ratio"] == pytest.approx(row["median"] / baseline["median"])
    assert "--mode thread" in row["command"]
    assert str(folder) in row["command"]


def test_every_combination_is_a_cell() -> None:
    found = cells(["m.pt"], ["thread", "locked"], ["torch"], [1, 2], [1, 4], [None, "bf16"])
    assert len(set(found)) == len(found) == 16
    assert Cell("m.pt", "locked", "torch", 2, 4) in found
    assert Cell("m.pt", "locked", "torch", 2, 4, "bf16") in found
    assert len({cell.name for cell in found}) == 16


def test_a_cell_is_a_command_line() -> None:
    assert Cell("m.pt", "thread", "torch", 0, 0).options == ["--mode", "thread", "--runtime", "torch", "--batch", "0"]
    options = Cell("m.pt", "thread", "torch", 2, 4, "bf16").options
    assert options[4:] == ["--batch", "4", "--workers", "2", "--precision", "bf16"]


def test_an_export_is_not_run_by_torch(tmp_path: Path) -> None:
    export = tmp_path / "m_openvino_model"
    export.mkdir()
    found = cells(["m.pt", str(export)], ["thread"], ["torch", "openvino"], [0], [0])
    assert [(cell.model, cell.runtime) for cell in found] == [
        ("m.pt", "torch"),
        ("m.pt", "openvino"),
        (str(export), "openvino"),
    ]


def test_agreement_tells_lost_from_moved_from_new_boxes() -> None:
    box = ("cat", 0.9, (0.0, 0.0, 10.0, 10.0))
    moved = ("cat", 0.9, (0.0, 0.0, 10.0, 10.5))
    far = ("cat", 0.9, (50.0, 50.0, 60.0, 60.0))
    dog = ("dog", 0.9, (0.0, 0.0, 10.0, 10.0))
    assert _agreement({"a": [box]}, {"a": [moved]}) == (1, 1, 0)
    assert _agreement({"a": [box]}, {"a": [far]}) == (1, 0, 1)
    assert _agreement({"a": [box]}, {"a": [dog]}) == (1, 0, 1)
    assert _agreement({"a": [box]}, {}) == (1, 0, 0)
    assert _agreement({}, {"a": [box]}) == (0, 0, 1)
    assert _agreement({"a": [box, box]}, {"a": [box]}) == (2, 1, 0), "a box answers for one other only"


def test_iou() -> None:
    assert iou((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert iou((0, 0, 2, 2), (2, 2, 3, 3)) == 0
    assert iou((1, 1, 1, 1), (1, 1, 1, 1)) == 0


def test_the_ratio_is_to_the_median_of_the_baseline() -> None:
    config = BenchConfig("folder with space", ("m.pt",), (), 2, 3)
    rows = [
        Row("yolo predict", "m.pt", [], images_per_second=[10, 30, 20]),
        Row("x", "m.pt", ["--mode", "thread"], images_per_second=[50, 60, 70]),
    ]
    figures = to_dict(rows, config)
    assert [row["ratio"] for row in figures["rows"]] == [1.0, 3.0]
    assert command(rows[1], config) == "yolocli detect 'folder with space' --model m.pt --mode thread"


def test_a_folder_without_images_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NoImagesError):
        bench(BenchConfig(str(tmp_path), ("m.pt",), ()), lambda text: None)
