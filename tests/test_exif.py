"""What is read of a camera's notes: all that is true, nothing that cannot be, and no file that fails for it."""

from __future__ import annotations

import io
import json
import random
import struct
import zlib
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import IFDRational

from tests.output.readers import read_with_reader
from tests.support import records, run, write_image
from yolocli.errors import UsageError
from yolocli.executors import EXECUTORS
from yolocli.images.exif import EXIF_FIELDS, read_exif
from yolocli.output.extract import Choice, extract
from yolocli.results import ImageFailure, ImageResult

CAMERA, GPS = 0x8769, 0x8825
MOMENT = {0x9003: "2024:05:06 07:08:09", 0x9011: "+02:00", 0x9291: "25"}
PLACE = {1: "S", 2: (10.0, 30.0, 0.0), 3: "W", 4: (20.0, 0.0, 36.0), 5: b"\1", 6: 12.5}
WHOLE = {
    "time": "2024-05-06T07:08:09.250000+02:00",
    "latitude": -10.5,
    "longitude": -20.01,
    "altitude": -12.5,
    "orientation": 6,
}


def exif(camera: dict[int, Any] = MOMENT, gps: dict[int, Any] = PLACE, orientation: Any = 6) -> Image.Exif:
    made = Image.Exif()
    if orientation is not None:
        made[0x0112] = orientation
    for number, tags in ((CAMERA, camera), (GPS, gps)):
        if tags:
            made[number] = tags
    loaded = Image.Exif()  # which Pillow writes into a TIFF, too, with all that is in it
    loaded.load(made.tobytes())
    return loaded


def picture(kind: str = "JPEG", **given: Any) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (16, 12), (90, 20, 30)).save(stream, kind, exif=exif(**given))
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "MPO"])
def test_all_is_read_of_every_format_that_has_it(kind: str) -> None:
    found = read_exif(picture(kind))
    assert found == WHOLE
    assert list(found) == [name for name in EXIF_FIELDS if name in found]


def test_pixels_are_not_decoded_to_find_it() -> None:
    """In a PNG it may be behind the pixels, which are broken here, and more than memory holds."""
    whole = picture("PNG")
    start = whole.index(b"eXIf") - 4
    notes = whole[start : start + 12 + int.from_bytes(whole[start : start + 4], "big")]
    size = b"IHDR" + struct.pack(">2L", 2**31 - 1, 2**31 - 1) + whole[24:29]
    before = whole[:12] + size + struct.pack(">L", zlib.crc32(size))
    broken = struct.pack(">L4s3sL", 3, b"IDAT", b"bad", zlib.crc32(b"IDATbad"))
    end = whole[-12:]
    assert read_exif(before + broken * 3 + notes + end) == WHOLE
    assert read_exif(before + broken + end) == {}


