"""Pictures as JPEG files, which say that they are yolocli's."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from yolocli.errors import ImageError

if TYPE_CHECKING:
    from yolocli.images.picture import Pixels

_START, _JFIF, _COMMENT = b"\xff\xd8", b"\xff\xe0", b"\xff\xfe"
_NAME = b"yolocli"
HEAD: Final = (
    _START
    + _JFIF
    + struct.pack(">H5sHBHHBB", 16, b"JFIF\0", 0x0101, 0, 1, 1, 0, 0)
    + _COMMENT
    + struct.pack(">H", 2 + len(_NAME))
    + _NAME
)
"""What each file begins with: JFIF 1.01, square pixels, no thumbnail (ITU-T T.871, 10.1); then a comment."""
END: Final = b"\xff\xd9"
MOST_PIXELS: Final = 65_500
"""Of a side, as libjpeg has it."""


def jpeg(pixels: Pixels, quality: int) -> bytes:
    """Returns a JPEG.

    Args:
        pixels: (height, width, 1 or 3): grey or BGR.
        quality: 0 to 100.

    Raises:
        ImageError: If there is none of that size.
    """
    import cv2

    height, width = pixels.shape[:2]
    if max(width, height) > MOST_PIXELS:
        raise ImageError("TooLargeForJpeg", f"no JPEG can be {width} x {height}")
    done, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ImageError("NotEncoded", f"{width} x {height} pixels cannot be encoded as JPEG")
    at = len(_START)
    while encoded[at + 1] == _JFIF[1]:  # in place of which HEAD stands
        at += 2 + int(encoded[at + 2]) * 256 + int(encoded[at + 3])
    return b"".join((HEAD, encoded[at:].data))
