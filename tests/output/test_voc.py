"""XML files as Pascal VOC has them, read back by supervision and by the XML parser of Python."""

from __future__ import annotations

import json
import math
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.output.data_sets import boxes_of
from tests.output.readers import read_with_reader
from tests.support import ref
from yolocli.output.folder import OutputFolder
from yolocli.output.formats.base import Context
from yolocli.output.formats.voc import Voc
from yolocli.results import Box, Detection, ImageFailure, ImageResult, Outcome


def write(root: Path, *lines: Outcome, task: str = "detect") -> list[str]:
    """Returns what is told of files that are written."""
    told: list[str] = []
    folder = OutputFolder(root)
    folder.create()
    writer = Voc(Context(folder, task=task, notice=told.append))
    for line in lines:
        writer.add(line)
    writer.close()
    folder.close()
    return told


def parsed(path: Path) -> ElementTree.Element:
    return ElementTree.parse(path).getroot()


@pytest.mark.parametrize(
    ("box", "pixels"),
    [
        ((0.0, 0.0, 100.0, 200.0), [1, 1, 100, 200]),
        ((10.0, 20.0, 60.0, 80.0), [11, 21, 60, 80]),
        ((10.4, 20.6, 60.2, 80.9), [11, 21, 61, 81]),
        ((-5.0, -0.1, 105.0, 207.0), [1, 1, 100, 200]),
        ((100.0, 200.0, 100.0, 200.0), [100, 200, 100, 200]),
        ((7.0, 7.0, 7.0, 7.0), [8, 8, 8, 8]),
    ],
)
def test_a_box_is_the_pixels_that_it_touches_counted_from_one(box: Box, pixels: list[int], tmp_path: Path) -> None:
    write(tmp_path, ImageResult(ref("a/1.jpg"), 100, 200, (Detection("cat", 0, 0.5, box),)))
    root = parsed(tmp_path / "voc/a/1.xml")
    assert [int(side.text or "") for side in root.find("object/bndbox") or ()] == pixels
    size = root.find("size")
    assert [(side.tag, side.text) for side in size or ()] == [("width", "100"), ("height", "200"), ("depth", "3")]
    assert (root.findtext("folder"), root.findtext("filename")) == ("a", "1.jpg")


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("人 čeština 🐈", "人 čeština 🐈"),
        ("<b>&amp;\"']]>", "<b>&amp;\"']]>"),
        ("\x00\x0b\n\r", r"\x00\x0b\x0a\x0d"),
        ("\udcff\uffff", r"\udcff\uffff"),
    ],
)
def test_any_text_is_xml(name: str, read: str, tmp_path: Path) -> None:
    write(tmp_path, ImageResult(ref(f"{name}.jpg"), 100, 200, (Detection(name, 0, 0.5, (0, 0, 1, 1)),)))
    (file,) = (tmp_path / "voc").iterdir()
    root = parsed(file)
    assert root.findtext("object/name") == read
    assert root.findtext("filename") == f"{read}.jpg"


@pytest.mark.parametrize("name", ["\udcff\udcfe", "\x0b", "\uffff", "\x0b\\x0b"])
def test_no_two_images_have_one_filename(name: str, tmp_path: Path) -> None:
    escaped = name.encode("ascii", "backslashreplace").decode()
    names = {
        name,
        escaped,
        escaped.replace("\x0b", r"\x0b"),
        name.replace("\x0b", r"\x0b"),
        escaped.replace("\\", "\\" * 2),
    }
    write(tmp_path, *(ImageResult(ref(f"{one}/{one}.jpg"), 100, 200, ()) for one in sorted(names)))
    files = [parsed(file) for file in (tmp_path / "voc").rglob("*.xml")]
    assert len({file.findtext("filename") for file in files}) == len({file.findtext("folder") for file in files})
    assert len({file.findtext("filename") for file in files}) == len(names)


def test_what_has_no_place_is_counted(tmp_path: Path) -> None:
    failure = ImageFailure(ref("2.jpg"), "decode", "X", "x")
    (told,) = write(tmp_path, ImageResult(ref("1.jpg"), 100, 200, ()), failure)
    assert "failed images (1)" in told
    assert [path.name for path in (tmp_path / "voc").iterdir()] == ["1.xml"]
    (told,) = write(tmp_path, ImageResult(ref("1.jpg"), 100, 200, (Detection("cat", 0, 0.5),)), task="classify")
    assert "images of a model for classify (1)" in told
    assert not (tmp_path / "voc").exists()


def test_supervision_reads_the_boxes_of_the_journal(data_set: Path) -> None:
    code = """
        import json, sys
        from pathlib import Path
        import supervision
        found = supervision.DetectionDataset.from_pascal_voc(*sys.argv[1:])
        boxes = {}
        for path, one in found.annotations.items():
            rows = zip(one.class_id, one.xyxy) if len(one) else ()
            boxes[Path(path).name] = [[found.classes[index], *map(float, box)] for index, box in rows]
        print(json.dumps(boxes))
    """
    read = read_with_reader(code, data_set / "images", data_set / "voc")
    names = {int(index): name for index, name in json.loads((data_set / "run.json").read_bytes())["names"].items()}
    expected = {
        file: [
            [names[index], math.floor(x1), math.floor(y1), math.ceil(x2), math.ceil(y2)]
            for index, x1, y1, x2, y2 in boxes
        ]
        for file, boxes in boxes_of(data_set).items()
    }
    assert read == expected
