"""The bytes of a file to a picture, safely: check, decode.

Pixels are what Ultralytics' own reader gives (`ultralytics.utils.patches.imread`): 8-bit BGR, upright by EXIF, first
page of a TIFF. What it skips or dies of is read by Pillow or an ImageError here. What a file gives depends on its bytes
and its suffix alone, never on what was decoded before.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from yolocli.errors import ImageError
from yolocli.images import pillow, tiff
from yolocli.images.header import Header, check_header, unsupported
from yolocli.images.picture import Picture

LARGE_BYTES = 200 << 20
"""Images that take more than this are decoded one at a time in a process."""
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
ANIMATION_CHUNKS = frozenset({b"acTL", b"fcTL", b"fdAT"})
"""Of a PNG (third edition, 11.3.4)."""

_large_lock = threading.RLock()


def alone_if_large(decode_bytes: int | None) -> AbstractContextManager[object]:
    """Lets one thread at a time into a block that is about an image of so many bytes, if these are many; see above.

    Args:
        decode_bytes: What decoding it takes; None if that is not known.
    """
    return _large_lock if decode_bytes is None or decode_bytes > LARGE_BYTES else nullcontext()


def decode(data: bytes, suffix: str, *, channels: int = 3, max_pixels: int) -> Picture:
    """Returns the upright image.

    Args:
        data: A whole file.
        suffix: Of its name, with the dot, in lower case.
        channels: 3 for BGR, 1 for grey.
        max_pixels: Larger images are refused by their header, before their pixels are allocated.

    Raises:
        ImageError: If the bytes are no image, a broken one, or one that is too large.
    """
    import cv2
    import numpy as np

    header = check_header(data, max_pixels)
    try:
        with alone_if_large(header.decode_bytes):
            pixels = _decode(data, suffix, channels, header)
    except cv2.error as error:
        raise ImageError("UndecodableImage", f"the decoder gave up: {error.err}") from error
    if pixels is None or not pixels.size:
        raise _failure(data, header)
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise unsupported(header.page or f"pixels of type {pixels.dtype}")
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.shape[2] != channels:
        raise ImageError("UnsupportedPixels", f"{pixels.shape[2]} channels where the model takes {channels}")
    return Picture(pixels, header.format, header.stored, header.orientation)


def _decode(data: bytes, suffix: str, channels: int, header: Header) -> Any:
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


def _failure(data: bytes, header: Header) -> ImageError:
    """Returns the error of a file in which nobody found pixels."""
    page = header.page
    if header.format is None:
        return ImageError("NotAnImage", "not an image that can be decoded")
    if page is not None:
        image = pillow.opened(data)
        if image is None or not (page.suits_opencv or pillow.is_plain(image)):
            return unsupported(page)
    return ImageError("TruncatedImage", f"the {header.format} data is cut off or damaged")
