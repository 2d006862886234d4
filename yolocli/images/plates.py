"""Captions as small masks, rendered once and kept: most captions of a run are a few names and a hundred numbers."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from yolocli.images.fonts import Font, Fonts, every_font

if TYPE_CHECKING:
    from yolocli.images.picture import Pixels

PARTS_KEPT, PLATES_KEPT = 512, 256
CUT = "..."


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Some words.

    Attributes:
        mask: uint8 array (height, width): how much of each pixel is ink.
        ascent: Rows above the line that the words stand on.
    """

    mask: Pixels
    ascent: int


class Plates:
    """Renders captions; any number of threads may share one."""

    def __init__(self, fonts: Fonts | None = None) -> None:
        """Takes the fonts to choose from; those of this machine, if none are given."""
        self._fonts = fonts or Fonts(every_font())
        self._lock = threading.Lock()  # a font is used by one thread at a time
        self._part = lru_cache(PARTS_KEPT)(self._rendered)
        self._plate = lru_cache(PLATES_KEPT)(self._joined_or_cut)

    def plate(self, texts: tuple[str, ...], size: int, width: int) -> Pixels:
        """Returns a caption on its plate, in a margin.

        Args:
            texts: What to write, or else the next, if no font has its characters; of the last, characters that no font
                has are left out.
            size: Of the font, in pixels.
            width: Most pixels of the plate; what is longer is cut.

        Returns:
            uint8 array (height, width): how much of each pixel is ink. It is kept, so it must not be changed.
        """
        with self._lock:
            return self._plate(texts, size, width)

    def _joined_or_cut(self, texts: tuple[str, ...], size: int, width: int) -> Pixels:
        texts = tuple(" ".join(text.split()) for text in texts)
        text = next(filter(self._can_be_drawn, texts), None)
        if text is None:
            text = "".join(character for character in texts[-1] if self._can_be_drawn(character))
        plate, end = self._joined(text, size), CUT if self._can_be_drawn(text + CUT) else ""
        while plate.shape[1] > width and text:
            text = text[: min(len(text) - 1, len(text) * width // plate.shape[1])]
            plate = self._joined(text.rstrip() + end, size)
        return plate

    def _can_be_drawn(self, text: str) -> bool:
        return all(map(self._fonts.font_for, _words(text)))

    def _joined(self, text: str, size: int) -> Pixels:
        import numpy as np

        parts = [self._part(words, size) for words in _words(text)]
        margin = max(size // 5, 1)
        ascent = max([size * 3 // 4, *(part.ascent for part in parts)])  # so that most plates are of one height
        below = max([size // 5, *(len(part.mask) - part.ascent for part in parts)])
        gap = max(size // 3, 1)
        width = sum(part.mask.shape[1] for part in parts) + gap * max(len(parts) - 1, 0) + 2 * margin
        plate = np.zeros((ascent + below + 2 * (margin // 2), width), np.uint8)
        left = margin
        for part in parts:
            height, wide = part.mask.shape
            top = margin // 2 + ascent - part.ascent
            plate[top : top + height, left : left + wide] = part.mask
            left += wide + gap
        return plate

    def _rendered(self, words: str, size: int) -> Part:
        import numpy as np
        from PIL import Image, ImageDraw

        found: Font | None = self._fonts.font_for(words)
        assert found is not None
        font = found.at(size)
        box = font.getbbox(words, anchor="ls")  # from where the line begins
        left, top, right, bottom = *map(math.floor, box[:2]), *map(math.ceil, box[2:])
        image = Image.new("L", (max(right - left, 1), max(bottom - top, 1)))
        ImageDraw.Draw(image).text((-left, -top), words, fill=255, font=font, anchor="ls")
        return Part(np.asarray(image), -top)


def _words(text: str) -> list[str]:
    """Returns a text in two parts, mostly a name and a number, which may need different fonts."""
    head, _, tail = text.rpartition(" ")
    return [part for part in (head, tail) if part]
