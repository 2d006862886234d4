"""Small pictures of images, for pages that show many."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from yolocli.images import pillow
from yolocli.images.decode import decode
from yolocli.images.header import check_header
from yolocli.images.tiff import ORIENTATION

if TYPE_CHECKING:
    from PIL import Image

COMMENT = b"yolocli"
"""Stands in every picture made here, so that it is known again."""
START = re.compile(b"(?s)\xff\xd8\xff\xe0(?:.{16}\xff\xfe..%b|.{0,26}\\Z)|\xff?\\Z|\xff\xd8\xff?\\Z" % COMMENT)
"""What they begin with: SOI, APP0, COM (ITU-T T.81, table B.1); of one that was torn, as much as is left."""
QUALITY = 82
QUARTER_TURNS = range(5, 9)
"""Orientations of images that lie on their side, mirrored or not."""


@dataclass(frozen=True, slots=True)
class Small:
    """A small picture of an image.

    Attributes:
        jpeg: The file.
        width: Pixels of the upright image that it was made from.
        height: Pixels of the upright image that it was made from.
    """

    jpeg: bytes
    width: int
    height: int


def thumbnail(data: bytes, suffix: str, side: int, *, max_pixels: int) -> Small:
    """Makes an image small.

    Args:
        data: A whole file.
        suffix: Of its name, with the dot, in lower case.
        side: Pixels of the longer side at most; an image that is smaller keeps its size.
        max_pixels: See `decode`.

    Raises:
        ImageError: As `decode`.
    """
    found = _scaled_jpeg(data, side, max_pixels)
    if found is None:
        found = _decoded(data, suffix, side, max_pixels)
    image, width, height = found
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY, comment=COMMENT)
    return Small(buffer.getvalue(), width, height)


def _scaled_jpeg(data: bytes, side: int, max_pixels: int) -> tuple[Image.Image, int, int] | None:
    """Reads a JPEG at an eighth to a half of its size, which its decoder does on the way; None for all that is not so.

    Raises:
        ImageError: If its header promises more than the limits allow.
    """
    from PIL import ImageOps

    header = check_header(data, max_pixels)
    if header.format != "JPEG" or header.stored is None:
        return None
    image = pillow.opened(data)
    if image is None or image.mode not in {"L", "RGB"}:
        return None
    width, height = header.stored
    try:
        image.draft(image.mode, (2 * side, 2 * side))  # smoothed once more below
        image.load()
        pillow.forget_xmp(image)
        if image.getexif().get(ORIENTATION) in QUARTER_TURNS:
            width, height = height, width
        ImageOps.exif_transpose(image, in_place=True)
    except Exception:  # cut off or damaged, or with odd notes of a camera, which the other decoder may forgive
        return None
    image.thumbnail((side, side))
    return image, width, height


def _decoded(data: bytes, suffix: str, side: int, max_pixels: int) -> tuple[Image.Image, int, int]:
    import cv2
    from PIL import Image

    picture = decode(data, suffix, max_pixels=max_pixels)
    scale = min(side / max(picture.width, picture.height), 1.0)
    size = (max(round(picture.width * scale), 1), max(round(picture.height * scale), 1))
    pixels = picture.pixels if scale == 1.0 else cv2.resize(picture.pixels, size, interpolation=cv2.INTER_AREA)
    return Image.fromarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)), picture.width, picture.height
