"""A whole scene: background, look-alikes, marks on their surfaces, then what a camera does to it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

import cv2
import numpy as np

from yolocli.builtin import CODES
from yolocli.builtin.backgrounds import background, wild
from yolocli.builtin.degradations import degrade
from yolocli.builtin.ink import Image, Panel, inks, panel
from yolocli.builtin.lookalikes import lookalike
from yolocli.builtin.marks import draw
from yolocli.builtin.surfaces import SURFACES, choose
from yolocli.builtin.textures import colour
from yolocli.builtin.warps import Outline, Patch, Pose, bent, outlines, paste

Bounds = tuple[float, float, float, float]


@dataclass(frozen=True)
class Box:
    """A true box.

    Attributes:
        name: Class of the mark in it.
        x1, y1, x2, y2: Its edges in pixels, inside the picture.
    """

    name: str
    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True)
class Scene:
    """A drawn picture and where its marks truly are.

    Attributes:
        image: BGR, shape (height, width, 3).
        boxes: A box a mark.
        outlines: An outline a mark, in the boxes' order; where a mark is cut off it goes on outside the picture.
    """

    image: Image
    boxes: tuple[Box, ...]
    outlines: tuple[Outline, ...]


@dataclass
class Layout:
    """A scene while it is being put together."""

    image: Image
    outlines: list[Outline] = field(default_factory=list)
    taken: list[Bounds] = field(default_factory=list)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.image.shape[1], self.image.shape[0]


def _overlap(a: Bounds, b: Bounds) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _clipped(outline: Outline, size: tuple[int, int]) -> tuple[Box, float]:
    """The box of an outline inside a picture, and the share of the outline's box that it is."""
    x1, y1, x2, y2 = outline.bounds
    left, top = max(x1, 0.0), max(y1, 0.0)
    right, bottom = min(x2, float(size[0])), min(y2, float(size[1]))
    share = max(0.0, right - left) * max(0.0, bottom - top) / max((x2 - x1) * (y2 - y1), 1e-6)
    return Box(outline.name, left, top, right, bottom), share


def _bounds(patch: Patch, pose: Pose) -> Bounds:
    height, width = patch.alpha.shape
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    return outlines(Patch(patch.pixels, patch.alpha, (Outline("", corners),)), pose)[0].bounds


def _tilt(rng: np.random.Generator) -> tuple[float, float, float]:
    """Roll, yaw and pitch: most things stand or lie about straight, the rest anyhow."""
    chance = rng.random()
    if chance < 0.2:
        return 0.0, 0.0, 0.0
    roll = rng.normal(0, 0.12) if chance < 0.65 else rng.uniform(-np.pi, np.pi)
    steep = 0.15 if rng.random() < 0.4 else 0.6
    return roll, rng.uniform(-steep, steep), rng.uniform(-steep, steep)


def _side(rng: np.random.Generator, longest: int, share: tuple[float, float]) -> float:
    low, high = np.log(share)
    return float(np.exp(rng.uniform(low, high))) * longest


def _add_things(rng: np.random.Generator, layout: Layout, count: int) -> None:
    """Add look-alikes anywhere."""
    width, height = layout.size
    for _ in range(count):
        side = _side(rng, max(width, height), (0.05, 0.7))
        aspect = float(np.exp(rng.normal(0, 0.4)))
        patch = lookalike(rng, max(12, int(side)), max(12, int(side / aspect)))
        roll, yaw, pitch = _tilt(rng)
        centre = (rng.uniform(0, width), rng.uniform(0, height))
        bend = rng.uniform(0.1, 1.0) if rng.random() < 0.15 else 0.0
        pose = Pose(centre, 1.0, roll, yaw, pitch, bend, bool(rng.random() < 0.7))
        paste(layout.image, bent(patch, pose), pose, rng.uniform(0, 0.6))


