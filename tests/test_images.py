from __future__ import annotations

import io
import os
import struct
import threading
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, features

from tests.fakes import FakeDetector
from tests.support import without_privileges, write_image
from yolocli.config import DEFAULT_MAX_PIXELS
from yolocli.errors import ImageError
from yolocli.executors.chunk import detect_images
from yolocli.images.decode import decode
from yolocli.results import ImageFailure, ImageRef, ImageResult, Outcome
from yolocli.runtimes.torch.library import import_ultralytics
from yolocli.sources import read


def through(path: Path, max_pixels: int = DEFAULT_MAX_PIXELS) -> Outcome:
    """What a worker makes of one file."""
    (outcome,) = detect_images(FakeDetector(), [ImageRef(path.name, str(path))], batch=1, max_pixels=max_pixels)
    return outcome


def by_ultralytics(path: Path, flags: int = cv2.IMREAD_COLOR) -> np.ndarray:
    import_ultralytics()
    from ultralytics.utils.patches import imread

    pixels = imread(path, flags)
    assert pixels is not None, path
    return pixels


def by_yolocli(path: Path, channels: int = 3) -> np.ndarray:
    data = read(str(path))
    return decode(data, path.suffix.lower(), channels=channels, max_pixels=DEFAULT_MAX_PIXELS).pixels


def assert_decodes_as_ultralytics(path: Path) -> None:
    expected, found = by_ultralytics(path), by_yolocli(path)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)
    grey = by_yolocli(path, channels=1)
    np.testing.assert_array_equal(grey, by_ultralytics(path, cv2.IMREAD_GRAYSCALE))


