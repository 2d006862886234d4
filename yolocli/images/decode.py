"""One file to pixels, safely: read, check, decode.

Pixels are what Ultralytics' own reader gives (`ultralytics.utils.patches.imread`): 8-bit BGR, upright by EXIF, first
page of a TIFF. What it skips or dies of is read by Pillow or an ImageError here. What a file gives depends on its bytes
and its suffix alone, never on what was decoded before.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from yolocli.config import DEFAULT_MAX_PIXELS
from yolocli.errors import ImageError as ImageError
from yolocli.images import pillow, tiff

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels: TypeAlias = NDArray[np.uint8]

DECODE_BYTES = 6
"""Most memory a pixel takes while it is decoded: three channels in OpenCV's own array and in numpy's."""
WIDE_BYTES: Mapping[str, int] = MappingProxyType({"AVIF": 21, "HEIF": 21, "TIFF": 21, "JPEG2000": 16, "GIF": 9})
"""The same for formats whose decoders hold more, TIFF where Pillow decodes it; measured."""
LARGE_BYTES = 200 << 20
"""Images that take more than this are decoded one at a time in a process."""
MOST_SCANS = 500
"""A progressive JPEG has ten or so. Each is a pass over the whole image, so a thousand in a small file take minutes."""
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
START_OF_SCAN = b"\xff\xda"
SEQUENTIAL_FRAMES = frozenset({0xC0, 0xC1, 0xC9})
"""Second bytes of the markers (ITU-T T.81, table B.1) of frames that are not progressive."""

ANIMATION_CHUNKS = frozenset({b"acTL", b"fcTL", b"fdAT"})
"""Of a PNG (third edition, 11.3.4)."""

_large_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class _Header:
    """What is known before decoding.

    Attributes:
        format: As Pillow calls it; None when it knows none.
        decode_bytes: Most memory that decoding takes; None when that cannot be told.
        page: The first of a TIFF.
    """

    format: str | None = None
    decode_bytes: int | None = None
    page: tiff.Page | None = None


def decode(data: bytes, suffix: str, *, channels: int = 3, max_pixels: int) -> Pixels:
    """Returns the upright image.

    Args:
        data: A whole file.
        suffix: Of its name, with the dot, in lower case.
        channels: 3 for BGR, 1 for grey.
        max_pixels: Larger images are refused by their header, before their pixels are allocated.

    Returns:
        Array of shape (height, width, channels).

    Raises:
        ImageError: If the bytes are no image, a broken one, or one that is too large.
    """
    import cv2
    import numpy as np

    header = _check_header(data, max_pixels)
    large = header.decode_bytes is None or header.decode_bytes > LARGE_BYTES
    try:
        with _large_lock if large else nullcontext():
            pixels = _decode(data, suffix, channels, header)
    except cv2.error as error:
        raise ImageError("UndecodableImage", f"the decoder gave up: {error.err}") from error
    if pixels is None or not pixels.size:
        raise _failure(data, header)
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise _unsupported(header.page or f"pixels of type {pixels.dtype}")
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.shape[2] != channels:
        raise ImageError("UnsupportedPixels", f"{pixels.shape[2]} channels where the model takes {channels}")
    return pixels  # type: ignore[no-any-return]


def _decode(data: bytes, suffix: str, channels: int, header: _Header) -> Any:
    import cv2
    import numpy as np

    page = header.page
    if header.format == "HEIF" or (page is not None and not page.suits_opencv):
        return _decode_with_pillow(data, channels, page)
    pixels: Any = None
    if suffix in {".avif", ".heic", ".heif"}:
        pixels = _decode_with_pillow(data, channels, page)
    if pixels is None:
        buffer = np.frombuffer(_still(data), np.uint8)
        if suffix in {".tif", ".tiff"} and channels != 1 and not (page is not None and page.planar):
            pixels = _decode_first_page(buffer)
        if pixels is None:
            pixels = cv2.imdecode(buffer, cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR)
    return pixels


def _decode_with_pillow(data: bytes, channels: int, page: tiff.Page | None) -> Any:
    image = pillow.opened(data)
    return None if image is None else pillow.pixels(image, channels, bits=16 if page is None else page.bits)


def _decode_first_page(buffer: Any) -> Any:
    """Returns the first page when it has colour, as Ultralytics' reader does; None leaves it to the plain decoder.

    Not for planes: OpenCV reads the first of them alone when there are more than 8 bits, and leaves the memory of the
    others as it was. The plain decoder reads all.
    """
    import cv2

    done, pages = cv2.imdecodemulti(buffer, cv2.IMREAD_UNCHANGED, range=(0, 1))
    return pages[0][..., :3] if done and pages and pages[0].ndim == 3 else None


def _still(data: bytes) -> bytes:
    """Returns a PNG without what OpenCV had better not see; any other bytes as they are.

    A chunk that says it is longer than the file, and all behind it: it could not be read anyway, but OpenCV would first
    allocate what it says, four gigabytes for one flipped bit. And the frames of an animation: with them OpenCV takes a
    damaged image for a whole one, and what it could not read is memory as it was.
    """
    if not data.startswith(PNG_SIGNATURE):
        return data
    parts = [(0, len(PNG_SIGNATURE))]
    while (at := parts[-1][1]) + 12 <= len(data):  # length, kind, content, checksum
        following = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if following > len(data):
            break
        if data[at + 4 : at + 8] in ANIMATION_CHUNKS:
            parts.append((following, following))
        else:
            parts[-1] = (parts[-1][0], following)
    return b"".join(data[start:end] for start, end in parts) if len(parts) > 1 else data[: parts[0][1]]


def _failure(data: bytes, header: _Header) -> ImageError:
    """Returns the error of a file in which nobody found pixels."""
    page = header.page
    if header.format is None:
        return ImageError("NotAnImage", "not an image that can be decoded")
    if page is not None:
        image = pillow.opened(data)
        if image is None or not (page.suits_opencv or pillow.is_plain(image)):
            return _unsupported(page)
    return ImageError("TruncatedImage", f"the {header.format} data is cut off or damaged")


def _unsupported(what: object) -> ImageError:
    return ImageError("UnsupportedPixels", f"{what}: save the image as grey or RGB with 8 or 16 bits")


def _check_header(data: bytes, max_pixels: int) -> _Header:
    """Returns what the header says.

    Raises:
        ImageError: If it promises more than `max_pixels`, or more memory than images of so many pixels take, or pixels
            that nobody can read, or if the file is one that OpenCV had better not be given.
    """
    if data.startswith(b"#?"):  # OpenCV would copy it to a temporary file first
        raise ImageError("NotAnImage", "a Radiance HDR picture, which is none of the formats that can be read")

    page = tiff.first_page(data)
    if page is not None:
        known, width, height = "TIFF", page.width, page.height
        bytes_per_pixel = _bytes_of_tiff(page)
    else:
        image = pillow.opened(data)
        if image is None:  # OpenCV may still know better
            return _Header()
        known, (width, height) = str(image.format), image.size
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
            raise _unsupported(page)
    if decode_bytes > max(max_pixels, DEFAULT_MAX_PIXELS) * DECODE_BYTES:
        raise ImageError(
            "TooMuchMemory",
            f"decoding this {known} of {width}x{height} takes up to {decode_bytes / 1e9:.1f} GB, more than other "
            f"images of --max-pixels {max_pixels} take; raise it if this is meant",
        )
    if known in {"JPEG", "MPO"} and not _has_one_scan(data) and data.count(START_OF_SCAN) > MOST_SCANS:
        raise ImageError("TooManyScans", f"a JPEG of more than {MOST_SCANS} scans, which would take minutes to decode")
    return _Header(known, decode_bytes, page)


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
