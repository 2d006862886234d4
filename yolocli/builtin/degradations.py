"""What light, lens, sensor and file format do to a picture: one function each, in a registry."""

from collections.abc import Callable
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from yolocli.builtin.ink import Image
from yolocli.builtin.textures import blob, fractal, gradient

Degradation = Callable[[np.random.Generator, Image, float], Image]
"""Takes chance, a BGR picture and the side of its smallest mark in pixels; returns a new picture."""


def _bytes(values: NDArray[Any]) -> Image:
    return np.asarray(np.clip(values, 0, 255), np.uint8)


def uneven_light(rng: np.random.Generator, image: Image, smallest: float) -> Image:
    """Light that falls off across the scene."""
    height, width = image.shape[:2]
    field = gradient(rng, height, width) if rng.random() < 0.6 else fractal(rng, height, width, 0.2)
    low = rng.uniform(0.35, 0.9)
    return _bytes(image * (low + (rng.uniform(1.0, 1.25) - low) * field)[:, :, None])


def shadow(rng: np.random.Generator, image: Image, smallest: float) -> Image:
    """The shadow of something outside the picture, with a soft edge."""
    height, width = image.shape[:2]
    mask = np.zeros((height, width), np.float32)
    cv2.fillPoly(mask, [blob(rng, height, width)], 1.0)
    mask = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.5, 15))
    return _bytes(image * (1 - rng.uniform(0.2, 0.6) * mask)[:, :, None])


def glare(rng: np.random.Generator, image: Image, smallest: float) -> Image:
    """A reflection of a lamp or a window, rarely bright enough to hide what is under it."""
    height, width = image.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    cx, cy = rng.uniform(0, width), rng.uniform(0, height)
    rx, ry = rng.uniform(0.04, 0.35, 2) * max(height, width)
    spot = np.exp(-((x - cx) ** 2) / rx**2 - (y - cy) ** 2 / ry**2)
    return _bytes(image + (rng.uniform(40, 190) * spot)[:, :, None])


def tint(rng: np.random.Generator, image: Image, smallest: float) -> Image:
    """White balance, exposure, contrast and gamma that are a bit off."""
    gain = rng.uniform(0.75, 1.2) * rng.uniform(0.85, 1.15, 3)
    values = np.arange(256)[:, None] / 255.0
    curve = 255 * np.clip(values ** rng.uniform(0.65, 1.5) * gain + rng.uniform(-0.06, 0.08), 0, 1)
    return np.asarray(cv2.LUT(image, curve.astype(np.uint8)[:, None, :]), np.uint8)


def defocus(rng: np.random.Generator, image: Image, smallest: float) -> Image:
    """A lens out of focus, never so far that the smallest mark is gone."""
    sigma = rng.uniform(0.3, float(np.clip(0.016 * smallest, 0.6, 2.6)))
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)


def motion(rng: np.random.Generator, image: Image, smallest: float) -> Image:
    """A camera that moved along a line during the exposure."""
    length = int(rng.integers(2, max(3, int(np.clip(0.06 * smallest, 3, 15))) + 1))
    kernel = np.zeros((2 * length + 1, 2 * length + 1), np.float32)
    angle = rng.uniform(0, np.pi)
    step = np.array([np.cos(angle), np.sin(angle)]) * length / 2
    middle = np.array([length, length])
    a, b = (middle - step).round().astype(int).tolist(), (middle + step).round().astype(int).tolist()
    cv2.line(kernel, a, b, 1.0)
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.uint8)


def resampled(rng: np.random.Generator, image: Image, smallest: float) -> Image:
    """A picture made smaller and larger again on its way."""
    height, width = image.shape[:2]
    factor = rng.uniform(float(np.clip(22 / max(smallest, 1), 0.45, 0.95)), 1.0)
    small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    how = cv2.INTER_CUBIC if rng.random() < 0.5 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(small, (width, height), interpolation=how), np.uint8)


def noise(rng: np.random.Generator, image: Image, smallest: float) -> Image:
    """Sensor noise, in grey or in each colour."""
    channels = 3 if rng.random() < 0.5 else 1
    values = rng.standard_normal((*image.shape[:2], channels), dtype=np.float32)
    return _bytes(image + values * rng.uniform(2, 18))


def grey(rng: np.random.Generator, image: Image, smallest: float) -> Image:
    """A picture without colour, as from an industrial camera."""
    return np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR), np.uint8)


def jpeg(rng: np.random.Generator, image: Image, smallest: float) -> Image:
    """Blocks and ringing of a small JPEG file."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(22, 80))]
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR), np.uint8)


DEGRADATIONS: Final[dict[str, tuple[float, Degradation]]] = {
    "uneven_light": (0.35, uneven_light),
    "shadow": (0.2, shadow),
    "glare": (0.12, glare),
    "tint": (0.5, tint),
    "defocus": (0.3, defocus),
    "motion": (0.12, motion),
    "resampled": (0.2, resampled),
    "noise": (0.35, noise),
    "grey": (0.08, grey),
    "jpeg": (0.35, jpeg),
}
"""Every degradation with its chance, in the order a picture suffers them."""


def degrade(rng: np.random.Generator, image: Image, smallest: float, amount: float = 1.0) -> Image:
    """Degrade a picture by chance.

    Args:
        rng: Source of chance.
        image: BGR picture.
        smallest: Longest side of the smallest mark in pixels; blur is held back by it.
        amount: Factor on every chance, 0 for a clean picture.
    """
    for chance, apply in DEGRADATIONS.values():
        if rng.random() < chance * amount:
            image = apply(rng, image, smallest)
    return image
