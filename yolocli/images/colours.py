"""Colours of classes: functions of their index alone, so that they are the same in every run and on every machine."""

from __future__ import annotations

import colorsys
from functools import cache
from typing import Final, TypeAlias

Colour: TypeAlias = tuple[int, int, int]
"""Blue, green and red, 0 to 255."""

BLACK: Final[Colour] = (0, 0, 0)
WHITE: Final[Colour] = (255, 255, 255)
GOLDEN: Final = 0.6180339887498949
"""Of the circle of hues, between a class and the next: any few classes in a row lie far apart."""
FIRST_HUE: Final = 0.03
SHADES: Final = ((0.9, 1.0), (0.6, 1.0), (1.0, 0.75))
"""Saturation and value, in turns, so that classes whose hues are alike differ in something else."""


@cache
def class_colour(index: int) -> Colour:
    """Returns the colour of a class."""
    saturation, value = SHADES[index % len(SHADES)]
    red, green, blue = colorsys.hsv_to_rgb((FIRST_HUE + index * GOLDEN) % 1, saturation, value)
    return round(blue * 255), round(green * 255), round(red * 255)


def css(colour: Colour) -> str:
    """Returns a colour as style sheets write it."""
    blue, green, red = colour
    return f"#{red:02x}{green:02x}{blue:02x}"


@cache
def text_colour(background: Colour) -> Colour:
    """Returns black or white, whichever is read better: of the two, one always has a contrast of 4.58 or more.

    Contrast and luminance are those of WCAG 2.2 (https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio).
    """
    return max((BLACK, WHITE), key=lambda text: contrast(text, background))


def contrast(one: Colour, other: Colour) -> float:
    """Returns the contrast ratio of two colours, 1 to 21."""
    darker, lighter = sorted(map(_luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: Colour) -> float:
    shares = [value / 255 for value in colour]
    blue, green, red = (share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