def picture(height: int = 37, width: int = 53, channels: int = 3, dtype: type = np.uint8) -> np.ndarray:
    """Smooth, so that lossy formats keep it, and different in every corner and channel."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    planes = [x, y, (x + y) / 2, 0.25 + x * y / 2][:channels]
    pixels = (np.stack(planes, 2) * np.iinfo(dtype).max).astype(dtype)
    return pixels if channels > 1 else pixels[..., 0]


# Good images


@pytest.mark.parametrize("suffix", ["bmp", "jpg", "jpeg", "png", "tif", "tiff", "webp", "jp2", "avif"])
def test_every_format_opencv_writes(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    done, encoded = cv2.imencode(f".{suffix}", picture(64, 64))
    assert done
    path.write_bytes(encoded.tobytes())
    assert_decodes_as_ultralytics(path)


@pytest.mark.parametrize("suffix", ["JPG", "Png", "TIF", "TIFF"])
def test_suffixes_in_capitals(tmp_path: Path, suffix: str) -> None:
    write_image(tmp_path / f"x.{suffix.lower()}")
    (tmp_path / f"x.{suffix.lower()}").rename(tmp_path / f"x.{suffix}")
    assert_decodes_as_ultralytics(tmp_path / f"x.{suffix}")


@pytest.mark.parametrize("suffix", ["png", "tif", "jp2"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits(tmp_path: Path, suffix: str, channels: int) -> None:
    path = tmp_path / f"x.{suffix}"
    done, encoded = cv2.imencode(f".{suffix}", picture(64, 64, channels, np.uint16))
    assert done
    path.write_bytes(encoded.tobytes())
    assert_decodes_as_ultralytics(path)


@pytest.mark.parametrize("suffix", ["png", "tif", "webp", "jpg", "bmp", "jp2"])
def test_grey(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(picture(64, 64, 1)).save(tmp_path / f"x.{suffix}")
    assert_decodes_as_ultralytics(tmp_path / f"x.{suffix}")


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_alpha_is_dropped(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(picture(channels=4), "RGBA").save(tmp_path / f"x.{suffix}")
    assert_decodes_as_ultralytics(tmp_path / f"x.{suffix}")


@pytest.mark.parametrize("mode", ["P", "1", "LA", "CMYK", "I;16"])
def test_other_modes_of_pillow(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(picture())
    path = tmp_path / ("x.jpg" if mode == "CMYK" else "x.png")
    if mode == "I;16":
        Image.fromarray(picture(channels=1, dtype=np.uint16)).save(path)
    else:
        image.convert(mode).save(path)
    assert_decodes_as_ultralytics(path)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_exif_rotation(tmp_path: Path, orientation: int, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(picture(40, 24)).save(path, exif=exif)
    assert_decodes_as_ultralytics(path)


def test_several_pages_and_progressive_data(tmp_path: Path) -> None:
    pages = [Image.fromarray(picture(30 + 2 * number, 40)) for number in range(3)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / "pages.mpo", save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / "progressive.jpg", progressive=True)
    pages[0].save(tmp_path / "animated.webp", save_all=True, append_images=[pages[0].rotate(180)])
    Image.fromarray(picture(30, 40, 1)).save(
        tmp_path / "grey.tif", save_all=True, append_images=[Image.fromarray(picture(30, 40, 1)[::-1])]
    )
    for path in sorted(tmp_path.iterdir()):
        assert_decodes_as_ultralytics(path)


def test_a_wrong_suffix_does_not_matter(tmp_path: Path) -> None:
    Image.fromarray(picture()).save(tmp_path / "x.png")
    (tmp_path / "x.png").rename(tmp_path / "x.jpg")
    assert_decodes_as_ultralytics(tmp_path / "x.jpg")


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_rotated_avif(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture(40, 24)).save(tmp_path / "x.avif", exif=exif)
    assert_decodes_as_ultralytics(tmp_path / "x.avif")


def test_the_record_has_the_upright_size(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 8
    Image.fromarray(picture(40, 24)).save(tmp_path / "x.jpg", exif=exif)
    outcome = through(tmp_path / "x.jpg")
    assert isinstance(outcome, ImageResult)
    assert (outcome.width, outcome.height) == (40, 24)


# Bad images


def _encoded(suffix: str) -> bytes:
    noise = np.random.default_rng(1).integers(0, 256, (200, 200, 3), np.uint8)
    return cv2.imencode(suffix, noise)[1].tobytes()


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def huge_png(width: int = 40_000, height: int = 40_000) -> bytes:
    header = _png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    rows = _png_chunk(b"IDAT", zlib.compress(bytes(3 * 100 + 1)))
    return b"\x89PNG\r\n\x1a\n" + header + rows + _png_chunk(b"IEND", b"")


def huge_jpeg(width: int = 40_000, height: int = 40_000) -> bytes:
    small = bytearray(_encoded(".jpg"))
    frame = small.index(b"\xff\xc0")
    small[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(small)


def many_scans(*, progressive: bool) -> bytes:
    """A JPEG whose colours come in scans of their own, one of them 1,000 times over."""
    whole = _encoded(".jpg")
    scan = whole.index(b"\xff\xda")
    frame = whole.index(b"\xff\xc0")
    kind = b"\xff\xc2" if progressive else b"\xff\xc0"
    one_colour = b"\xff\xda\0\x08\x01\x01\0\0" + (b"\0\0" if progressive else b"\x3f\0") + bytes(4)
    return whole[:frame] + kind + whole[frame + 2 : scan] + one_colour * 1_000 + b"\xff\xd9"


BAD: dict[str, tuple[Callable[[], bytes], str, set[str]]] = {
    "empty.jpg": (lambda: b"", "read", {"EmptyFile"}),
    "text.jpg": (lambda: b"this is no image\n" * 20, "decode", {"NotAnImage"}),
    "one-byte.png": (lambda: b"\x89", "decode", {"NotAnImage"}),
    "zeros.jpg": (lambda: bytes(5000), "decode", {"NotAnImage"}),
    "html.webp": (lambda: b"<html><body>404</body></html>", "decode", {"NotAnImage"}),
    "huge.png": (huge_png, "decode", {"TooManyPixels"}),
    "huge.jpg": (huge_jpeg, "decode", {"TooManyPixels"}),
    "magic.heic": (
        lambda: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99),
        "decode",
        {"NotAnImage", "UnsupportedFormat"},  # the second without the extra
    ),
    "magic.dng": (lambda: b"II*\0\x08\0\0\0" + bytes(99), "decode", {"NotAnImage", "TruncatedImage"}),
    "scans.jpg": (lambda: many_scans(progressive=False), "decode", {"TooManyScans"}),
    "progressive-scans.jpg": (lambda: many_scans(progressive=True), "decode", {"TooManyScans"}),
    "float.tif": (
        lambda: cv2.imencode(".tiff", np.ones((9, 9, 3), np.float32))[1].tobytes(),
        "decode",
        {"UnsupportedPixels"},
    ),
    **{
        f"cut{suffix}": (
            lambda suffix=suffix: _encoded(suffix)[: len(_encoded(suffix)) * 2 // 5],
            "decode",
            {"TruncatedImage", "NotAnImage"},
        )
        for suffix in (".png", ".webp", ".tif", ".avif")
    },
    "cut.jpg": (lambda: _encoded(".jpg")[:300], "decode", {"TruncatedImage", "NotAnImage"}),
    "header-only.png": (lambda: _encoded(".png")[:40], "decode", {"TruncatedImage", "NotAnImage"}),
    "header-only.bmp": (lambda: _encoded(".bmp")[:60], "decode", {"TruncatedImage"}),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_bytes_are_a_record(tmp_path: Path, name: str) -> None:
    data, stage, kinds = BAD[name]
    (tmp_path / name).write_bytes(data())
    outcome = through(tmp_path / name)
    assert isinstance(outcome, ImageFailure), outcome
    assert outcome.stage == stage
    assert outcome.error in kinds
    assert outcome.message.strip() == outcome.message != ""
    assert "\n" not in outcome.message


def test_bytes_that_look_like_scans_do_no_harm(tmp_path: Path) -> None:
    """In a comment, and after the one scan that there is."""
    marks = b"\xff\xda" * 1_000
    whole = _encoded(".jpg")
    comment = b"\xff\xfe" + struct.pack(">H", len(marks) + 2) + marks
    (tmp_path / "a.jpg").write_bytes(whole[:2] + comment + whole[2:] + marks)
    assert isinstance(through(tmp_path / "a.jpg"), ImageResult)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
def test_data_cut_at_any_place_never_raises(tmp_path: Path, suffix: str) -> None:
    data = _encoded(suffix)
    for end in (1, 2, 8, 20, 33, 50, 100, len(data) // 4, len(data) // 2, len(data) - 13, len(data) - 1):
        (tmp_path / f"x{suffix}").write_bytes(data[:end])
        outcome = through(tmp_path / f"x{suffix}")
        assert isinstance(outcome, ImageResult) or outcome.stage == "decode"


def test_a_huge_header_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    import tracemalloc

    (tmp_path / "huge.png").write_bytes(huge_png())
    tracemalloc.start()
    try:
        outcome = through(tmp_path / "huge.png")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert outcome.status == "failed"
    assert peak < 20_000_000


def test_max_pixels_is_the_last_size_that_is_read(tmp_path: Path) -> None:
    write_image(tmp_path / "x.png", 20, 10)
    assert through(tmp_path / "x.png", max_pixels=200).status == "ok"
    outcome = through(tmp_path / "x.png", max_pixels=199)
    assert isinstance(outcome, ImageFailure)
    assert outcome.error == "TooManyPixels"
    assert "20x10" in outcome.message
    assert "--max-pixels 199" in outcome.message


@pytest.mark.parametrize("side", [9_700, 14_000])
def test_max_pixels_alone_decides_and_pillow_does_not(tmp_path: Path, side: int) -> None:
    """Pillow warns above 89 million pixels and refuses above 179 million; the limit is ours to set."""
    (tmp_path / "x.png").write_bytes(huge_png(side, side))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        refused = through(tmp_path / "x.png", max_pixels=1000)
        allowed = through(tmp_path / "x.png", max_pixels=10**9)
    assert isinstance(refused, ImageFailure)
    assert refused.error == "TooManyPixels"
    assert f"{side}x{side}" in refused.message
    assert not isinstance(allowed, ImageFailure) or allowed.error != "TooManyPixels"
    assert not caught


def test_a_file_that_may_not_be_read(open_folder: Path) -> None:
    write_image(open_folder / "x.jpg")
    (open_folder / "x.jpg").chmod(0)
    with without_privileges():
        outcome = through(open_folder / "x.jpg")
    assert isinstance(outcome, ImageFailure)
    assert (outcome.stage, outcome.error) == ("read", "PermissionError")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_took_a_files_place_does_not_hang(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "x.jpg")
    outcomes: list[Outcome] = []
    reader = threading.Thread(target=lambda: outcomes.append(through(tmp_path / "x.jpg")), daemon=True)
    reader.start()
    reader.join(20)
    assert not reader.is_alive(), "reading hangs"
    (outcome,) = outcomes
    assert isinstance(outcome, ImageFailure)
    assert outcome.stage == "read"
    assert outcome.error in {"NotAFile", "IsADirectoryError"}


def test_the_rest_of_a_chunk_is_not_touched_by_a_bad_image(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"")
    write_image(tmp_path / "c.png", 30, 30)
    refs = [ImageRef(name, str(tmp_path / name)) for name in ("a.png", "b.png", "c.png")]
    assert [outcome.status for outcome in detect_images(FakeDetector(), refs, batch=1, max_pixels=10**6)] == [
        "ok",
        "failed",
        "ok",
    ]


def test_decode_takes_bytes_alone() -> None:
    buffer = io.BytesIO()
    Image.fromarray(picture()).save(buffer, "PNG")
    pixels = decode(buffer.getvalue(), "", max_pixels=10**6).pixels
    np.testing.assert_array_equal(pixels, picture()[..., ::-1])
    with pytest.raises(ImageError) as caught:
        decode(b"nothing", "", max_pixels=10**6)
    assert caught.value.kind == "NotAnImage"