def _add_marks(rng: np.random.Generator, layout: Layout, share: tuple[float, float], flat: bool) -> None:
    """Add one surface with its marks where there is room; after twelve tries, go without."""
    width, height = layout.size
    longest = max(width, height)
    side = _side(rng, longest, share)
    most, surface = SURFACES["sticker"][1:] if side > 0.5 * longest else choose(rng)
    panels: list[Panel] = []
    for _ in range(int(rng.integers(1, most + 1))):
        name = CODES[int(rng.integers(len(CODES)))]
        own = side * (rng.uniform(0.6, 1.2) if panels else 1.0)
        own = max(own * (1.5 if name == "barcode" else 1.0), 0.04 * longest)
        panels.append(panel(rng, draw(rng, name, own), min(own, 0.93 * longest)))
    patch = surface(rng, panels)
    for _ in range(12):
        roll, yaw, pitch = (0.0, 0.0, 0.0) if flat else _tilt(rng)
        bend = rng.uniform(0.1, 1.15) if not flat and rng.random() < 0.22 else 0.0
        pose = Pose(
            (rng.uniform(0, width), rng.uniform(0, height)),
            1.0, roll, yaw, pitch, bend, bool(rng.random() < 0.7),
        )  # fmt: skip
        shaped = bent(patch, pose)
        found = outlines(shaped, pose)
        cut = 0.75 if rng.random() < 0.15 else 0.995
        clipped = (_clipped(outline, layout.size) for outline in found)
        if any(part < cut or min(b.x2 - b.x1, b.y2 - b.y1) < 6 for b, part in clipped):
            continue
        whole = _bounds(shaped, pose)
        if any(_overlap(whole, other) for other in layout.taken):
            continue
        paste(layout.image, shaped, pose, 0.0 if flat else rng.uniform(0, 0.6))
        layout.taken.append(whole)
        layout.outlines += found
        return


def _add_strands(rng: np.random.Generator, layout: Layout) -> None:
    """Let thin things run across: cables, straps, twigs, scratches."""
    width, height = layout.size
    for _ in range(int(rng.integers(1, 4))):
        points = rng.uniform(-0.1, 1.1, (3, 2)) * (width, height)
        part = np.linspace(0, 1, 20)[:, None]
        curve = (1 - part) ** 2 * points[0] + 2 * part * (1 - part) * points[1] + part**2 * points[2]
        thick = max(1, int(max(width, height) * rng.uniform(0.002, 0.012)))
        cv2.polylines(layout.image, [curve.astype(np.int32)], False, colour(rng), thick, cv2.LINE_AA)


def _photo(rng: np.random.Generator, height: int, width: int) -> Layout:
    """Things in a room, in a street, on a table."""
    layout = Layout(background(rng, height, width))
    _add_things(rng, layout, int(rng.integers(0, 7)))
    big = rng.random() < 0.3
    for _ in range(int(rng.integers(1, 3)) if big else int(rng.integers(2, 8))):
        _add_marks(rng, layout, (0.22, 0.9) if big else (0.045, 0.4), False)
    if rng.random() < 0.15:
        _add_strands(rng, layout)
    return layout


def _flat(rng: np.random.Generator, height: int, width: int) -> Layout:
    """A page, a screen capture, a rendered document: straight, clean, on one colour."""
    paper = (255, 255, 255) if rng.random() < 0.6 else inks(rng)[1]
    layout = Layout(np.full((height, width, 3), paper, np.uint8))
    if rng.random() < 0.5:
        _add_things_straight(rng, layout, int(rng.integers(1, 7)))
    big = rng.random() < 0.4
    for _ in range(int(rng.integers(1, 3)) if big else int(rng.integers(2, 8))):
        _add_marks(rng, layout, (0.2, 0.93) if big else (0.045, 0.35), True)
    return layout


def _add_things_straight(rng: np.random.Generator, layout: Layout, count: int) -> None:
    width, height = layout.size
    for _ in range(count):
        h, w = int(height * rng.uniform(0.04, 0.5)), int(width * rng.uniform(0.1, 0.8))
        pose = Pose((float(rng.integers(width)), float(rng.integers(height))))
        paste(layout.image, lookalike(rng, max(12, h), max(12, w)), pose)


def _sheet(rng: np.random.Generator, height: int, width: int) -> Layout:
    """A sheet of equal stickers or a board of markers in rows."""
    flat = rng.random() < 0.5
    layout = Layout(background(rng, height, width))
    if flat:
        layout.image[:] = inks(rng)[1]
    name = CODES[int(rng.integers(len(CODES)))]
    columns, rows = int(rng.integers(2, 6)), int(rng.integers(2, 6))
    cell_w, cell_h = width / columns, height / rows
    side = max(0.045 * max(width, height), min(cell_w, cell_h) * rng.uniform(0.45, 0.75))
    colours = inks(rng)
    roll = 0.0 if flat else rng.normal(0, 0.05)
    for row in range(rows):
        for column in range(columns):
            patch = SURFACES["sticker"][2](rng, [panel(rng, draw(rng, name, side), side, colours)])
            pose = Pose(((column + 0.5) * cell_w, (row + 0.5) * cell_h), 1.0, roll)
            found = outlines(patch, pose)
            if all(_clipped(outline, layout.size)[1] > 0.97 for outline in found):
                paste(layout.image, patch, pose)
                layout.outlines += found
    return layout


