"""Images to the network's input, in each of the ways that Ultralytics' models are trained with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from yolocli.images.letterbox import Canvas, Fit, Frame, letterbox

if TYPE_CHECKING:
    from yolocli.images.picture import Pixels

FEW_COLUMNS = 64
"""Columns that are made in vain on either side at most."""


MOST_FRAMES = 100
"""Heights of a frame that the rows of a scaled image may fill, all of which are made."""


def fit(image: Pixels, frame: Frame) -> Canvas:
    """Fits an image into a frame, as the frame says.

    Args:
        image: uint8 array (height, width, channels).
        frame: What to fit it into.
    """
    return _FITS[frame.fit](image, frame)


def stretch(image: Pixels, frame: Frame) -> Canvas:
    """Scales an image to the whole frame, whatever that does to its shape (Ultralytics' `scale_fill`).

    Boxes of models that are made for it are not clipped to the image, as Ultralytics does not clip them either.
    """
    import cv2

    height, width = image.shape[:2]
    size = (frame.width, frame.height)
    pixels = image if (width, height) == size else cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    pixels = pixels.reshape(frame.height, frame.width, image.shape[2])
    return Canvas(pixels, width, height, frame.width / width, frame.height / height, clips=False)


def crop(image: Pixels, frame: Frame) -> Canvas:
    """Scales the shorter side to the frame and cuts the middle out; a frame that is no square is stretched to.

    These are the transforms of Ultralytics' `classify_transforms`: Pillow's bilinear filter, which smooths what it
    makes smaller, and a cut rounded as torchvision's CenterCrop rounds it.
    """
    import numpy as np
    from PIL import Image

    height, width = image.shape[:2]
    scaled_width, scaled_height = frame.width, frame.height
    if frame.width == frame.height:
        short = min(width, height)
        scaled_width, scaled_height = int(frame.width * width / short), int(frame.width * height / short)
    left, top = round((scaled_width - frame.width) / 2), round((scaled_height - frame.height) / 2)
    first, last = _columns(width, scaled_width, left, frame.width)
    step = width / scaled_width
    reach = max(step, 1.0) + 1  # of the filter, to both sides
    start, end = max(math.floor(first * step - reach), 0), min(math.ceil(last * step + reach), width)
    seen = image[:, start:end, 0] if image.shape[2] == 1 else image[:, start:end]
    rows, upper, lower = scaled_height, 0.0, float(height)
    if scaled_height > frame.height * MOST_FRAMES:  # all rows of a line of pixels would take gigabytes
        down = height / scaled_height
        rows, upper, lower, top = frame.height, top * down, (top + frame.height) * down, 0
    scaled = Image.fromarray(seen).resize(
        (last - first, rows),
        Image.Resampling.BILINEAR,
        (first * step - start, upper, min(last * step, width) - start, lower),
    )
    kept = scaled.crop((left - first, top, left - first + frame.width, top + frame.height))
    return Canvas(np.array(kept).reshape(frame.height, frame.width, image.shape[2]), width, height)


def _columns(width: int, scaled_width: int, left: int, kept: int) -> tuple[int, int]:
    """Returns the columns of a scaled image to make, for some of them to be kept.

    To make these alone takes half the time for a 16:9 picture. They differ from those of the whole by the rounding of
    where they begin and end in the image, which is of float32: that moves no value by more than 1 of 255, and hardly
    any, but where many lie just between two, as they do when every few columns the filter begins anew at a whole pixel.
    There it begins and ends at such. (Rows stay whole: Pillow would begin with those of some images, and then rounds
    otherwise.)
    """
    anew = scaled_width // math.gcd(width, scaled_width)
    multiple = anew if anew <= FEW_COLUMNS else 1
    return left // multiple * multiple, -(-(left + kept) // multiple) * multiple


_FITS: Mapping[Fit, Callable[[Pixels, Frame], Canvas]] = MappingProxyType(
    {"letterbox": letterbox, "stretch": stretch, "crop": crop}
)
