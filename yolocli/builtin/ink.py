"""From a grid of modules to printed pixels: styles of printing, colours, quiet zones."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from yolocli.builtin.marks import Mark

Image = NDArray[np.uint8]
Plane = NDArray[np.float32]
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Panel:
    """A printed mark with its quiet zone.

    Attributes:
        name: Class of the mark.
        pixels: BGR picture, shape (height, width, 3).
        ink: Where ink is, 0 to 1, shape (height, width).
        outline: Corners of the mark without its quiet zone, shape (4, 2), x and y in pixels.
    """

    name: str
    pixels: Image
    ink: Plane
    outline: NDArray[np.float32]


def _upsampled(mark: Mark, cell: int) -> Plane:
    grid = mark.modules.astype(np.float32)
    return np.repeat(np.repeat(grid, cell, axis=0), cell, axis=1)


def _square(mark: Mark, cell: int) -> Plane:
    return _upsampled(mark, cell)


def _dots(mark: Mark, cell: int) -> Plane:
    axis = (np.arange(cell) + 0.5) / cell - 0.5
    disk = (axis[:, None] ** 2 + axis[None, :] ** 2 < 0.47**2).astype(np.float32)
    return _upsampled(mark, cell) * np.tile(disk, mark.modules.shape)


def _rounded(mark: Mark, cell: int) -> Plane:
    soft = cv2.GaussianBlur(_upsampled(mark, cell), (0, 0), cell * 0.28)
    return np.asarray(np.clip((soft - 0.5) * 6 + 0.5, 0, 1), np.float32)


def _bled(mark: Mark, cell: int) -> Plane:
    soft = cv2.GaussianBlur(_upsampled(mark, cell), (0, 0), cell * 0.2)
    return np.asarray(np.clip((soft - 0.38) * 8 + 0.5, 0, 1), np.float32)


STYLES: Final[dict[str, Callable[[Mark, int], Plane]]] = {
    "square": _square,
    "dots": _dots,
    "rounded": _rounded,
    "bled": _bled,
}
"""How a printer or a designer turns modules into ink."""

_ODDS: Final[dict[str, tuple[float, float, float, float]]] = {
    "qr_code": (0.84, 0.05, 0.06, 0.05),
    "data_matrix": (0.76, 0.14, 0.04, 0.06),
    "aruco_marker": (0.96, 0.0, 0.0, 0.04),
    "barcode": (1.0, 0.0, 0.0, 0.0),
}


def render(rng: np.random.Generator, mark: Mark, width: int, height: int) -> Plane:
    """Print a mark.

    Args:
        rng: Source of chance, for the style.
        mark: What to print.
        width: Printed width in pixels, quiet zone excluded.
        height: Printed height in pixels.

    Returns:
        Ink from 0 to 1, shape (height, width).
    """
    if mark.name == "barcode":
        cell = max(1, -(-width // mark.modules.shape[1]))
        bars = np.repeat(mark.modules.astype(np.float32), cell, axis=1)
        line = cv2.resize(bars, (width, 1), interpolation=cv2.INTER_AREA)
        return np.repeat(line, height, axis=0)
    style = list(STYLES)[int(rng.choice(4, p=_ODDS[mark.name]))]
    cell = max(3 if style == "square" else 6, -(-width // mark.modules.shape[1]))
    full = STYLES[style](mark, min(cell, 48))
    small = full.shape[1] > width
    how = cv2.INTER_AREA if small else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(full, (width, height), interpolation=how), dtype=np.float32)


def _hue(rng: np.random.Generator, saturation: float, value: float) -> Colour:
    hsv = np.array([[[rng.integers(180), saturation * 255, value * 255]]]).astype(np.uint8)
    b, g, r = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[0, 0].tolist()
    return b, g, r


def _grey(rng: np.random.Generator, low: int, high: int) -> Colour:
    tint = rng.integers(-8, 9, size=3) + rng.integers(low, high)
    b, g, r = np.clip(tint, 0, 255).tolist()
    return b, g, r


def _black_on_white(rng: np.random.Generator) -> tuple[Colour, Colour]:
    return _grey(rng, 0, 60), _grey(rng, 195, 256)


def _pure(rng: np.random.Generator) -> tuple[Colour, Colour]:
    del rng
    return (0, 0, 0), (255, 255, 255)


def _inverted(rng: np.random.Generator) -> tuple[Colour, Colour]:
    return _grey(rng, 200, 256), _grey(rng, 0, 50)


def _coloured(rng: np.random.Generator) -> tuple[Colour, Colour]:
    return _hue(rng, rng.uniform(0.4, 1), rng.uniform(0.1, 0.5)), _grey(rng, 205, 256)


def _on_colour(rng: np.random.Generator) -> tuple[Colour, Colour]:
    return _grey(rng, 0, 50), _hue(rng, rng.uniform(0.2, 0.7), rng.uniform(0.75, 1))


def _light_on_colour(rng: np.random.Generator) -> tuple[Colour, Colour]:
    return _grey(rng, 215, 256), _hue(rng, rng.uniform(0.5, 1), rng.uniform(0.15, 0.5))


def _faint(rng: np.random.Generator) -> tuple[Colour, Colour]:
    middle = int(rng.integers(80, 150))
    return _grey(rng, middle - 30, middle - 10), _grey(rng, middle + 50, middle + 90)


INKS: Final[tuple[tuple[float, Callable[[np.random.Generator], tuple[Colour, Colour]]], ...]] = (
    (0.44, _black_on_white),
    (0.20, _pure),
    (0.10, _inverted),
    (0.08, _coloured),
    (0.08, _on_colour),
    (0.04, _light_on_colour),
    (0.06, _faint),
)
"""Pairs of ink and paper colours, with their share."""


def inks(rng: np.random.Generator) -> tuple[Colour, Colour]:
    """Choose the colours of ink and paper, BGR, 0 to 255."""
    shares = np.array([share for share, _ in INKS])
    return INKS[int(rng.choice(len(INKS), p=shares / shares.sum()))][1](rng)


def blend(paper: Colour, ink: Colour, amount: Plane) -> Image:
    """Mix two colours by a plane of amounts from 0 (paper) to 1 (ink)."""
    low, high = np.array(paper, np.float32), np.array(ink, np.float32)
    return (low + amount[:, :, None] * (high - low) + 0.5).astype(np.uint8)


def panel(
    rng: np.random.Generator,
    mark: Mark,
    side: float,
    colours: tuple[Colour, Colour] | None = None,
) -> Panel:
    """Print a mark with a quiet zone that is sometimes full and sometimes nearly absent.

    Args:
        rng: Source of chance.
        mark: What to print.
        side: Longest side of the mark in pixels.
        colours: Ink and paper; chosen when not given.
    """
    width = max(4, round(side if mark.aspect <= 1 else side / mark.aspect))
    height = max(4, round(width * mark.aspect))
    ink, paper = colours or inks(rng)
    module = width / mark.modules.shape[1]
    barely = rng.random() < 0.25
    # An ArUco border that touches a dark surround has no edge left to be found at.
    least = 0.6 if mark.name == "aruco_marker" else 0.3
    zone = rng.uniform(least, 1.2) if barely else rng.uniform(1.2, 4.5)
    scale = 3.0 if mark.name == "barcode" else 1.0  # 1-D quiet zones are counted in thin bars
    pad_x = max(1, round(module * zone * scale))
    pad_y = pad_x if mark.name != "barcode" else max(1, round(pad_x * rng.uniform(0.1, 1.2)))
    amount = np.zeros((height + 2 * pad_y, width + 2 * pad_x), np.float32)
    amount[pad_y : pad_y + height, pad_x : pad_x + width] = render(rng, mark, width, height)
    x1, y1, x2, y2 = pad_x, pad_y, pad_x + width, pad_y + height
    outline = np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], np.float32)
    return Panel(mark.name, blend(paper, ink, amount), amount, outline)
