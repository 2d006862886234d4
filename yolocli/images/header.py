"""What a file says of its image before it is decoded, and whether a decoder may be given it at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from yolocli.config import DEFAULT_MAX_PIXELS
from yolocli.errors import ImageError
from yolocli.images import pillow, tiff
from yolocli.images.picture import UPRIGHT

DECODE_BYTES = 6
"""Most memory a pixel takes while it is decoded: three channels in OpenCV's own array and in numpy's."""
WIDE_BYTES: Mapping[str, int] = MappingProxyType({"AVIF": 21, "HEIF": 21, "TIFF": 21, "JPEG2000": 16, "GIF": 9})
"""The same for formats whose decoders hold more, TIFF where Pillow decodes it; measured."""
MOST_SCANS = 500
"""A progressive JPEG has ten or so. Each is a pass over the whole image, so a thousand in a small file take minutes."""
START_OF_SCAN = b"\xff\xda"
SEQUENTIAL_FRAMES = frozenset({0xC0, 0xC1, 0xC9})
"""Second bytes of the markers (ITU-T T.81, table B.1) of frames that are not progressive."""


@dataclass(frozen=True, slots=True)
class Header:
    """What is known before decoding.

    Attributes:
        format: As Pillow calls it; None when it knows none.
        decode_bytes: Most memory that decoding takes; None when that cannot be told.
        page: The first of a TIFF.
        stored: See `Picture`.
        orientation: See `Picture`.
    """

    format: str | None = None
    decode_bytes: int | None = None
    page: tiff.Page | None = None
    stored: tuple[int, int] | None = None
    orientation: int = UPRIGHT


def check_header(data: bytes, max_pixels: int) -> Header:
    """Returns what the header says.

    Raises:
        ImageError: If it promises more than `max_pixels`, or more memory than images of so many pixels take, or pixels
            that nobody can read, or if the file is one that OpenCV had better not be given.
    """
    if data.startswith(b"#?"):  # OpenCV would copy it to a temporary file first
        raise ImageError("NotAnImage", "a Radiance HDR picture, which is none of the formats that can be read")

    page = tiff.first_page(data)
    if page is not None:
        known, width, height, orientation = "TIFF", page.width, page.height, page.orientation
        bytes_per_pixel = _bytes_of_tiff(page)
    else:
        image = pillow.opened(data)
        if image is None:  # OpenCV may still know better
            return Header()
        known, (width, height) = str(image.format), image.size
        orientation = tiff.orientation(image.info.get("exif") or b"")
        bytes_per_pixel = WIDE_BYTES.get(known, DECODE_BYTES)
    decode_bytes = width * height * bytes_per_pixel
    if width * height > max_pixels:
        raise ImageError(
            "TooManyPixels", f"{width}x{height} is more than --max-pixels {max_pixels}; raise it if this is meant"
        )
    if page is not None and not page.suits_opencv:
        if page.compression not in tiff.COMPRESSIONS:
            raise ImageError("UnsupportedCompression", f"{page}: save it uncompressed, or with LZW, Deflate or JPEG")
        if not page.suits_pillow:
            raise unsupported(page)
    if decode_bytes > max(max_pixels, DEFAULT_MAX_PIXELS) * DECODE_BYTES:
        raise ImageError(
            "TooMuchMemory",
            f"decoding this {known} of {width}x{height} takes up to {decode_bytes / 1e9:.1f} GB, more than other "
            f"images of --max-pixels {max_pixels} take; raise it if this is meant",
        )
    if known in {"JPEG", "MPO"} and not _has_one_scan(data) and data.count(START_OF_SCAN) > MOST_SCANS:
        raise ImageError("TooManyScans", f"a JPEG of more than {MOST_SCANS} scans, which would take minutes to decode")
    return Header(known, decode_bytes, page, (width, height), orientation)


def unsupported(what: object) -> ImageError:
    """Returns the error of pixels that nobody reads, or not as what they are."""
    return ImageError("UnsupportedPixels", f"{what}: save the image as grey or RGB with 8 or 16 bits")


def _has_one_scan(data: bytes) -> bool:
    """Tells whether the first scan of a JPEG is all of it, as it mostly is; False for any header that is unusual."""
    at, components = 2, 0
    while at + 10 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == START_OF_SCAN[1]:
            return components > 0 and data[at + 4] == components
        if marker in SEQUENTIAL_FRAMES:
            components = data[at + 9]
        at += 2 + length
    return False


def _bytes_of_tiff(page: tiff.Page) -> int:
    """Returns the most memory that decoding takes for each pixel."""
    if not page.suits_opencv:
        return WIDE_BYTES["TIFF"]
    wide = -(-page.bits // 8)  # wide samples are decoded wide
    return max(3, page.samples) * 2 * wide + (3 if wide == 2 else 0)
