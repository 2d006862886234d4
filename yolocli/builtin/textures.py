"""Building blocks of backgrounds: noise at many scales, gradients, text, shapes."""

from functools import cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from yolocli.builtin.ink import Colour, Image, Plane

_FACES: Final = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono", "DejaVuSerif", "STIXGeneral", "cmtt10")
_WORDS: Final = (  # noqa: SIM905 (fifty lines of a list are no easier to read)
    "ship to handle with care order batch lot made in fragile item total qty date scan here menu pay "
    "open welcome ticket gate seat price net weight sale new best before store room floor exit model "
    "serial no part rev keep dry this way up warning do not stack return address invoice customer"
).split()


def fractal(rng: np.random.Generator, height: int, width: int, roughness: float = 0.55) -> Plane:
    """Make cloud-like noise.

    Args:
        rng: Source of chance.
        height: Rows.
        width: Columns.
        roughness: Weight of each octave against the coarser one, 0 to 1.

    Returns:
        Values stretched to 0..1, shape (height, width).
    """
    total = np.zeros((height, width), np.float32)
    weight, cells = 1.0, int(rng.integers(2, 5))
    while cells < max(height, width) // 2:
        grid = rng.random((cells + 1, cells + 1), dtype=np.float32)
        total += weight * cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR)
        weight, cells = weight * roughness, cells * 2
    low, high = float(total.min()), float(total.max())
    return (total - low) / max(high - low, 1e-6)


def gradient(rng: np.random.Generator, height: int, width: int) -> Plane:
    """Make a linear ramp from 0 to 1 in a random direction, shape (height, width)."""
    angle = rng.uniform(0, 2 * np.pi)
    y = np.linspace(-0.5, 0.5, height, dtype=np.float32)[:, None]
    x = np.linspace(-0.5, 0.5, width, dtype=np.float32)[None, :]
    ramp = x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))
    return np.asarray((ramp - ramp.min()) / max(float(ramp.max() - ramp.min()), 1e-6), np.float32)


def colour(rng: np.random.Generator, saturation: float = 0.6, low: int = 20, high: int = 240) -> Colour:
    """Choose a colour, BGR; low saturations are the more common ones, as in photographs."""
    hsv = np.array([[[rng.integers(180), 255 * saturation * rng.random() ** 1.5, rng.integers(low, high)]]])
    b, g, r = cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2BGR)[0, 0].tolist()
    return b, g, r


def mix(first: Colour, second: Colour, amount: Plane) -> Image:
    """Colour a plane: 0 becomes the first colour and 1 the second."""
    low, high = np.array(first, np.float32), np.array(second, np.float32)
    return (low + amount[:, :, None] * (high - low)).astype(np.uint8)


def grain(rng: np.random.Generator, image: Image, strength: float) -> Image:
    """Add fine uncorrelated noise of the given standard deviation, in grey levels."""
    noise = rng.standard_normal(image.shape[:2], dtype=np.float32)[:, :, None] * strength
    return np.clip(image + noise, 0, 255).astype(np.uint8)


@cache
def _font(face: str, size: int) -> ImageFont.FreeTypeFont:
    # matplotlib is a dependency of Ultralytics and carries fonts of a free licence: the same
    # glyphs on every machine, which the fonts installed on a system would not give.
    import matplotlib

    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/{face}.ttf", size)


def phrase(rng: np.random.Generator, words: int) -> str:
    """Make up a line of text."""
    chosen = [str(rng.choice(_WORDS)) if rng.random() < 0.8 else str(rng.integers(1, 10**6)) for _ in range(words)]
    line = " ".join(chosen)
    return str(rng.choice(np.array([line, line.upper(), line.title()])))


def write(image: Image, text: str, at: tuple[int, int], size: int, ink: Colour, face: int = 0) -> tuple[int, int]:
    """Write a line of text into a picture, in place.

    Args:
        image: BGR picture.
        text: What to write.
        at: Left and top in pixels.
        size: Height of the font in pixels; nothing is drawn under 4.
        ink: Colour, BGR.
        face: Which of the fonts.

    Returns:
        Width and height taken, in pixels.
    """
    if size < 4:
        return 0, size
    font = _font(_FACES[face % len(_FACES)], min(size, 160))
    left, top, right, bottom = font.getbbox(text)
    width, height = int(right - left) + 2, int(bottom - top) + 2
    stamp = Pillow.new("L", (max(1, width), max(1, height)))
    ImageDraw.Draw(stamp).text((-left, -top), text, font=font, fill=255)
    x, y = at
    x1, y1 = max(0, x), max(0, y)
    x2, y2 = min(image.shape[1], x + width), min(image.shape[0], y + height)
    if x2 > x1 and y2 > y1:
        amount = np.asarray(stamp, np.float32)[y1 - y : y2 - y, x1 - x : x2 - x, None] / 255
        region = image[y1:y2, x1:x2]
        region[:] = (region * (1 - amount) + np.array(ink, np.float32) * amount).astype(np.uint8)
    return width, height


def paragraph(rng: np.random.Generator, image: Image, box: tuple[int, int, int, int], size: int, ink: Colour) -> None:
    """Fill a box (x1, y1, x2, y2 in pixels) of a picture with lines of text, in place."""
    x1, y1, x2, y2 = box
    face = int(rng.integers(len(_FACES)))
    y = y1
    while y + size <= y2:
        words = max(1, int((x2 - x1) / (size * 3.2) * rng.uniform(0.5, 1.1)))
        line = phrase(rng, words)[: max(1, int((x2 - x1) / (size * 0.55)))]
        write(image, line, (x1, y), size, ink, face)
        y += int(size * 1.45)


def blob(rng: np.random.Generator, height: int, width: int) -> NDArray[np.int32]:
    """Make the corner points of a random closed shape inside a picture, shape (n, 2)."""
    count = int(rng.integers(3, 9))
    radius = float(np.exp(rng.uniform(np.log(0.02), np.log(0.45)))) * max(height, width)
    angles = np.sort(rng.uniform(0, 2 * np.pi, count))
    reach = radius * rng.uniform(0.5, 1.0, count)
    centre = rng.uniform(-0.05, 1.05, 2) * (width, height)
    points = centre + np.stack([np.cos(angles), np.sin(angles)], 1) * reach[:, None]
    return points.astype(np.int32)
