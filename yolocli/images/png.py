"""The chunks of PNG files: of maps, which say that they are yolocli's, and of those with EXIF."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
HEADER_BYTES: Final = 25
"""Of the first chunk, IHDR, whole (PNG, third edition, 11.2.1)."""
SOFTWARE: Final = b"tEXtSoftware\0yolocli"
"""Type and content of the chunk after it (11.3.3.2), which tells such a file from those of others."""
END: Final = b"\0\0\0\0IEND\xaeB`\x82"
"""The last chunk (11.2.4)."""


def png(pixels: NDArray[Any]) -> bytes:
    """Returns a grey PNG.

    Args:
        pixels: (height, width), uint8 or uint16.
    """
    import cv2

    done, encoded = cv2.imencode(".png", pixels)
    if not done:
        raise ValueError(f"a map of {pixels.shape[1]} x {pixels.shape[0]} cannot be encoded as PNG")
    data, head = encoded.tobytes(), len(SIGNATURE) + HEADER_BYTES
    checksum = struct.pack(">I", zlib.crc32(SOFTWARE))
    return data[:head] + struct.pack(">I", len(SOFTWARE) - len(b"tEXt")) + SOFTWARE + checksum + data[head:]


def exif_of_png(data: bytes) -> bytes:
    """Returns the EXIF of a PNG (11.3.4.5), before its pixels or behind them; empty if there is none.

    Args:
        data: A whole file.
    """
    at = len(SIGNATURE)
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"eXIf":
            return data[at + 8 : at + 8 + length]
        at += length + 12
    return b""
