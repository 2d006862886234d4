"""One file to pixels, safely: read, check, decode.

Pixels are what Ultralytics' own reader gives (`ultralytics.utils.patches.imread`): 8-bit BGR, upright by EXIF, first
page of a TIFF. What it skips or dies of is an ImageError here.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from yolocli.config import DEFAULT_MAX_PIXELS
from yolocli.results import ImageRef

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels: TypeAlias = NDArray[np.uint8]

DECODE_BYTES = 6
"""Most memory a pixel takes while it is decoded: three channels in OpenCV's own array and in numpy's."""
WIDE_BYTES: Mapping[str, int] = MappingProxyType({"AVIF": 21, "HEIF": 21, "JPEG2000": 16, "GIF": 9})
"""The same for formats whose decoders hold more; measured."""
LARGE_BYTES = 200 << 20
"""Images that take more than this are decoded one at a time in a process."""
MOST_BYTES = 700_000_000
"""Of a file: somewhat more than the largest image takes as 16-bit numbers without compression."""
MOST_SCANS = 500
"""A progressive JPEG has ten or so. Each is a pass over the whole image, so a thousand in a small file take minutes."""
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
START_OF_SCAN = b"\xff\xda"
SEQUENTIAL_FRAMES = frozenset({0xC0, 0xC1, 0xC9})
"""Second bytes of the markers (ITU-T T.81, table B.1) of frames that are not progressive."""

_pillow_lock = threading.Lock()
_large_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class _Header:
    """What is known before decoding.

    Attributes:
        format: As Pillow calls it; None when it knows none.
        decode_bytes: Most memory that decoding takes; None when that cannot be told.
    """

    format: str | None = None
    decode_bytes: int | None = None


class ImageError(Exception):
    """An image that cannot be used; its `kind` is the record's error class."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def read(ref: ImageRef) -> bytes:
    """Returns the bytes of a file.

    Raises:
        OSError: If it cannot be opened or read.
        ImageError: If it is not a regular file, or empty, or larger than an image can be.
    """
    # O_NONBLOCK: a FIFO put in the file's place since the walk must not hang the worker
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    with os.fdopen(os.open(ref.source, flags), "rb") as stream:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ImageError("NotAFile", "not a regular file")
        if status.st_size > MOST_BYTES:
            raise ImageError("FileTooLarge", f"{status.st_size / 1e9:.1f} GB, more than any image that can be decoded")
        data = stream.read()
    if not data:
        raise ImageError("EmptyFile", "the file has no bytes")
    return data


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
            pixels = _decode(data, suffix, channels)
    except cv2.error as error:
        raise ImageError("UndecodableImage", f"the decoder gave up: {error.err}") from error
    if pixels is None or not pixels.size:
        if header.format is None:
            raise ImageError("NotAnImage", f"not an image that can be decoded{_heif_hint(suffix)}")
        raise ImageError("TruncatedImage", f"the {header.format} data is cut off or damaged")
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise ImageError("UnsupportedPixels", f"pixels of type {pixels.dtype}: save the image with 8 or 16 bits")
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.shape[2] != channels:
        raise ImageError("UnsupportedPixels", f"{pixels.shape[2]} channels where the model takes {channels}")
    return pixels  # type: ignore[no-any-return]


def _decode(data: bytes, suffix: str, channels: int) -> Any:
    import cv2
    import numpy as np

    buffer = np.frombuffer(_without_overrun(data), np.uint8)
    pixels: Any = None
    if suffix in {".tif", ".tiff"} and channels != 1:
        pixels = _decode_tiff(buffer)
    if pixels is None and suffix in {".avif", ".heic", ".heif"}:
        pixels = _decode_with_pillow(data, suffix, channels)
    if pixels is None:
        pixels = cv2.imdecode(buffer, cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR)
    return pixels


def _without_overrun(data: bytes) -> bytes:
    """Cuts a PNG off before a chunk that says it is longer than the file.

    It could not be read anyway, but OpenCV would first allocate what it says: four gigabytes for one flipped bit.
    """
    if not data.startswith(PNG_SIGNATURE):
        return data
    at = len(PNG_SIGNATURE)
    while at + 12 <= len(data):  # length, kind, content, checksum
        following = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if following > len(data):
            return data[:at]
        at = following
    return data


