"""TIFFs beyond the common ones: read right, or named for what they are."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.test_images import picture, through
from tests.tiff import (
    CMYK,
    DEFLATE,
    FLOAT,
    GREY,
    INT,
    JPEG,
    LZMA,
    OLD_JPEG,
    PALETTE,
    YCBCR,
    tiff,
)
from yolocli.errors import ImageError
from yolocli.images.decode import decode
from yolocli.images.tiff import first_page
from yolocli.results import ImageFailure

WHITE_IS_ZERO = 0


def ramp(samples: int, bits: int = 8, height: int = 45, width: int = 67) -> np.ndarray:
    """A picture of shape (height, width, samples) that uses all values of so many bits."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    planes = np.stack([x, y, (x + y) / 2, 1 - x, 1 - y][:samples], 2)
    return np.round(planes * (2**bits - 1)).astype(np.uint8 if bits <= 8 else np.uint16 if bits <= 16 else np.uint32)


def old_jpeg(subsampling: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(ramp(3)).save(stream, "JPEG", quality=95, subsampling=subsampling)
    stored, square = stream.getvalue(), 2 if subsampling else 1
    tags = {512: [1], 513: [8], 514: [len(stored)], 530: [square, square]}
    return tiff(ramp(3), photometric=YCBCR, compression=OLD_JPEG, stored=[stored], extra=tags)


READ: dict[str, tuple[Callable[[], bytes], int, int]] = {
    "lzma": (lambda: tiff(ramp(3), compression=LZMA), 3, 8),
    "lzma, grey": (lambda: tiff(ramp(1), compression=LZMA, rows=7), 1, 8),
    "lzma, tiles": (lambda: tiff(ramp(3), compression=LZMA, tile=32), 3, 8),
    "lzma, planes": (lambda: tiff(ramp(3), compression=LZMA, planar=True), 3, 8),
    "lzma, 16 bits": (lambda: tiff(ramp(3, 16), bits=16, compression=LZMA), 3, 16),
    "lzma, 16 bits, planes": (lambda: tiff(ramp(3, 16), bits=16, compression=LZMA, planar=True), 3, 16),
    "lzma, 16 bits, grey": (lambda: tiff(ramp(1, 16), bits=16, compression=LZMA), 1, 16),
    "2 bits": (lambda: tiff(ramp(1, 2), bits=2), 1, 2),
    "4 bits": (lambda: tiff(ramp(1, 4), bits=4, rows=8), 1, 4),
    "4 bits, deflate": (lambda: tiff(ramp(1, 4), bits=4, compression=DEFLATE), 1, 4),
    "4 bits, tiles": (lambda: tiff(ramp(1, 4), bits=4, tile=32, order=">"), 1, 4),
    "12 bits, grey": (lambda: tiff(ramp(1, 12), bits=12), 1, 12),
    "12 bits": (lambda: tiff(ramp(3, 12), bits=12), 3, 12),
    "small tiles": (lambda: tiff(ramp(3), tile=16), 3, 8),
    "five samples": (lambda: tiff(ramp(5)), 3, 8),
    "16 bits, planes": (lambda: tiff(ramp(3, 16), bits=16, planar=True), 3, 16),
    "16 bits, planes, strips": (lambda: tiff(ramp(3, 16), bits=16, planar=True, rows=7, order=">"), 3, 16),
    "16 bits, planes, tiles": (lambda: tiff(ramp(3, 16), bits=16, planar=True, tile=32), 3, 16),
    "16 bits, planes, deflate": (lambda: tiff(ramp(3, 16), bits=16, planar=True, compression=DEFLATE), 3, 16),
    "16 bits, four planes": (lambda: tiff(ramp(4, 16), bits=16, planar=True), 3, 16),
}


@pytest.mark.parametrize(
    ("name", "channels"), [(name, 3) for name in READ] + [(name, 1) for name in READ if name != "12 bits"]
)
def test_the_pixels_are_those_that_were_written(name: str, channels: int) -> None:
    make, samples, bits = READ[name]
    found = decode(make(), ".tif", channels=channels, max_pixels=10**6).pixels.astype(float)
    expected = ramp(samples, bits) * (255 / (2**bits - 1))
    if channels == 1 and samples == 3:
        expected = expected @ np.array([[0.299], [0.587], [0.114]])
    assert found.shape == (45, 67, channels)
    assert np.abs(found - expected[..., ::-1]).max() < 1.6


@pytest.mark.parametrize("subsampling", [0, 2])
def test_old_style_jpeg(subsampling: int) -> None:
    found = decode(old_jpeg(subsampling), ".tif", max_pixels=10**6).pixels
    assert np.abs(found.astype(int) - ramp(3)[..., ::-1]).mean() < 3


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_what_pillow_reads_is_upright(orientation: int) -> None:
    turned = {274: [orientation]}
    pixels = ramp(3)
    found = decode(tiff(pixels, compression=LZMA, extra=turned), ".tif", max_pixels=10**6).pixels
    quarters = {1: 0, 3: 2, 6: 3, 8: 1}[orientation]
    np.testing.assert_array_equal(found, np.rot90(pixels[..., ::-1], quarters))


@pytest.mark.parametrize("suffix", [".tif", ".dng", ".jpg"])
def test_the_suffix_does_not_matter_to_pillow(suffix: str) -> None:
    found = decode(tiff(ramp(3), compression=LZMA), suffix, max_pixels=10**6).pixels
    np.testing.assert_array_equal(found, ramp(3)[..., ::-1])


NAMED: dict[str, tuple[Callable[[], bytes], str, tuple[str, ...]]] = {
    "float grey": (
        lambda: tiff(picture(9, 9, 1)[..., None].astype(np.float32), bits=32, kind=FLOAT),
        "UnsupportedPixels",
        ("32-bit floating point", "grey", "8 or 16 bits"),
    ),
    "float RGB": (
        lambda: tiff(picture(9, 9).astype(np.float64), bits=64, kind=FLOAT),
        "UnsupportedPixels",
        ("64-bit floating point", "RGB"),
    ),
    "half": (lambda: tiff(ramp(1).astype(np.float16), bits=16, kind=FLOAT), "UnsupportedPixels", ("16-bit floating",)),
    "uint32": (lambda: tiff(ramp(1, 32), bits=32), "UnsupportedPixels", ("32-bit integers",)),
    "int32": (lambda: tiff(ramp(1).astype(np.int32), bits=32, kind=INT), "UnsupportedPixels", ("32-bit signed",)),
    "int8": (lambda: tiff(ramp(3, 7), kind=INT), "UnsupportedPixels", ("8-bit signed integers",)),
    "white is zero": (
        lambda: tiff(ramp(1, 16), bits=16, photometric=WHITE_IS_ZERO, compression=LZMA),
        "UnsupportedPixels",
        ("16-bit integers", "LZMA"),
    ),
    "wide palette": (lambda: tiff(ramp(1, 16), bits=16, photometric=PALETTE), "UnsupportedPixels", ("palette",)),
    "planes of 12 bits": (
        lambda: tiff(ramp(3, 12), bits=12, planar=True),
        "UnsupportedPixels",
        ("12-bit", "in planes of their own"),
    ),
    "raw": (
        lambda: tiff(ramp(1, 16), bits=16, photometric=32803, compression=JPEG, stored=[b"x"]),
        "UnsupportedPixels",
        ("raw", "JPEG"),
    ),
    "ink": (lambda: tiff(ramp(5, 16), bits=16, photometric=CMYK), "UnsupportedPixels", ("CMYK", "5 a pixel")),
    "JPEG 2000": (
        lambda: tiff(ramp(1), compression=34712, stored=[b"x"]),
        "UnsupportedCompression",
        ("unknown (34712) compression", "LZW"),
    ),
}


@pytest.mark.parametrize("name", NAMED)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    make, kind, words = NAMED[name]
    (tmp_path / "x.tif").write_bytes(make())
    outcome = through(tmp_path / "x.tif")
    assert isinstance(outcome, ImageFailure), outcome
    assert (outcome.stage, outcome.error) == ("decode", kind)
    assert all(word in outcome.message for word in words), outcome.message
    assert "damaged" not in outcome.message


@pytest.mark.parametrize("options", [{"compression": LZMA}, {"bits": 4}, {"bits": 16}, {"tile": 16}])
def test_what_is_cut_off_is_called_so(options: dict[str, int]) -> None:
    pixels = ramp(1 if options.get("bits") == 4 else 3, options.get("bits", 8))
    data = tiff(pixels, **options, stored=[b"\x01"] * (15 if "tile" in options else 1))
    with pytest.raises(ImageError) as caught:
        decode(data, ".tif", max_pixels=10**6)
    assert caught.value.kind == "TruncatedImage"


def test_limits_hold_before_pillow_reads_a_pixel() -> None:
    data = tiff(ramp(3), compression=LZMA, extra={256: [20_000], 257: [20_000]})
    with pytest.raises(ImageError) as caught:
        decode(data, ".tif", max_pixels=10**8)
    assert caught.value.kind == "TooManyPixels"
    data = tiff(ramp(3), compression=LZMA, extra={256: [13_000], 257: [13_000]})
    with pytest.raises(ImageError) as caught:
        decode(data, ".tif", max_pixels=17 * 10**7)
    assert caught.value.kind == "TooMuchMemory"


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_directory_is_read_as_the_specification_says(order: str) -> None:
    page = first_page(tiff(ramp(4, 16), bits=16, compression=DEFLATE, planar=True, tile=32, order=order))
    assert page is not None
    assert (page.width, page.height, page.bits, page.samples) == (67, 45, 16, 4)
    assert (page.compression, page.photometric, page.planar, page.kind) == (DEFLATE, 2, True, 1)
    assert page.tile_bytes == 32 * 32 * 2
    single = first_page(tiff(ramp(1), planar=True))
    assert single is not None
    assert not single.planar


def test_a_big_tiff() -> None:
    stream = io.BytesIO()
    Image.fromarray(ramp(3)).save(stream, "TIFF", compression="lzma", big_tiff=True)
    page = first_page(stream.getvalue())
    assert page is not None
    assert (page.width, page.height, page.samples, page.compression) == (67, 45, 3, LZMA)
    found = decode(stream.getvalue(), ".tif", max_pixels=10**6).pixels
    np.testing.assert_array_equal(found, ramp(3)[..., ::-1])


@pytest.mark.parametrize("data", [b"", b"II", b"II*\0", b"II*\0\xff\xff\xff\xff", b"MM\0+" + b"\xff" * 40, b"\xff\xd8"])
def test_no_directory(data: bytes) -> None:
    assert first_page(data) is None


def test_a_directory_that_is_cut_off_or_lies_never_raises() -> None:
    whole = tiff(ramp(3), bits=8, rows=5)
    for end in range(0, len(whole), 3):
        first_page(whole[:end])
    (at,) = struct.unpack_from("<I", whole, 4)
    for place in range(at, len(whole)):
        first_page(whole[:place] + b"\xff\xff\xff\xff" + whole[place + 4 :])


def test_an_optional_tag_may_be_missing() -> None:
    page = first_page(tiff(ramp(1), photometric=GREY, extra={258: b"", 259: b"", 277: b"", 284: b"", 339: b""}))
    assert page is not None
    assert (page.bits, page.compression, page.samples, page.planar, page.kind) == (1, 1, 1, False, 1)
