"""The shipped checkpoint: small, safe to load, free of private paths, good on photographs."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from yolocli.builtin import CODES, WEIGHTS

HEAVY = ("cv2", "torch", "ultralytics", "segno", "barcode", "zint")


def test_weights_are_small() -> None:
    assert WEIGHTS.stat().st_size <= 4_000_000


def test_classes_and_their_order(detector: Any) -> None:
    assert CODES == ("qr_code", "barcode", "data_matrix", "aruco_marker")
    assert detector.names == dict(enumerate(CODES))
    assert detector.task == "detect"


def test_weights_load_with_the_safe_loader() -> None:
    from ultralytics.nn.tasks import torch_safe_load

    checkpoint, _ = torch_safe_load(str(WEIGHTS), safe_only=True)
    assert checkpoint["optimizer"] is None
    assert next(checkpoint["model"].parameters()).dtype.itemsize == 2


def test_no_path_of_the_training_machine_is_left() -> None:
    with zipfile.ZipFile(WEIGHTS) as archive:
        assert {name.split("/")[0] for name in archive.namelist()} == {"archive"}
        # Members under data/ are the raw tensors; everything a path could be in is outside of it.
        text = b"".join(archive.read(n) for n in archive.namelist() if "/data/" not in n)
    words = re.findall(rb"[ -~]{4,}", text)
    assert not [w for w in words if re.search(rb"(^|[^a-z])/[a-z]+/|[A-Za-z]:\\\\|://", w)]


def test_training_arguments_are_cut_down() -> None:
    from ultralytics.nn.tasks import torch_safe_load

    checkpoint, _ = torch_safe_load(str(WEIGHTS), safe_only=True)
    assert set(checkpoint["train_args"]) == {"task", "imgsz", "data", "single_cls"}
    assert checkpoint["train_args"]["data"] is None
    assert dict(checkpoint["model"].args) == checkpoint["train_args"]
    assert "git" not in checkpoint
    assert checkpoint["model"].yaml["yaml_file"] == "yolo11n-codes.yaml"


def test_no_mark_is_found_in_real_photographs(detector: Any, photographs: list[Path]) -> None:
    wrong = {}
    for path in photographs:
        boxes = detector.predict(str(path), conf=0.5, imgsz=640, verbose=False)[0].boxes
        if len(boxes):
            wrong[path.name] = [detector.names[int(index)] for index in boxes.cls]
    assert not wrong


@pytest.mark.parametrize("module", HEAVY)
def test_importing_the_package_is_cheap(module: str) -> None:
    check = f"import sys, yolocli.builtin; sys.exit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
