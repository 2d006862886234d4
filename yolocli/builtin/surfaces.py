"""What marks are printed on: one function a surface, in a registry.

Every function takes the panels to show (printed marks with their quiet zones, at about the size
they will have in the scene) and lays them out on a thing of its own kind.
"""

from collections.abc import Callable, Sequence
from typing import Final

import cv2
import numpy as np

from yolocli.builtin.ink import Image, Panel, Plane
from yolocli.builtin.lookalikes import LOOKALIKES
from yolocli.builtin.textures import colour, fractal, gradient, grain, mix, paragraph, phrase, write
from yolocli.builtin.warps import Outline, Patch, edge

Surface = Callable[[np.random.Generator, Sequence[Panel]], Patch]


def _put(canvas: Image, shown: Panel, x: int, y: int) -> Outline:
    height, width = shown.ink.shape
    canvas[y : y + height, x : x + width] = shown.pixels
    return Outline(shown.name, edge(shown.outline + np.array([x, y], np.float32)))


def _full(canvas: Image) -> Plane:
    return np.ones(canvas.shape[:2], np.float32)


def _rounded(height: int, width: int, radius: int) -> Plane:
    mask = np.zeros((height, width), np.float32)
    cv2.rectangle(mask, (radius, 0), (width - 1 - radius, height - 1), 1.0, -1)
    cv2.rectangle(mask, (0, radius), (width - 1, height - 1 - radius), 1.0, -1)
    for x in (radius, width - 1 - radius):
        for y in (radius, height - 1 - radius):
            cv2.circle(mask, (x, y), radius, 1.0, -1)
    return mask


def _row(
    rng: np.random.Generator, panels: Sequence[Panel], margin: float = 1.0
) -> tuple[int, int, list[tuple[int, int]]]:
    """Lay panels out in a row or a column with gaps: width, height, corners."""
    sizes = [p.ink.shape for p in panels]
    unit = max(4, int(np.mean([max(s) for s in sizes]) * 0.3 * margin))
    across = rng.random() < 0.5
    x = y = 0
    corners, width, height = [], 0, 0
    for h, w in sizes:
        gap = int(unit * rng.uniform(0.1, 1.2))
        x, y = (x + gap, int(rng.integers(0, unit))) if across else (int(rng.integers(0, unit)), y + gap)
        corners.append((x, y))
        width, height = max(width, x + w), max(height, y + h)
        x, y = (x + w, y) if across else (x, y + h)
    return width, height, corners


def _sheet(
    rng: np.random.Generator, panels: Sequence[Panel], canvas_of: Callable[[int, int], Image], room: float
) -> tuple[Image, tuple[Outline, ...], tuple[int, int, int, int]]:
    """Lay panels on a canvas with room around them: canvas, outlines, the block they fill."""
    width, height, corners = _row(rng, panels)
    left, right = int(width * room * rng.random()), int(width * room * rng.random())
    top, bottom = int(height * room * rng.random()), int(height * room * rng.random())
    canvas = canvas_of(height + top + bottom + 2, width + left + right + 2)
    marks = tuple(_put(canvas, p, x + left + 1, y + top + 1) for p, (x, y) in zip(panels, corners, strict=True))
    return canvas, marks, (left, top, left + width, top + height)


