"""Things that look like marks and are none: one function each, in a registry.

Every function draws on a canvas of (height, width) and returns a patch without marks.
"""

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np

from yolocli.builtin.ink import Colour, Image, blend, inks
from yolocli.builtin.textures import colour, fractal, gradient, mix, paragraph, phrase, write
from yolocli.builtin.warps import Patch

Lookalike = Callable[[np.random.Generator, int, int], Image]


def _sheet(height: int, width: int, paper: Colour) -> Image:
    return np.full((height, width, 3), paper, np.uint8)


def text(rng: np.random.Generator, height: int, width: int) -> Image:
    """A block of text, dense or airy."""
    ink, paper = inks(rng)
    image = _sheet(height, width, paper)
    size = int(np.clip(height * np.exp(rng.uniform(np.log(0.03), np.log(0.4))), 5, 120))
    paragraph(rng, image, (size // 2, size // 2, width - size // 2, height), size, ink)
    return image


def keyboard(rng: np.random.Generator, height: int, width: int) -> Image:
    """Rows of keys with a letter each."""
    body, key, ink = colour(rng, 0.2), colour(rng, 0.2), colour(rng, 0.2)
    image = _sheet(height, width, body)
    pitch = max(8, height // int(rng.integers(3, 7)))
    for row, y in enumerate(range(2, height - pitch // 2, pitch)):
        for x in range(2 + (row % 3) * pitch // 4, width, pitch):
            cv2.rectangle(image, (x, y), (x + pitch - 3, y + pitch - 3), key, -1)
            letter = chr(int(rng.integers(65, 91)))
            write(image, letter, (x + pitch // 4, y + pitch // 5), pitch // 2, ink)
    return image


def grid(rng: np.random.Generator, height: int, width: int) -> Image:
    """Ruled or squared paper, a table, a calendar, a fence."""
    ink, paper = inks(rng)
    image = _sheet(height, width, paper)
    step_x = int(rng.integers(5, max(6, width // 3)))
    step_y = step_x if rng.random() < 0.5 else int(rng.integers(5, max(6, height // 3)))
    thick = int(rng.integers(1, max(2, min(step_x, step_y) // 3)))
    for x in range(0, width, step_x):
        cv2.line(image, (x, 0), (x, height), ink, thick)
    for y in range(0, height, step_y):
        cv2.line(image, (0, y), (width, y), ink, thick)
    if rng.random() < 0.5:
        for y in range(0, height, step_y):
            for x in range(0, width, step_x):
                write(image, str(rng.integers(1, 32)), (x + 2, y + 1), step_y // 2, ink)
    return image


def chessboard(rng: np.random.Generator, height: int, width: int) -> Image:
    """Regular squares, as a board, a floor or a calibration target."""
    ink, paper = inks(rng)
    cell = int(rng.integers(4, max(5, min(height, width) // 3)))
    y, x = np.arange(height)[:, None] // cell, np.arange(width)[None, :] // cell
    return blend(paper, ink, ((x + y) % 2).astype(np.float32))


def crossword(rng: np.random.Generator, height: int, width: int) -> Image:
    """A puzzle: squares ruled apart, some black, some with a letter."""
    cell = max(7, min(height, width) // int(rng.integers(4, 15)))
    image = _sheet(height, width, (250, 250, 250))
    for y in range(0, height, cell):
        for x in range(0, width, cell):
            if rng.random() < rng.uniform(0.1, 0.3):
                cv2.rectangle(image, (x, y), (x + cell, y + cell), (10, 10, 10), -1)
            elif rng.random() < 0.6:
                write(image, chr(int(rng.integers(65, 91))), (x + cell // 4, y + 1), cell * 2 // 3, (0, 0, 0))
            cv2.rectangle(image, (x, y), (x + cell, y + cell), (0, 0, 0), 1)
    return image


def stripes(rng: np.random.Generator, height: int, width: int) -> Image:
    """Blinds, grilles, crossings, zebra, rulers: bars of one width, or nearly."""
    ink, paper = inks(rng) if rng.random() < 0.6 else (colour(rng), colour(rng))
    period = rng.uniform(4, max(6, width / 4))
    x = np.arange(width, dtype=np.float32)[None, :]
    y = np.arange(height, dtype=np.float32)[:, None]
    wobble = fractal(rng, height, width) * period * rng.uniform(0, 3) * (rng.random() < 0.3)
    phase = (x + wobble + y * rng.uniform(-0.3, 0.3) * (rng.random() < 0.3)) / period % 1
    sharp = rng.uniform(2, 20)
    amount = np.clip((np.abs(phase - 0.5) - rng.uniform(0.1, 0.4)) * sharp + 0.5, 0, 1)
    image = blend(paper, ink, amount.astype(np.float32))
    return np.ascontiguousarray(image.transpose(1, 0, 2)[:height, :width]) if rng.random() < 0.5 else image


def spines(rng: np.random.Generator, height: int, width: int) -> Image:
    """Bars of many colours and random widths, as books, clothes, pencils."""
    image, x = _sheet(height, width, colour(rng)), 0
    while x < width:
        w = int(rng.integers(2, max(4, width // 6)))
        cv2.rectangle(image, (x, int(height * rng.uniform(0, 0.2))), (x + w, height), colour(rng, 0.9), -1)
        x += w
    return image


def halftone(rng: np.random.Generator, height: int, width: int) -> Image:
    """Printed dots whose size follows a ramp."""
    ink, paper = inks(rng)
    pitch = rng.uniform(4, 14)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    dots = (np.cos(x * 2 * np.pi / pitch) + np.cos(y * 2 * np.pi / pitch)) / 4 + 0.5
    amount = np.clip((gradient(rng, height, width) - dots) * 5 + 0.5, 0, 1)
    return blend(paper, ink, amount.astype(np.float32))


def identicon(rng: np.random.Generator, height: int, width: int) -> Image:
    """A mirrored pattern of coloured blocks, as avatars and cross-stitch have."""
    cells = int(rng.integers(4, 9))
    half = rng.random((cells, (cells + 1) // 2)) < 0.5
    full = np.concatenate([half, half[:, ::-1][:, cells % 2 :]], 1).astype(np.float32)
    amount = cv2.resize(full, (width, height), interpolation=cv2.INTER_NEAREST)
    return blend(colour(rng, 0.2, 180, 255), colour(rng, 1.0), amount)


def logo(rng: np.random.Generator, height: int, width: int) -> Image:
    """A sign: simple shapes inside each other, perhaps with a word."""
    image = _sheet(height, width, inks(rng)[1])
    centre = (width // 2, height // 2)
    size = min(width, height) * 0.45
    for _ in range(int(rng.integers(1, 5))):
        shade, r = inks(rng)[int(rng.integers(2))], max(1, int(size))
        if rng.random() < 0.5:
            cv2.circle(image, centre, r, shade, -1, cv2.LINE_AA)
        else:
            cv2.rectangle(image, (centre[0] - r, centre[1] - r), (centre[0] + r, centre[1] + r), shade, -1)
        size *= rng.uniform(0.4, 0.85)
    if rng.random() < 0.5:
        write(image, phrase(rng, 1), (width // 6, height // 3), int(height * 0.3), inks(rng)[0], int(rng.integers(6)))
    return image


def window(rng: np.random.Generator, height: int, width: int) -> Image:
    """A dark thing in a light frame: window, picture, television, card."""
    image = _sheet(height, width, colour(rng, 0.3, 120, 255))
    edge = max(1, int(min(height, width) * rng.uniform(0.03, 0.25)))
    inner = mix(colour(rng, 0.5, 0, 120), colour(rng, 0.5, 0, 200), gradient(rng, height, width))
    image[edge:-edge, edge:-edge] = inner[edge:-edge, edge:-edge]
    if rng.random() < 0.5:
        bar = colour(rng, 0.3, 120, 255)
        for k in range(1, int(rng.integers(2, 5))):
            cv2.line(image, (k * width // 4, 0), (k * width // 4, height), bar, edge // 2 + 1)
            cv2.line(image, (0, k * height // 3), (width, k * height // 3), bar, edge // 2 + 1)
    return image


def icons(rng: np.random.Generator, height: int, width: int) -> Image:
    """A screen of rounded coloured tiles."""
    image = mix(colour(rng), colour(rng), gradient(rng, height, width))
    pitch = max(12, min(height, width) // int(rng.integers(2, 6)))
    for y in range(pitch // 5, height - pitch // 2, pitch):
        for x in range(pitch // 5, width - pitch // 2, pitch):
            end = (x + pitch * 3 // 5, y + pitch * 3 // 5)
            cv2.rectangle(image, (x, y), end, colour(rng, 1.0), -1)
            cv2.circle(image, (x + pitch * 3 // 10, y + pitch * 3 // 10), pitch // 5, colour(rng, 1.0), -1)
    return image


def speckle(rng: np.random.Generator, height: int, width: int) -> Image:
    """Rough contrasty noise: gravel, leaves against the sky, terrazzo, foliage."""
    noise = fractal(rng, height, width, rng.uniform(0.7, 1.1))
    noise = np.clip((noise - np.float32(np.median(noise))) * rng.uniform(2, 12) + 0.5, 0, 1)
    return mix(colour(rng, 0.6, 0, 100), colour(rng, 0.6, 120, 255), noise.astype(np.float32))


LOOKALIKES: Final[dict[str, tuple[float, Lookalike]]] = {
    "text": (3.0, text),
    "keyboard": (1.2, keyboard),
    "grid": (1.2, grid),
    "chessboard": (1.2, chessboard),
    "crossword": (1.0, crossword),
    "stripes": (2.5, stripes),
    "spines": (1.0, spines),
    "halftone": (1.0, halftone),
    "identicon": (0.7, identicon),
    "logo": (1.5, logo),
    "window": (2.0, window),
    "icons": (1.0, icons),
    "speckle": (1.5, speckle),
}
"""Every look-alike with its weight."""


def lookalike(rng: np.random.Generator, height: int, width: int) -> Patch:
    """Draw one of the look-alikes as an opaque patch of (height, width)."""
    weights = np.array([weight for weight, _ in LOOKALIKES.values()])
    name = list(LOOKALIKES)[int(rng.choice(len(weights), p=weights / weights.sum()))]
    return Patch(LOOKALIKES[name][1](rng, height, width), np.ones((height, width), np.float32))
