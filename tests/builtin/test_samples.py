"""The sample images: they match their labels, and the shipped weights find their marks."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from yolocli.builtin import CODES

SUFFIXES = {".jpg", ".png", ".webp"}


@pytest.fixture(scope="module")
def labels(samples: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((samples / "labels.json").read_text())
    return loaded


def _images(samples: Path) -> set[str]:
    found = (p for p in samples.rglob("*") if p.suffix in SUFFIXES)
    return {p.relative_to(samples).as_posix() for p in found} - {"broken/cut.jpg"}


def _upright(path: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Read a file as BGR with its EXIF rotation applied and 16 bits brought down to 8."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert image is not None
    return np.asarray(image, np.uint8)


def test_every_image_has_labels_and_every_label_an_image(samples: Path, labels: dict[str, Any]) -> None:
    assert set(labels) == _images(samples)
    assert 12 <= len(labels) <= 20
    assert len({path.split("/")[0] for path in labels}) == 2


def test_sizes_and_boxes_are_those_of_the_upright_image(samples: Path, labels: dict[str, Any]) -> None:
    for path, entry in labels.items():
        height, width = _upright(samples / path).shape[:2]
        assert (entry["width"], entry["height"]) == (width, height), path
        for mark in entry["marks"]:
            assert mark["name"] in CODES
            box = mark["box"]
            assert 0 <= box["x1"] < box["x2"] <= width
            assert 0 <= box["y1"] < box["y2"] <= height


def test_the_samples_cover_what_readers_stumble_over(samples: Path, labels: dict[str, Any]) -> None:
    modes, turned = set(), []
    for path in labels:
        with Image.open(samples / path) as image:
            modes.add(image.mode)
            if image.getexif().get(0x0112, 1) != 1:
                turned.append(path)
                assert ImageOps.exif_transpose(image).size != image.size
    assert len(turned) == 1
    assert "L" in modes
    depths = [cv2.imread(str(samples / p), cv2.IMREAD_UNCHANGED).dtype for p in labels if p.endswith("png")]
    assert np.dtype(np.uint16) in depths
    assert [p for p in labels if p.endswith(".webp")]
    assert sum(not entry["marks"] for entry in labels.values()) == 2
    assert len({(e["width"], e["height"]) for e in labels.values()}) >= 5
    seen = {mark["name"] for entry in labels.values() for mark in entry["marks"]}
    assert seen == set(CODES)


def test_the_folder_is_small_and_its_broken_file_is_kept_apart(samples: Path) -> None:
    assert sum(p.stat().st_size for p in samples.rglob("*") if p.is_file()) < 3_000_000
    assert (samples / ".yolocliignore").read_text().splitlines()[-1] == "broken/"
    assert [p.name for p in (samples / "broken").iterdir()] == ["cut.jpg"]
    with pytest.raises(OSError, match="truncated"), Image.open(samples / "broken" / "cut.jpg") as image:
        image.load()


def _overlap(a: dict[str, float], b: list[float]) -> float:
    w = min(a["x2"], b[2]) - max(a["x1"], b[0])
    h = min(a["y2"], b[3]) - max(a["y1"], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    areas = (a["x2"] - a["x1"]) * (a["y2"] - a["y1"]) + (b[2] - b[0]) * (b[3] - b[1])
    return w * h / (areas - w * h)


@pytest.mark.slow
def test_every_mark_wider_than_32_pixels_is_found(samples: Path, labels: dict[str, Any], detector: Any) -> None:
    missed = []
    for path, entry in labels.items():
        boxes = detector.predict(_upright(samples / path), conf=0.25, imgsz=640, verbose=False)[0].boxes
        found = [(detector.names[int(c)], b) for c, b in zip(boxes.cls, boxes.xyxy.tolist(), strict=True)]
        for mark in entry["marks"]:
            hits = [b for name, b in found if name == mark["name"] and _overlap(mark["box"], b) > 0.5]
            if mark["box"]["x2"] - mark["box"]["x1"] > 32 and not hits:
                missed.append((path, mark))
        if not entry["marks"]:
            assert not found, path
    assert not missed


@pytest.mark.slow
def test_writing_the_samples_again_makes_the_same_labels(samples: Path, labels: dict[str, Any], tmp_path: Path) -> None:
    for name in ("segno", "barcode", "zint"):
        pytest.importorskip(name, reason="draws marks: pip install .[builtin]")
    from yolocli.builtin.samples import write

    assert write(tmp_path) == labels
    assert _images(tmp_path) == set(labels)
