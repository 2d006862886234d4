"""Small pictures of images: of any format, upright, known for ours, and never of more pixels than is allowed."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import SAMPLES
from yolocli.errors import ImageError
from yolocli.images.decode import decode
from yolocli.images.thumbnail import START, thumbnail

PHOTO = SAMPLES / "shop/letter.jpg"


def small(data: bytes, suffix: str = ".jpg", side: int = 64, max_pixels: int = 10**7) -> tuple[Image.Image, bytes]:
    jpeg = thumbnail(data, suffix, side, max_pixels=max_pixels).jpeg
    return Image.open(io.BytesIO(jpeg)), jpeg


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("[!b]*/*.*")), ids=lambda path: path.name)
def test_every_picture_is_made_small(path: Path) -> None:
    data = path.read_bytes()
    image, jpeg = small(data, path.suffix)
    whole = decode(data, path.suffix, max_pixels=10**8)
    made = thumbnail(data, path.suffix, 64, max_pixels=10**8)
    assert (made.width, made.height) == (whole.width, whole.height)
    assert max(image.size) == 64
    assert image.width / image.height == pytest.approx(whole.width / whole.height, abs=0.05)
    assert START.match(jpeg[:64])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_upright(orientation: int) -> None:
    pixels = Image.new("RGB", (200, 100))
    pixels.paste((255, 0, 0), (0, 0, 100, 50))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stream = io.BytesIO()
    pixels.save(stream, "JPEG", exif=exif, quality=95)
    whole = decode(stream.getvalue(), ".jpg", max_pixels=10**6)
    image, _ = small(stream.getvalue(), side=50)
    assert image.size == (whole.width // 4, whole.height // 4)
    wide, high = image.width // 4, image.height // 4
    for x, y in ((wide, high), (3 * wide, high), (wide, 3 * high), (3 * wide, 3 * high)):
        red = whole.pixels[4 * y, 4 * x, 2] > 128
        assert (image.getpixel((x, y))[0] > 128) == red


def test_it_is_upright_if_it_is_nearly_square() -> None:
    """At an eighth it is square, so that its sides do not tell that it was turned."""
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    Image.new("RGB", (1600, 1599)).save(stream, "JPEG", exif=exif)
    made = thumbnail(stream.getvalue(), ".jpg", 64, max_pixels=10**7)
    assert (made.width, made.height) == (1599, 1600)


def test_only_exif_says_how_it_lies() -> None:
    notes = Image.Exif()
    notes[0x010F] = "a camera"
    for exif in (Image.Exif(), notes):
        stream = io.BytesIO()
        Image.new("RGB", (200, 100)).save(stream, "JPEG", exif=exif, xmp=b'<x tiff:Orientation="6"/>')
        whole = decode(stream.getvalue(), ".jpg", max_pixels=10**6)
        image, _ = small(stream.getvalue(), side=50)
        assert (whole.width, whole.height, image.size) == (200, 100, (50, 25))


def test_a_picture_that_is_small_keeps_its_size() -> None:
    image, _ = small(PHOTO.read_bytes(), side=10_000)
    with Image.open(PHOTO) as whole:
        assert image.size == whole.size


def test_more_pixels_than_allowed_are_never_decoded() -> None:
    with pytest.raises(ImageError, match="more than --max-pixels"):
        small(PHOTO.read_bytes(), max_pixels=1000)


def test_what_is_no_image_is_an_error_of_the_image() -> None:
    for data in (b"no image", (SAMPLES / "broken/cut.jpg").read_bytes()):
        with pytest.raises(ImageError):
            small(data)


@pytest.mark.parametrize("length", range(40))
def test_a_torn_one_is_known_for_ours_and_another_jpeg_is_not(length: int) -> None:
    _, jpeg = small(PHOTO.read_bytes())
    assert START.match(jpeg[:length])
    assert not START.match(PHOTO.read_bytes()[:64])
