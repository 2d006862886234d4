"""Images to the network's input, in each of the ways that Ultralytics' models are trained with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from yolocli.images.letterbox import Canvas, Fit, Frame, letterbox

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

    from yolocli.images.picture import Pixels


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
    flat = image[..., 0] if image.shape[2] == 1 else image
    pixels = np.array(_part(Image.fromarray(flat), (scaled_width, scaled_height), (left, top), frame))
    return Canvas(pixels.reshape(frame.height, frame.width, image.shape[2]), width, height)


def _part(image: PILImage, size: tuple[int, int], start: tuple[int, int], frame: Frame) -> PILImage:
    """Scales an image and cuts a part of the frame's size out."""
    from PIL import Image

    (left, top), resized = start, image
    if image.size != size:
        resized = image.resize(size, Image.Resampling.BILINEAR)
    return resized.crop((left, top, left + frame.width, top + frame.height))


_FITS: Mapping[Fit, Callable[[Pixels, Frame], Canvas]] = MappingProxyType(
    {"letterbox": letterbox, "stretch": stretch, "crop": crop}
)
