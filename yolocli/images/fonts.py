"""Fonts that have the characters of a text: such as are always here, then those of the system.

A class may be called anything, in any script. Which characters a font has is read from its `cmap` table (OpenType 1.9),
as Pillow does not tell.
"""

from __future__ import annotations

import io
import os
import struct
import sys
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from importlib.util import find_spec
from typing import IO, TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

VARIABLE = "YOLOCLI_FONT"
"""Names a font file that comes before all others."""
SUFFIXES = (".ttf", ".otf", ".ttc")
STYLES = ("bold", "italic", "oblique", "light", "thin", "black", "medium", "condensed", "mono", "serif", "symbol")
"""Words in the names of fonts that are taken only where no plain one has what is needed."""
OUTLINES = frozenset({b"glyf", b"CFF ", b"CFF2"})
"""Tables of fonts that can be drawn in any size, unlike those of coloured emoji."""
SIZES_KEPT = 8
SIZE_TRIED = 16

Ranges: TypeAlias = list[tuple[int, int]]
"""First and last of characters in a row, rising."""


class Font:
    """A font file, read when it is needed."""

    def __init__(self, file: str | bytes) -> None:
        """Takes a path, or what the file holds."""
        self._file = file
        self._ranges: Ranges | None = None
        self.at = lru_cache(SIZES_KEPT)(self._at)

    def has(self, text: str) -> bool:
        """Tells whether it has all characters of a text; False if it cannot be read."""
        if self._ranges is None:
            try:
                with self._open() as stream:
                    self._ranges = characters(stream)
                self.at(SIZE_TRIED)  # the rest of it may be damaged
            except (OSError, ValueError, struct.error):
                self._ranges = []
        return all(_lies_in(ord(character), self._ranges) for character in text)

    def _open(self) -> IO[bytes]:
        return io.BytesIO(self._file) if isinstance(self._file, bytes) else open(self._file, "rb")

    def _at(self, size: int) -> FreeTypeFont:
        """Returns it in a size, in pixels."""
        from PIL import ImageFont

        return ImageFont.truetype(self._file if isinstance(self._file, str) else io.BytesIO(self._file), size)


class Fonts:
    """Fonts in the order in which they are asked; see `font_for`."""

    def __init__(self, fonts: Iterable[Font]) -> None:
        self._more = iter(fonts)
        self._fonts: list[Font] = []
        self.font_for = lru_cache(maxsize=1024)(self._font_for)

    def _font_for(self, text: str) -> Font | None:
        """Returns the first font that has all characters of a text, whatever space is between them."""
        needed = "".join(dict.fromkeys(text.replace(" ", "")))
        return next((font for font in self._all() if font.has(needed)), None)

    def _all(self) -> Iterator[Font]:
        yield from self._fonts
        for font in self._more:
            self._fonts.append(font)
            yield font


def every_font() -> Iterator[Font]:
    """Yields the fonts of this machine: one that was named, those that come with libraries, those of the system."""
    if path := os.environ.get(VARIABLE):
        yield Font(path)
    yield from map(Font, _of_matplotlib())
    yield from _of_pillow()
    yield from map(Font, of_system())


def trouble() -> str:
    """Returns what is wrong with the font that was named, in a sentence; empty if nothing is, or none was."""
    path = os.environ.get(VARIABLE)
    if not path or Font(path).has(" "):
        return ""
    return f"{VARIABLE}: {path} cannot be read as a font; others are used"


def of_system(folders: Sequence[str] | None = None) -> list[str]:
    """Returns the paths of all font files below some folders, plain ones first, in an order that does not change."""
    found = []
    for folder in _folders() if folders is None else folders:
        for path, _, names in os.walk(folder):
            found += [os.path.join(path, name) for name in names if name.lower().endswith(SUFFIXES)]
    return sorted(found, key=_rank)