def _print_around(
    rng: np.random.Generator, canvas: Image, block: tuple[int, int, int, int], paper: tuple[int, ...]
) -> None:
    """Fill the room around the marks with text, lines and pictures, in place."""
    height, width = canvas.shape[:2]
    dark = sum(paper) < 380
    ink = colour(rng, 0.6, 180, 255) if dark else colour(rng, 0.8, 0, 110)
    size = int(np.clip(height * rng.uniform(0.03, 0.14), 5, 70))
    x1, y1, x2, y2 = block
    gap = max(2, size // 3)
    spaces = [
        (gap, gap, width - gap, y1 - gap),
        (gap, y2 + gap, width - gap, height - gap),
        (gap, y1, x1 - gap, y2),
        (x2 + gap, y1, width - gap, y2),
    ]
    for left, top, right, bottom in spaces:
        if right - left < 12 or bottom - top < 6:
            continue
        chance = rng.random()
        if chance < 0.6:
            fitted = min(size, bottom - top)
            paragraph(rng, canvas, (left, top, right, bottom), fitted, ink)
        elif chance < 0.8:
            name = str(rng.choice(["logo", "stripes", "text", "grid", "icons", "halftone"]))
            side = min(right - left, bottom - top)
            canvas[top : top + side, left : left + side] = LOOKALIKES[name][1](rng, side, side)
    if rng.random() < 0.3:
        cv2.rectangle(canvas, (1, 1), (width - 2, height - 2), ink, max(1, size // 10))
    if rng.random() < 0.2:
        cv2.line(canvas, (0, y2 + 1), (width, y2 + 1), ink, 1)


def _paper(panel: Panel) -> tuple[int, int, int]:
    b, g, r = panel.pixels[0, 0].tolist()
    return b, g, r


def sticker(rng: np.random.Generator, panels: Sequence[Panel]) -> Patch:
    """The mark and its quiet zone alone, square or with round corners."""
    first = panels[0]
    canvas = first.pixels.copy()
    mark = Outline(first.name, edge(first.outline))
    height, width = first.ink.shape
    if rng.random() < 0.3:
        corner = float(np.abs(first.outline[0]).min())  # no round corner may reach the mark
        return Patch(canvas, _rounded(height, width, max(1, int(corner))), (mark,))
    return Patch(canvas, _full(canvas), (mark,))


def label(rng: np.random.Generator, panels: Sequence[Panel]) -> Patch:
    """A paper label with text around the marks, of the paper of its first mark."""
    paper = _paper(panels[0])

    def blank(height: int, width: int) -> Image:
        return np.full((height, width, 3), paper, np.uint8)

    canvas, marks, block = _sheet(rng, panels, blank, 1.2)
    _print_around(rng, canvas, block, paper)
    if marks[0].name == "barcode":
        points = marks[0].points
        size = int(np.clip(float(np.ptp(points[:, 1])) * 0.16, 5, 40))
        digits = " ".join(str(d) for d in rng.integers(0, 10**6, 2))
        below = (int(points[:, 0].min()), int(points[:, 1].max()) + 2)
        write(canvas, digits, below, size, (0, 0, 0) if sum(paper) > 380 else (255, 255, 255), 2)
    return Patch(canvas, _full(canvas), marks)


def carton(rng: np.random.Generator, panels: Sequence[Panel]) -> Patch:
    """A cardboard face, with tape and print."""

    def board(height: int, width: int) -> Image:
        low = (int(rng.integers(50, 90)), int(rng.integers(90, 130)), int(rng.integers(130, 170)))
        high = (low[0] + 40, low[1] + 45, low[2] + 50)
        canvas = grain(rng, mix(low, high, fractal(rng, height, width, 0.9)), 5)
        if rng.random() < 0.4:
            y, tape = int(rng.integers(height)), max(2, height // 9)
            canvas[y : y + tape] = (canvas[y : y + tape] * 0.6 + np.array([60, 80, 90])).astype(np.uint8)
        for _ in range(int(rng.integers(0, 3))):
            spot = (int(rng.integers(width)), int(rng.integers(height)))
            write(canvas, phrase(rng, 2), spot, int(height * rng.uniform(0.05, 0.2)), (40, 40, 50), 1)
        return canvas

    canvas, marks, _ = _sheet(rng, panels, board, 1.6)
    return Patch(canvas, _full(canvas), marks)


def printed(rng: np.random.Generator, panels: Sequence[Panel]) -> Patch:
    """Ink straight on a light material: wood, plastic, cloth, card; no panel of its own."""
    first = panels[0]
    height, width = first.ink.shape
    pad = int(max(height, width) * rng.uniform(0.02, 0.5))
    low = colour(rng, 0.5, 130, 200)
    high = (min(255, low[0] + 45), min(255, low[1] + 45), min(255, low[2] + 45))
    size = (height + 2 * pad, width + 2 * pad)
    canvas = grain(rng, mix(low, high, fractal(rng, *size, 0.8)), rng.uniform(0, 6))
    amount = np.zeros(size, np.float32)
    amount[pad : pad + height, pad : pad + width] = first.ink * rng.uniform(0.75, 1.0)
    if rng.random() < 0.4:  # worn or badly printed
        amount *= np.clip(1.4 - 0.7 * fractal(rng, *size, 0.8), 0, 1)
    ink = np.array(colour(rng, 0.8, 0, 50), np.float32)
    mixed = canvas + amount[:, :, None] * (ink - canvas)
    outline = Outline(first.name, edge(first.outline + np.float32(pad)))
    return Patch(mixed.astype(np.uint8), _full(canvas), (outline,))


def metal(rng: np.random.Generator, panels: Sequence[Panel]) -> Patch:
    """A mark engraved in brushed metal or moulded in plastic: little contrast, either polarity."""
    first = panels[0]
    height, width = first.ink.shape
    pad = int(max(height, width) * rng.uniform(0.1, 0.7))
    size = (height + 2 * pad, width + 2 * pad)
    brushed = cv2.blur(rng.random(size, dtype=np.float32), (int(rng.integers(5, 41)), 1))
    base = rng.uniform(70, 170)
    sheen = base + 120 * (brushed - 0.5) + 50 * (gradient(rng, *size) - 0.5)
    amount = np.zeros(size, np.float32)
    amount[pad : pad + height, pad : pad + width] = first.ink
    depth = rng.uniform(45, 90) * (1 if base < 110 else -1)
    grey = np.clip(sheen + depth * amount, 0, 255)
    tint = np.array(colour(rng, 0.15, 225, 256), np.float32) / 255
    outline = Outline(first.name, edge(first.outline + np.float32(pad)))
    canvas = np.clip(grey[:, :, None] * tint, 0, 255).astype(np.uint8)
    return Patch(canvas, _full(canvas), (outline,))


def screen(rng: np.random.Generator, panels: Sequence[Panel]) -> Patch:
    """A phone, a tablet or a monitor that shows the marks on a page, light or dark."""
    page = (18, 18, 18) if rng.random() < 0.35 else (250, 250, 250)
    page = colour(rng, 0.5) if rng.random() < 0.2 else page

    def blank(height: int, width: int) -> Image:
        return np.full((height, width, 3), page, np.uint8)

    canvas, marks, block = _sheet(rng, panels, blank, 1.4)
    _print_around(rng, canvas, block, page)
    bezel = max(2, int(min(canvas.shape[:2]) * rng.uniform(0.03, 0.15)))
    frame = colour(rng, 0.2, 5, 60)
    canvas = cv2.copyMakeBorder(canvas, bezel, bezel, bezel, bezel, cv2.BORDER_CONSTANT, value=frame)
    if rng.random() < 0.3:  # the raster of the display
        step = int(rng.integers(2, 4))
        canvas[::step] = (canvas[::step] * 0.85).astype(np.uint8)
    moved = tuple(Outline(m.name, m.points + np.float32(bezel)) for m in marks)
    return Patch(canvas, _rounded(canvas.shape[0], canvas.shape[1], bezel), moved)


def poster(rng: np.random.Generator, panels: Sequence[Panel]) -> Patch:
    """A coloured print with a title, a picture-like ground and the marks on their panels."""

    def ground(height: int, width: int) -> Image:
        return mix(colour(rng, 1.0), colour(rng, 1.0), fractal(rng, height, width, rng.uniform(0.2, 0.6)))

    canvas, marks, block = _sheet(rng, panels, ground, 2.0)
    _print_around(rng, canvas, block, (255, 255, 255) if rng.random() < 0.5 else (0, 0, 0))
    return Patch(canvas, _full(canvas), marks)


SURFACES: Final[dict[str, tuple[float, int, Surface]]] = {
    "sticker": (2.6, 1, sticker),
    "label": (3.0, 3, label),
    "carton": (1.6, 2, carton),
    "printed": (1.0, 1, printed),
    "metal": (0.6, 1, metal),
    "screen": (1.4, 2, screen),
    "poster": (1.4, 2, poster),
}
"""Every surface with its weight and the most marks it shows."""


def choose(rng: np.random.Generator) -> tuple[int, Surface]:
    """Choose a surface: the most marks it shows, and its function."""
    weights = np.array([weight for weight, _, _ in SURFACES.values()])
    name = list(SURFACES)[int(rng.choice(len(weights), p=weights / weights.sum()))]
    return SURFACES[name][1:]
