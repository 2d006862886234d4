"""Maps as PNG files, which say that they are yolocli's."""

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
