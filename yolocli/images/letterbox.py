"""Pixels to the network's input and boxes back, each image on its own.

The geometry is that of Ultralytics (`data/augment.py` LetterBox, `utils/ops.py` scale_boxes, 8.4.190), rounding
included, so that boxes are the same. It differs in one thing: the padding of an image never depends on the images it
shares a batch with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from yolocli.images.picture import Pixels

Fit: TypeAlias = Literal["letterbox", "stretch", "crop"]
"""How an image is fitted into a frame; see `fit`."""

PADDING_VALUE = 114


@dataclass(frozen=True, slots=True)
class Canvas:
    """An image, or a part of one, as the network takes it, and how to get back from there.

    Attributes:
        pixels: uint8 array (height, width, channels), padded to the network's stride or to the full square.
        width: Of the whole image before letterboxing, in pixels.
        height: Of the whole image before letterboxing, in pixels.
        gain_x: Canvas pixels to a pixel of the image.
        gain_y: Canvas pixels to a pixel of the image.
        left: Where the image begins, in canvas pixels; less than 0 on a canvas of a part that lies further in.
        top: Where the image begins, in canvas pixels.
        clips: What lies outside the image is moved to its edge.
    """

    pixels: Pixels
    width: int
    height: int
    gain_x: float = 1.0
    gain_y: float = 1.0
    left: int = 0
    top: int = 0
    clips: bool = True

    @property
    def shape(self) -> tuple[int, ...]:
        """Canvases of equal shape can share a batch."""
        return self.pixels.shape


@dataclass(frozen=True, slots=True)
class Frame:
    """What images are fitted into.

    Attributes:
        height: Pixels, a multiple of the stride.
        width: Pixels, a multiple of the stride.
        stride: The network's largest stride.
        rectangular: Pad to the next multiple of the stride only, instead of to the full frame.
        fit: How they are fitted.
    """

    height: int
    width: int
    stride: int
    rectangular: bool
    fit: Fit = "letterbox"


def letterbox(image: Pixels, frame: Frame) -> Canvas:
    """Scales an image to fit the frame and pads it evenly with grey.

    Args:
        image: uint8 array (height, width, channels).
        frame: What to fit it into.
    """
    import cv2

    height, width = image.shape[:2]
    gain = min(frame.height / height, frame.width / width)
    inner_width, inner_height = max(round(width * gain), 1), max(round(height * gain), 1)
    pad_x, pad_y = frame.width - inner_width, frame.height - inner_height
    if frame.rectangular:
        pad_x, pad_y = pad_x % frame.stride, pad_y % frame.stride
    if (inner_width, inner_height) != (width, height):
        resized: Any = cv2.resize(image, (inner_width, inner_height), interpolation=cv2.INTER_LINEAR)
    else:
        resized = image
    left, top = round(pad_x / 2 - 0.1), round(pad_y / 2 - 0.1)
    right, bottom = round(pad_x / 2 + 0.1), round(pad_y / 2 + 0.1)
    if left or top or right or bottom:
        grey = (PADDING_VALUE,) * 3
        resized = cv2.copyMakeBorder(resized, top, bottom, left, right, cv2.BORDER_CONSTANT, value=grey)
    pixels = resized.reshape(*resized.shape[:2], image.shape[2])
    return Canvas(pixels, width, height, *_way_back(width, height, *pixels.shape[1::-1]))


def _way_back(width: int, height: int, canvas_width: int, canvas_height: int) -> tuple[float, float, int, int]:
    """Returns gains and offsets of a canvas, as Ultralytics works them out.

    It has the two sizes alone, so this need not be what was done: where rounding has left the frame less than a pixel
    short, it takes another gain.
    """
    gain = min(canvas_height / height, canvas_width / width)
    inner_width, inner_height = max(round(width * gain), 1), max(round(height * gain), 1)
    left, top = round((canvas_width - inner_width) / 2 - 0.1), round((canvas_height - inner_height) / 2 - 0.1)
    return inner_width / width, inner_height / height, left, top


def to_image(boxes: NDArray[np.float32], canvas: Canvas) -> NDArray[np.float32]:
    """Maps boxes from canvas pixels to image pixels, and clips them to the image where the canvas says so.

    Args:
        boxes: Array (n, 4) of x1, y1, x2, y2 in canvas pixels.
        canvas: Where they were found.

    Returns:
        Array (n, 4) in image pixels.
    """
    import numpy as np

    offset = np.array([canvas.left, canvas.top, canvas.left, canvas.top], np.float32)
    gains = np.array([canvas.gain_x, canvas.gain_y, canvas.gain_x, canvas.gain_y], np.float32)
    mapped: NDArray[np.float32] = (boxes - offset) / gains
    if canvas.clips:
        limits = np.array([canvas.width, canvas.height, canvas.width, canvas.height], np.float32)
        mapped = np.clip(mapped, 0, limits)
    return mapped + 0  # turns -0.0 into 0.0


def points_to_image(points: NDArray[np.float32], canvas: Canvas) -> NDArray[np.float32]:
    """Maps points (..., 2) from canvas pixels to image pixels and moves those outside of the image to its edge."""
    import numpy as np

    offset, gains = (
        np.array([canvas.left, canvas.top], np.float32),
        np.array([canvas.gain_x, canvas.gain_y], np.float32),
    )
    limits = np.array([canvas.width, canvas.height], np.float32)
    mapped: NDArray[np.float32] = np.clip((points - offset) / gains, 0, limits) + 0
    return mapped
