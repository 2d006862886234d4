"""Writes TIFF files of any kind, those among them that no library writes, from the specification (TIFF 6.0)."""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

GREY, RGB, PALETTE, CMYK, YCBCR = 1, 2, 3, 5, 6
UINT, INT, FLOAT = 1, 2, 3
NONE, OLD_JPEG, JPEG, DEFLATE, PACKBITS, LZMA = 1, 6, 7, 8, 32773, 34925

COMPRESS: Mapping[int, Callable[[bytes], bytes]] = {
    NONE: bytes,
    DEFLATE: zlib.compress,
    LZMA: lambda data: lzma.compress(data, lzma.FORMAT_XZ),
    PACKBITS: lambda data: b"".join(
        bytes([len(part) - 1]) + part for part in (data[at : at + 128] for at in range(0, len(data), 128))
    ),
}
"""Bytes of a strip or tile to what the file holds of it. PackBits here is runs of literals alone."""

Value = bytes | Sequence[int]


def packed(samples: np.ndarray, bits: int, order: str = "<") -> bytes:
    """Rows of samples as the file holds them; each begins on a byte of its own.

    Args:
        samples: Array of shape (rows, samples per row).
        bits: Of one sample, 1 to 64; 8, 16, 32 and 64 keep the type of the array.
        order: Of the bytes of a sample.
    """
    if bits in {8, 16, 32, 64}:
        return samples.astype(f"{order}{samples.dtype.kind}{bits // 8}").tobytes()
    digits = (samples.astype(np.uint32)[..., None] >> np.arange(bits - 1, -1, -1, dtype=np.uint32)) & 1
    return np.packbits(digits.reshape(len(samples), -1).astype(np.uint8), axis=1).tobytes()


def tiff(
    pixels: np.ndarray,
    *,
    bits: int = 8,
    photometric: int | None = None,
    kind: int = UINT,
    compression: int = NONE,
    planar: bool = False,
    rows: int = 0,
    tile: int = 0,
    order: str = "<",
    extra: Mapping[int, Value] | None = None,
    stored: Sequence[bytes] | None = None,
) -> bytes:
    """Returns a file of one page.

    Args:
        pixels: Array of shape (height, width, samples) of values below 2**bits.
        bits: Of one sample.
        photometric: What samples mean; RGB when there are three or more, else grey with 0 for black.
        kind: UINT, INT or FLOAT.
        compression: Of strips and tiles.
        planar: Whether each sample has strips of its own.
        rows: Of a strip; 0 for all in one.
        tile: Side of a tile, a multiple of 16; 0 for strips.
        order: "<" or ">".
        extra: More tags, or others in place of those that are written; an empty value leaves a tag out.
        stored: Contents of the strips, in place of the pixels.
    """
    height, width, samples = pixels.shape
    photometric = (RGB if samples >= 3 else GREY) if photometric is None else photometric
    planes = [pixels[..., band : band + 1] for band in range(samples)] if planar else [pixels]
    parts = [part for plane in planes for part in (_tiles(plane, tile) if tile else _strips(plane, rows or height))]
    chunks = list(stored or (COMPRESS[compression](packed(part, bits, order)) for part in parts))
    tags: dict[int, Value] = {
        256: [width],
        257: [height],
        258: [bits] * samples,
        259: [compression],
        262: [photometric],
        277: [samples],
        284: [2 if planar else 1],
        339: [kind] * samples,
    }
    used = {RGB: 3, CMYK: 4, YCBCR: 3}.get(photometric, 1)
    if samples > used:
        tags[338] = [0] * (samples - used)
    if photometric == PALETTE:
        tags[320] = [(index * (band + 7) * 257) % 65536 for band in range(3) for index in range(1 << bits)]
    at = 8
    offsets = []
    for chunk in chunks:
        offsets.append(at)
        at += len(chunk)
    lengths = [len(chunk) for chunk in chunks]
    tags |= {322: [tile], 323: [tile], 324: offsets, 325: lengths} if tile else {273: offsets, 279: lengths}
    if not tile:
        tags[278] = [rows or height]
    tags |= extra or {}
    at += at % 2
    head = b"II*\0" if order == "<" else b"MM\0*"
    body = b"".join([head, struct.pack(order + "I", at), *chunks])
    return body.ljust(at, b"\0") + _directory({tag: value for tag, value in tags.items() if value}, at, order)


def _strips(plane: np.ndarray, rows: int) -> list[np.ndarray]:
    height = len(plane)
    return [plane[top : top + rows].reshape(min(rows, height - top), -1) for top in range(0, height, rows)]


def _tiles(plane: np.ndarray, side: int) -> list[np.ndarray]:
    height, width, _ = plane.shape
    full = np.pad(plane, ((0, -height % side), (0, -width % side), (0, 0)))
    return [
        full[top : top + side, left : left + side].reshape(side, -1)
        for top in range(0, height, side)
        for left in range(0, width, side)
    ]


def _directory(tags: Mapping[int, Value], at: int, order: str) -> bytes:
    entries, behind = b"", b""
    at += 2 + 12 * len(tags) + 4
    for tag, value in sorted(tags.items()):
        wide = not isinstance(value, bytes) and (tag in {273, 279, 324, 325} or max(value) > 65535)
        kind = 7 if isinstance(value, bytes) else 4 if wide else 3
        content = (
            value if isinstance(value, bytes) else struct.pack(f"{order}{len(value)}{'I' if wide else 'H'}", *value)
        )
        entries += struct.pack(order + "HHI", tag, kind, len(value))
        if len(content) <= 4:
            entries += content.ljust(4, b"\0")
        else:
            entries += struct.pack(order + "I", at + len(behind))
            behind += content + b"\0" * (len(content) % 2)
    return struct.pack(order + "H", len(tags)) + entries + bytes(4) + behind