def characters(stream: IO[bytes]) -> Ranges:
    """Returns which characters a font can draw.

    Args:
        stream: Of its file; of a collection of fonts, the first one's are returned.

    Raises:
        ValueError: If it is damaged.
        struct.error: Likewise.
    """
    start = 0
    if stream.read(4) == b"ttcf":
        (start,) = struct.unpack(">I", _read(stream, 12, 4))
    (count,) = struct.unpack(">H", _read(stream, start + 4, 2))
    directory = _read(stream, start + 12, count * 16)
    tables = {directory[at : at + 4]: struct.unpack_from(">II", directory, at + 8) for at in range(0, count * 16, 16)}
    if b"cmap" not in tables or not OUTLINES & tables.keys():
        return []
    cmap = _read(stream, *tables[b"cmap"])
    (count,) = struct.unpack_from(">H", cmap, 2)
    found = {}
    for at in range(4, 4 + count * 8, 8):
        platform, encoding, offset = struct.unpack_from(">HHI", cmap, at)
        if platform == 0 or (platform == 3 and encoding in {1, 10}):  # Unicode
            found[struct.unpack_from(">H", cmap, offset)[0]] = offset
    if 12 in found:  # which has all that a table of format 4 has
        return _of_groups(cmap[found[12] :])
    return _of_segments(cmap[found[4] :]) if 4 in found else []


def _read(stream: IO[bytes], offset: int, length: int) -> bytes:
    stream.seek(offset)
    return stream.read(length)


def _of_groups(table: bytes) -> Ranges:
    """Reads a table of format 12."""
    (count,) = struct.unpack_from(">I", table, 12)
    groups = struct.iter_unpack(">III", table[16 : 16 + count * 12])
    return [(first, last) for first, last, _ in groups]


def _of_segments(table: bytes) -> Ranges:
    """Reads a table of format 4."""
    (doubled,) = struct.unpack_from(">H", table, 6)
    count, where = doubled // 2, 16 + 3 * doubled
    ends, starts, offsets = (struct.unpack_from(f">{count}H", table, at) for at in (14, 16 + doubled, where))
    found: Ranges = []
    for segment, (first, last) in enumerate(zip(starts, ends, strict=True)):
        if first > last or first == 0xFFFF:
            continue
        if not offsets[segment]:
            found.append((first, last))
            continue
        at = where + 2 * segment + offsets[segment]
        glyphs = struct.unpack_from(f">{last - first + 1}H", table, at)
        found += [(first + place, first + place) for place, glyph in enumerate(glyphs) if glyph]
    return found


def _lies_in(character: int, ranges: Ranges) -> bool:
    place = bisect_right(ranges, (character, sys.maxunicode)) - 1
    return place >= 0 and ranges[place][0] <= character <= ranges[place][1]


def _of_matplotlib() -> list[str]:
    """Returns the font that comes with matplotlib, which Ultralytics needs: Latin, Greek, Cyrillic, Arabic and more."""
    with suppress(ImportError, ValueError):
        spec = find_spec("matplotlib")
        if spec is not None and spec.origin is not None:
            path = os.path.join(os.path.dirname(spec.origin), "mpl-data", "fonts", "ttf", "DejaVuSans.ttf")
            return [path] if os.path.isfile(path) else []
    return []


def _of_pillow() -> Iterator[Font]:
    """Yields the font that Pillow has in itself: Latin alone."""
    with suppress(ImportError, OSError, TypeError):  # Pillow may lack FreeType, or be of a version without a font
        from PIL import ImageFont

        data = getattr(ImageFont.load_default(16), "font_bytes", None)
        if data:
            yield Font(data)


def _folders() -> list[str]:
    """Returns where the system keeps fonts."""
    if sys.platform == "win32":
        local = os.path.join(os.environ.get("LOCALAPPDATA", ""), "Microsoft", "Windows", "Fonts")
        return [os.path.join(os.environ.get("WINDIR", r"C:\Windows"), "Fonts"), local]
    home = os.path.expanduser("~")
    if sys.platform == "darwin":
        return ["/System/Library/Fonts", "/Library/Fonts", os.path.join(home, "Library/Fonts")]
    return [
        "/usr/share/fonts",
        "/usr/local/share/fonts",
        *(os.path.join(home, at) for at in (".local/share/fonts", ".fonts")),
    ]


def _rank(path: str) -> tuple[int, str]:
    name = os.path.basename(path).lower()
    return sum(style in name.replace("sansserif", "") for style in STYLES), path