def _empty(rng: np.random.Generator, height: int, width: int) -> Layout:
    """No mark at all, and much that looks like one."""
    layout = Layout(background(rng, height, width))
    _add_things(rng, layout, int(rng.integers(0, 12)))
    return layout


def _close(rng: np.random.Generator, height: int, width: int) -> Layout:
    """One mark that fills much of the picture: a hand-held scan, an image file of a mark alone."""
    flat = rng.random() < 0.4
    layout = Layout(background(rng, height, width))
    if flat:
        layout.image[:] = (255, 255, 255) if rng.random() < 0.5 else inks(rng)[1]
    name = CODES[int(rng.integers(len(CODES)))]
    side = rng.uniform(0.45, 0.98) * (width if name == "barcode" else min(height, width))
    surface = SURFACES["sticker" if rng.random() < 0.6 else "label"][2]
    patch = surface(rng, [panel(rng, draw(rng, name, side), side)])
    roll, yaw, pitch = (0.0, 0.0, 0.0) if flat else _tilt(rng)
    bend = rng.uniform(0.1, 1.0) if not flat and rng.random() < 0.2 else 0.0
    pose = Pose((0.0, 0.0), 1.0, roll, yaw, pitch, bend, bool(rng.random() < 0.7))
    shaped = bent(patch, pose)
    x1, y1, x2, y2 = outlines(shaped, pose)[0].bounds
    scale = min(1.0, 0.98 * width / (x2 - x1), 0.98 * height / (y2 - y1))
    if rng.random() < 0.15:
        scale *= 1.1  # a little of it may lie outside
    left, right = sorted((-x1 * scale, width - x2 * scale))
    top, bottom = sorted((-y1 * scale, height - y2 * scale))
    x, y = rng.uniform(left, right), rng.uniform(top, bottom)
    pose = replace(pose, centre=(x, y), scale=scale)
    paste(layout.image, shaped, pose, 0.0 if flat else rng.uniform(0, 0.6))
    layout.outlines += outlines(shaped, pose)
    return layout


def _wild(rng: np.random.Generator, height: int, width: int) -> Layout:
    """Outdoors: fine natural texture and many small things, seldom with a mark among them."""
    layout = Layout(wild(rng, height, width))
    _add_things(rng, layout, int(rng.integers(0, 5)))
    if rng.random() < 0.4:
        for _ in range(int(rng.integers(1, 4))):
            _add_marks(rng, layout, (0.045, 0.4), False)
    return layout


KINDS: Final[dict[str, tuple[float, float, Callable[[np.random.Generator, int, int], Layout]]]] = {
    "photo": (0.64, 1.0, _photo),
    "flat": (0.17, 0.25, _flat),
    "sheet": (0.05, 0.7, _sheet),
    "empty": (0.14, 1.0, _empty),
    "close": (0.0, 0.7, _close),  # made only where asked for: training ends on many of these two
    "wild": (0.0, 1.0, _wild),
}
"""Every kind of scene with its share and how much it is degraded."""


def make(seed: int, index: int, size: tuple[int, int] | None = None, kind: str | None = None) -> Scene:
    """Make a scene; the same arguments make the same bytes, in any process and any order.

    Args:
        seed: Names a family of scenes.
        index: Which scene of that family.
        size: Width and height in pixels; by chance (320 to 960 long) when not given.
        kind: One of ``KINDS``; by chance when not given.
    """
    rng = np.random.Generator(np.random.PCG64([seed, index]))
    if size is None:
        longest = 640 if rng.random() < 0.5 else int(rng.integers(320, 961))
        shortest = int(longest * rng.uniform(0.5, 1.0))
        size = (longest, shortest) if rng.random() < 0.55 else (shortest, longest)
    shares = np.array([share for share, _, _ in KINDS.values()])
    chosen = list(KINDS)[int(rng.choice(len(shares), p=shares / shares.sum()))]
    _, amount, compose = KINDS[kind or chosen]
    layout = compose(rng, size[1], size[0])
    boxes = tuple(_clipped(outline, layout.size)[0] for outline in layout.outlines)
    smallest = min((max(b.x2 - b.x1, b.y2 - b.y1) for b in boxes), default=60.0)
    return Scene(degrade(rng, layout.image, smallest, amount), boxes, tuple(layout.outlines))
