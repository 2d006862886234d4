"""The table at the end of a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from yolocli.cli.tables import summary_rows
from yolocli.summary import RunSummary

WORKED = RunSummary(
    "thread",
    2,
    1,
    4,
    "torch fp32 on cpu",
    "yolo11n.pt",
    images=8,
    detections=20,
    failures=2,
    wall_seconds=4.0,
    load_seconds=1.5,
    stages={"read": 0.1, "infer": 1.0, "write": 0.0},
    classes={"person": 20},
)


def test_images_and_failures_stand_beside_the_total() -> None:
    rows = dict(summary_rows(WORKED, Path("out")))
    assert rows["images"] == "8 of 10"
    assert rows["failures"] == "2 of 10"
    resumed = dict(summary_rows(replace(WORKED, skipped=90, skipped_failures=5), Path("out")))
    assert resumed["images"] == "93 of 100, 85 of them by an earlier run"
    assert resumed["failures"] == "7 of 100"


def test_wall_time_is_with_loading_and_without() -> None:
    assert dict(summary_rows(WORKED, None))["wall time"] == "5.50 s; 4.00 s without loading the model"


def test_a_run_with_nothing_to_do_has_no_rows_without_meaning() -> None:
    nothing = RunSummary("thread", 2, 1, 0, "not loaded", "yolo11n.pt", skipped=12)
    rows = summary_rows(nothing, Path("out"))
    assert rows == [
        ("images", "12 of 12, 12 of them by an earlier run"),
        ("failures", "0 of 12"),
        ("model", "yolo11n.pt"),
        ("results", "out"),
    ]


def test_rows_with_nothing_in_them_are_left_out() -> None:
    rows = dict(summary_rows(replace(WORKED, classes={}, detections=0), None))
    assert "top classes" not in rows
    assert rows["detections"] == "0"
    assert rows["ms per image"] == "read 10.0, infer 100.0"
    assert rows["model"] == "yolo11n.pt, torch fp32 on cpu"


def test_files_passed_over_are_counted() -> None:
    assert dict(summary_rows(replace(WORKED, other_files=358), None))["passed over"].startswith("358 other files")
    assert "passed over" not in dict(summary_rows(WORKED, None))