def _check_header(data: bytes, max_pixels: int) -> _Header:
    """Returns what Pillow sees in the header.

    Raises:
        ImageError: If the header promises more than `max_pixels`, or more memory than images of so many pixels take,
            or if the file is one that OpenCV had better not be given.
    """
    import io

    from PIL import Image

    if data.startswith(b"#?"):  # OpenCV would copy it to a temporary file first
        raise ImageError("NotAnImage", "a Radiance HDR picture, which is none of the formats that can be read")

    try:
        with _no_limit_of_pillow(), Image.open(io.BytesIO(data)) as image:  # reads the header alone
            width, height = image.size
            known = str(image.format)
            decode_bytes = width * height * _bytes_per_pixel(image)
    except Exception:  # Pillow's plugins raise whatever the bytes make them; OpenCV may still know better
        return _Header()
    if width * height > max_pixels:
        raise ImageError(
            "TooManyPixels", f"{width}x{height} is more than --max-pixels {max_pixels}; raise it if this is meant"
        )
    if decode_bytes > max(max_pixels, DEFAULT_MAX_PIXELS) * DECODE_BYTES:
        raise ImageError(
            "TooMuchMemory",
            f"decoding this {known} of {width}x{height} takes up to {decode_bytes / 1e9:.1f} GB, more than other "
            f"images of --max-pixels {max_pixels} take; raise it if this is meant",
        )
    if known in {"JPEG", "MPO"} and not _has_one_scan(data) and data.count(START_OF_SCAN) > MOST_SCANS:
        raise ImageError("TooManyScans", f"a JPEG of more than {MOST_SCANS} scans, which would take minutes to decode")
    return _Header(known, decode_bytes)


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


def _bytes_per_pixel(image: Any) -> int:
    """Returns the most memory that decoding takes for each pixel of an image that Pillow has opened."""
    if image.format != "TIFF":
        return WIDE_BYTES.get(image.format, DECODE_BYTES)
    bits = image.tag_v2.get(258)  # BitsPerSample, a number for each; wide samples are decoded wide
    depth = max((number for number in bits if isinstance(number, int)), default=1) if isinstance(bits, tuple) else 1
    wide = -(-depth // 8)
    return max(3, len(image.getbands())) * 2 * max(1, wide) + (3 if wide == 2 else 0)


def _decode_tiff(buffer: Any) -> Any:
    """Returns the first page when it has colour, as Ultralytics' reader does; None leaves it to the plain decoder."""
    import cv2

    done, pages = cv2.imdecodemulti(buffer, cv2.IMREAD_UNCHANGED, range=(0, 1))
    return pages[0][..., :3] if done and pages and pages[0].ndim == 3 else None


def _decode_with_pillow(data: bytes, suffix: str, channels: int) -> Any:
    import io

    import numpy as np
    from PIL import Image, ImageOps

    if suffix != ".avif":
        try:
            from pi_heif import register_heif_opener
        except ImportError:
            return None
        register_heif_opener()
    try:
        with _no_limit_of_pillow():
            opened = Image.open(io.BytesIO(data))
        with ImageOps.exif_transpose(opened) as image:
            if channels == 1:
                return np.asarray(image.convert("L"))
            return np.ascontiguousarray(np.asarray(image.convert("RGB"))[..., ::-1])
    except Exception:  # as in _check_header
        return None


@contextmanager
def _no_limit_of_pillow() -> Iterator[None]:
    """Lets Pillow open an image of any size, without a warning; `max_pixels` is the limit, and was checked or will be.

    Pillow's own is a global that a program which uses this library may count on, so it is put back.
    """
    from PIL import Image

    with _pillow_lock:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _heif_hint(suffix: str) -> str:
    if suffix not in {".heic", ".heif"}:
        return ""
    from importlib.util import find_spec

    return "" if find_spec("pi_heif") else "; HEIC needs an extra: pip install 'yolocli[heif]'"