def test_of_heic_too(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pytest.importorskip("pi_heif")
    stream = io.BytesIO()
    pillow_heif.from_pillow(Image.new("RGB", (64, 64))).save(stream, exif=exif(orientation=1).tobytes())
    assert read_exif(stream.getvalue()) == WHOLE | {"orientation": 1}


@pytest.mark.parametrize(
    ("camera", "time"),
    [
        ({0x9003: "2024:05:06 07:08:09"}, "2024-05-06T07:08:09"),
        ({**MOMENT, 0x9011: "-09:30"}, "2024-05-06T07:08:09.250000-09:30"),
        ({**MOMENT, 0x9011: "   :  ", 0x9291: ""}, "2024-05-06T07:08:09"),
        ({**MOMENT, 0x9011: "+99:99", 0x9291: "1234567890123"}, "2024-05-06T07:08:09.123456"),
        ({**MOMENT, 0x9291: "x"}, "2024-05-06T07:08:09+02:00"),
        ({**MOMENT, 0x9003: "2024:02:30 07:08:09"}, None),
        ({**MOMENT, 0x9003: "0000:00:00 00:00:00"}, None),
        ({**MOMENT, 0x9003: "    :  :     :  :  "}, None),
        ({**MOMENT, 0x9003: "2024:05:06"}, None),
        ({**MOMENT, 0x9003: "٢٠٢٤:05:06 07:08:09"}, None),
        ({0x9011: "+02:00"}, None),
    ],
)
def test_a_moment_is_one_or_none(camera: dict[int, Any], time: str | None) -> None:
    assert read_exif(picture(camera=camera)).get("time") == time


@pytest.mark.parametrize(
    ("gps", "found"),
    [
        ({**PLACE, 1: "N", 3: "E", 5: b"\0"}, (10.5, 20.01, 12.5)),
        ({**PLACE, 5: b"\3"}, (-10.5, -20.01, -12.5)),
        ({**PLACE, 2: (0.0, 0.0, 0.0), 4: (0.0, 0.0, 0.0)}, (0.0, 0.0, -12.5)),
        ({**PLACE, 2: (91.0, 0.0, 0.0)}, (None, None, -12.5)),
        ({**PLACE, 4: (180.0, 1.0, 0.0)}, (None, None, -12.5)),
        ({**PLACE, 2: (IFDRational(1, 0), 0.0, 0.0)}, (None, None, -12.5)),
        ({**PLACE, 2: (IFDRational(0, 0), 0.0, 0.0)}, (None, None, -12.5)),
        ({**PLACE, 6: IFDRational(0, 0)}, (-10.5, -20.01, None)),
        ({**PLACE, 2: (10.0, 30.0)}, (None, None, -12.5)),
        ({**PLACE, 1: "x"}, (None, None, -12.5)),
        ({key: value for key, value in PLACE.items() if key != 3}, (None, None, -12.5)),
        ({6: 12.5}, (None, None, 12.5)),
        ({}, (None, None, None)),
    ],
)
def test_a_place_is_one_or_none(gps: dict[int, Any], found: tuple[float | None, ...]) -> None:
    read = read_exif(picture(gps=gps))
    assert tuple(read.get(name) for name in ("latitude", "longitude", "altitude")) == found
    assert "-0.0" not in json.dumps(read)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_an_orientation_that_only_xmp_has_is_none(kind: str) -> None:
    """The pixels are not turned by it, either."""
    notes: dict[str, Any] = {"xmp": b'<x tiff:Orientation="6"/>'}
    if kind == "PNG":
        notes = {"pnginfo": PngInfo()}
        notes["pnginfo"].add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>')
    if kind == "TIFF":
        notes = {"tiffinfo": {700: b'<x tiff:Orientation="6"/>'}}
    stream = io.BytesIO()
    Image.new("RGB", (16, 12)).save(stream, kind, **notes)
    assert b"tiff:Orientation" in stream.getvalue()
    assert read_exif(stream.getvalue()) == {}


@pytest.mark.parametrize("orientation", [0, 9, 255, None])
def test_an_orientation_is_one_or_none(orientation: int | None) -> None:
    assert "orientation" not in read_exif(picture(orientation=orientation))


def test_nothing_is_found_where_there_is_nothing() -> None:
    assert read_exif(b"") == read_exif(b"no picture") == {}
    assert read_exif(picture(camera={}, gps={}, orientation=None)) == {}


def test_damaged_notes_never_fail_an_image_and_what_is_found_is_valid() -> None:
    """Every byte of them wrong in turn, and many at once: loops, huge counts, wrong types, and text of any bytes."""
    schema = json.loads(files("yolocli").joinpath("schema/record.schema.json").read_text("utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    record = {"schema": 1, "path": "a.jpg", "status": "ok", "width": 4, "height": 3, "detections": []}
    whole, chance = picture(), random.Random(7)
    start, end = whole.index(b"Exif\0\0") + 6, whole.index(b"\xff\xdb")
    wrong = [(at, [value]) for at in range(start, end) for value in (0, 1, 127, 255, whole[at] ^ 3)]
    wrong += [(chance.randrange(start, end - 8), chance.randbytes(8)) for _ in range(1_000)]
    several = set()
    for at, values in wrong:
        damaged = bytearray(whole)
        damaged[at : at + len(values)] = bytes(values)
        found = read_exif(bytes(damaged))
        several.add(len(found))
        if found:
            assert validator.is_valid(record | {"exif": found}), found
    assert several >= {0, 1, 2, 4, 5}


# In a run


@pytest.fixture
def pictures(tmp_path: Path, fake_detectors: object) -> Path:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/camera.jpg").write_bytes(picture())
    (tmp_path / "in/damaged.jpg").write_bytes(picture().replace(b"MM\0*", b"xx\0*"))
    write_image(tmp_path / "in/plain.png")
    (tmp_path / "in/broken.jpg").write_bytes(b"no picture")
    return tmp_path / "in"


@pytest.mark.parametrize("mode", EXECUTORS)
def test_records_have_it_when_it_is_asked_for(mode: str, pictures: Path) -> None:
    root = pictures.parent / "out"
    outcomes, _ = run(pictures, output=root, exif=True, mode=mode, formats=("json",))
    found = {one.path: one.more for one in outcomes if isinstance(one, ImageResult)}
    assert found == {"camera.jpg": {"exif": WHOLE}, "damaged.jpg": {}, "plain.png": {}}
    assert {one.path for one in outcomes if isinstance(one, ImageFailure)} == {"broken.jpg"}
    assert {line["path"]: line.get("exif") for line in records(root / "results.jsonl")}["camera.jpg"] == WHOLE
    assert json.loads((root / "json/camera.jpg.json").read_bytes())["exif"] == WHOLE


def test_it_is_off_by_default_and_both_do_not_mix(pictures: Path) -> None:
    root = pictures.parent / "out"
    outcomes, _ = run(pictures, output=root)
    assert not any(one.more for one in outcomes if isinstance(one, ImageResult))
    with pytest.raises(UsageError, match="--exif was False, is True"):
        run(pictures, output=root, exif=True)
    settings = json.loads((root / "run.json").read_bytes())
    del settings["fingerprint"]["exif"]  # as earlier versions wrote it
    (root / "run.json").write_text(json.dumps(settings, indent=2))
    assert run(pictures, output=root)[1].summary.skipped == 3


def test_stricter_exports_keep_it(pictures: Path) -> None:
    root = pictures.parent / "out"
    run(pictures, output=root, exif=True)
    extract(root, pictures.parent / "strict", ["json"], Choice(confidence=0.9))
    assert json.loads((pictures.parent / "strict/json/camera.jpg.json").read_bytes())["exif"] == WHOLE


def test_formats_have_the_time_as_their_readers_take_it(pictures: Path) -> None:
    root = pictures.parent / "out"
    run(pictures, output=root, exif=True, formats=("coco", "coco-dataset", "megadetector"))
    for name in ("coco-dataset.json", "images.json"):
        images = json.loads((root / name).read_bytes())["images"]
        taken = {image["file_name"]: image.get("date_captured") for image in images}
        assert taken == {"camera.jpg": "2024-05-06 07:08:09", "damaged.jpg": None, "plain.png": None}
    valid = """
        import contextlib, io, json, sys
        with contextlib.redirect_stdout(io.StringIO()):
            from megadetector.detection.run_detector_batch import get_image_datetime
            from megadetector.postprocessing.validate_batch_results import ValidateBatchResultsOptions
            from megadetector.postprocessing.validate_batch_results import validate_batch_results
            from PIL import Image
            options = ValidateBatchResultsOptions()
            options.return_data = True
            images = validate_batch_results(sys.argv[1], options)["images"]
            theirs = get_image_datetime(Image.open(sys.argv[2]))
        print(json.dumps([{image["file"]: image.get("datetime") for image in images}, theirs]))
    """
    theirs = "2024:05:06 07:08:09"
    assert read_with_reader(valid, root / "megadetector.json", pictures / "camera.jpg") == [
        {"broken.jpg": None, "camera.jpg": theirs, "damaged.jpg": None, "plain.png": None},
        theirs,
    ]
