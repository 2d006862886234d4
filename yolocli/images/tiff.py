"""What the first page of a TIFF says about its pixels, and who can read them.

TIFF is a family of formats. OpenCV reads the common ones; of some it makes nothing, and of some, whose strips hold less
than it takes for granted, it gives out memory that it never wrote. Pillow reads others. The rest is named.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType

UNCOMPRESSED = 1
MIN_IS_WHITE, RGB, PALETTE, CMYK, YCBCR = 0, 2, 3, 5, 6
FLOAT = 3
READ_BY_OPENCV = frozenset({UNCOMPRESSED, 2, 3, 4, 5, 7, 8, 32773, 32946})
"""Compressions of the libtiff in OpenCV's wheels: CCITT, LZW, JPEG, Deflate and PackBits."""
COMPRESSIONS: Mapping[int, str] = MappingProxyType(
    {
        UNCOMPRESSED: "no",
        2: "CCITT",
        3: "CCITT",
        4: "CCITT",
        5: "LZW",
        6: "old-style JPEG",
        7: "JPEG",
        8: "Deflate",
        32773: "PackBits",
        32946: "Deflate",
        34925: "LZMA",
        50000: "Zstandard",
        50001: "WebP",
    }
)
"""All that can be read: by those of Pillow's wheels, too."""
KINDS: Mapping[int, str] = MappingProxyType({1: "integers", 2: "signed integers", FLOAT: "floating point"})
PHOTOMETRICS: Mapping[int, str] = MappingProxyType(
    {0: "grey", 1: "grey", RGB: "RGB", PALETTE: "palette", CMYK: "CMYK", YCBCR: "YCbCr", 8: "CIE L*a*b*", 32803: "raw"}
)
ORIENTATION = 274
EXIF_PREFIX = b"Exif\0\0"
TILE_UNIT = 1024
"""OpenCV's libtiff refuses uncompressed tiles of any other size than a multiple of this."""

_SIGNATURES = {
    b"II*\0": ("<", "I", "H", 4),
    b"MM\0*": (">", "I", "H", 4),
    b"II+\0": ("<", "Q", "Q", 8),
    b"MM\0+": (">", "Q", "Q", 8),
}
"""First bytes to the order of bytes, the types of offsets and of the count of tags, and where the first offset lies."""
_TYPES = {1: "B", 3: "H", 4: "I", 16: "Q"}
_MOST_TAGS, _MOST_VALUES = 1_000, 16


@dataclass(frozen=True, slots=True)
class Page:
    """How the pixels of a page are stored; numbers are those of the TIFF 6.0 specification.

    Attributes:
        width: In pixels, as stored.
        height: In pixels, as stored.
        bits: Of a sample, the widest.
        mixed: Whether samples differ in their bits.
        samples: Of a pixel.
        kind: Of number: 1 unsigned, 2 signed, 3 floating point.
        photometric: What samples mean.
        compression: Of strips and tiles.
        planar: Whether each sample has strips of its own.
        tile_bytes: Of a tile before compression; 0 when there are strips.
        orientation: How the image lies in it, 1 to 8; 1 is upright.
    """

    width: int
    height: int
    bits: int
    mixed: bool
    samples: int
    kind: int
    photometric: int
    compression: int
    planar: bool
    tile_bytes: int
    orientation: int

    @property
    def suits_opencv(self) -> bool:
        """Whether OpenCV reads such a page, as measured with every combination that its decoder tells apart."""
        common = self.bits in {8, 16} or (self.bits == 1 and self.samples == 1)
        palette = self.bits == 4 and self.photometric == PALETTE
        packed = self.bits in {10, 12, 14} and self.photometric == RGB and not self.planar
        return (
            (common or palette or packed)
            and not self.mixed
            and self.kind != FLOAT
            and self.compression in READ_BY_OPENCV
            and self.samples <= 4
            and not (self.bits == 16 and self.photometric == CMYK)
            and not (self.photometric == YCBCR and self.planar)
            and not (self.compression == UNCOMPRESSED and self.tile_bytes % TILE_UNIT)
        )

    @property
    def suits_pillow(self) -> bool:
        """Whether Pillow, if it opens such a page, gives its pixels and not something else."""
        return (
            self.bits <= 16
            and self.kind != FLOAT
            and not (self.bits > 8 and self.photometric == MIN_IS_WHITE)  # would be a negative
            and not (self.bits != 8 and self.planar and self.compression == UNCOMPRESSED)  # takes each byte for one
            and not (self.photometric == YCBCR and self.planar)
        )

    def __str__(self) -> str:
        kind = KINDS.get(self.kind, "samples of an unknown kind")
        photometric = PHOTOMETRICS.get(self.photometric, f"photometric {self.photometric}")
        planes = " in planes of their own" if self.planar else ""
        compression = COMPRESSIONS.get(self.compression, f"unknown ({self.compression})")
        samples = f"{self.bits}-bit {kind}, {self.samples} a pixel{planes}"
        return f"a TIFF of {samples}, {photometric}, {compression} compression"


def first_page(data: bytes) -> Page | None:
    """Returns how the first page of a TIFF is stored; None when the bytes are no TIFF or have no readable directory."""
    tags = _tags(data)
    if 256 not in tags or 257 not in tags:
        return None

    def number(tag: int, default: int) -> int:
        return tags.get(tag, (default,))[0]

    bits = tags.get(258, (1,))
    samples = number(277, 1)
    planar = number(284, 1) == 2 and samples > 1
    tile_bits = number(322, 0) * number(323, 0) * max(bits) * (1 if planar else samples)
    return Page(
        width=number(256, 0),
        height=number(257, 0),
        bits=max(bits),
        mixed=len(set(bits)) > 1,
        samples=samples,
        kind=number(339, 1),
        photometric=number(262, 0),
        compression=number(259, UNCOMPRESSED),
        planar=planar,
        tile_bytes=tile_bits // 8,
        orientation=_orientation(tags),
    )


def orientation(exif: bytes) -> int:
    """Returns how an image lies in its file, 1 to 8; 1, which is upright, when that is not said.

    Args:
        exif: What the file has of EXIF, which is a TIFF without pixels; empty when it has none.
    """
    return _orientation(_tags(exif.removeprefix(EXIF_PREFIX)))


def _orientation(tags: Mapping[int, tuple[int, ...]]) -> int:
    value = tags.get(ORIENTATION, (1,))[0]
    return value if 1 <= value <= 8 else 1


def _tags(data: bytes) -> dict[int, tuple[int, ...]]:
    """Returns the first values of each tag that holds whole numbers, as far as the directory can be read."""
    found: dict[int, tuple[int, ...]] = {}
    if data[:4] not in _SIGNATURES:
        return found
    order, offset, count, start = _SIGNATURES[data[:4]]
    room = struct.calcsize(offset)
    with suppress(struct.error, OverflowError):
        (at,) = struct.unpack_from(order + offset, data, start)
        (entries,) = struct.unpack_from(order + count, data, at)
        at += struct.calcsize(count)
        for entry in range(at, at + min(entries, _MOST_TAGS) * (4 + 2 * room), 4 + 2 * room):
            tag, kind, length = struct.unpack_from(order + "HH" + offset, data, entry)
            if kind in _TYPES and length:
                with suppress(struct.error, OverflowError):
                    values = entry + 4 + room
                    if length * struct.calcsize(_TYPES[kind]) > room:
                        (values,) = struct.unpack_from(order + offset, data, values)
                    several = f"{order}{min(length, _MOST_VALUES)}{_TYPES[kind]}"
                    found.setdefault(tag, struct.unpack_from(several, data, values))  # libtiff takes the first, too
    return found
