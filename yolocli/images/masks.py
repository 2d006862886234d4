"""Masks of instances: made of a network's prototypes within a box alone, at the size of the canvas.

There is no bitmap of a whole image anywhere, so that the masks of a picture of 8K take as little memory as any.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from yolocli.images.letterbox import Canvas
    from yolocli.images.picture import Pixels

BAND = 1 << 16
"""Numbers of columns of an image at once: a few arrays of so many stay in the cache of a core."""
SIDE = 512
"""Pixels of the longer side, at most, at which polygons are compared."""


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """The pixels of an instance.

    Attributes:
        pixels: uint8 array (height, width) of 0 and 1; all that lies outside is 0.
        left: Of the canvas, where the array begins.
        top: Of the canvas, where the array begins.
    """

    pixels: Pixels
    left: int
    top: int


def mask_in_box(
    maps: NDArray[np.float32], shares: NDArray[np.float32], box: Sequence[float], width: int, height: int
) -> Mask | None:
    """Makes the mask of an instance, as Ultralytics' `process_mask` (utils/ops.py) does.

    Args:
        maps: Prototypes (k, rows, columns), which cover the canvas.
        shares: What each has in the mask, (k,).
        box: x1, y1, x2, y2 in pixels of the canvas; the mask is what lies inside, pixels being at whole numbers.
        width: Of the canvas, in pixels.
        height: Of the canvas, in pixels.

    Returns:
        The mask; None if no pixel is in it.
    """
    import cv2
    import numpy as np

    left, right = max(math.ceil(box[0]), 0), min(math.ceil(box[2]), width)
    top, bottom = max(math.ceil(box[1]), 0), min(math.ceil(box[3]), height)
    if left >= right or top >= bottom:
        return None
    rows, above, tall = _crop(top, bottom, maps.shape[1], height)
    columns, before, wide = _crop(left, right, maps.shape[2], width)
    with np.errstate(invalid="ignore", over="ignore"):  # of a network that overflows: where it has no number, no mask
        logits = np.einsum("k,kyx->yx", shares, maps[:, rows, columns])  # BLAS rounds by the number of its threads
    enlarged = cv2.resize(logits, (wide, tall), interpolation=cv2.INTER_LINEAR)
    pixels = enlarged[top - above : bottom - above, left - before : right - before] > 0
    return Mask(pixels.view(np.uint8), left, top) if pixels.any() else None


def outlines(mask: Mask) -> list[NDArray[np.int32]]:
    """Finds the outlines of all parts of a mask and of the holes in them.

    Returns:
        For each the points (n, 2), x and y on the canvas, where it turns: pixels of the mask, at its edge. A part is
        before its holes. Filled by the even-odd rule, with the lines themselves, they give the mask.
    """
    import cv2

    found, _ = cv2.findContours(mask.pixels, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE, offset=(mask.left, mask.top))
    return [points[:, 0] for points in found]


def from_edges(edges: NDArray[np.int64], height: int) -> Mask:
    """Returns a mask that is given by its edges, see `yolocli.images.rle`: the columns that it has pixels in.

    Args:
        edges: Of the mask; at least two.
        height: Of the image, in pixels.
    """
    import numpy as np

    left, right = int(edges[0]) // height, -(-int(edges[-1]) // height)
    steps = np.zeros((right - left) * height + 1, np.int8)
    steps[edges[::2] - left * height] = 1
    steps[edges[1::2] - left * height] -= 1
    pixels = np.cumsum(steps[:-1], dtype=np.uint8).reshape(right - left, height)
    return Mask(np.ascontiguousarray(pixels.T), left, 0)


def edges_on_image(mask: Mask, canvas: Canvas) -> NDArray[np.int64]:
    """Tells where a mask begins and ends on its image, whose pixels are counted column by column.

    The mask is enlarged as OpenCV enlarges (INTER_LINEAR), the padding of the canvas left out; a pixel is in it if half
    of it is, or more.

    Returns:
        Rising numbers in turns: the first pixel of a run, and the one after its last.
    """
    import numpy as np

    left, low, high, share = _neighbours(mask.left - canvas.left, mask.pixels.shape[1], canvas.gain_x, canvas.width)
    top, source = mask.top - canvas.top - 1, round(canvas.gain_y * canvas.height)
    around = np.zeros((mask.pixels.shape[1] + 2, mask.pixels.shape[0] + 2), np.float32)
    around[1:-1, 1:-1] = mask.pixels.T
    places = [np.zeros(0, np.int64)]
    step = max(BAND // around.shape[1], 1)
    for start in range(0, len(share), step):
        band = slice(start, start + step)
        columns = around[low[band]] * (1 - share[band]) + around[high[band]] * share[band]
        inside = columns >= 0.5
        column, row = np.divmod(np.flatnonzero(inside[:, 1:] != inside[:, :-1]), inside.shape[1] - 1)
        before, after, row_before = columns[column, row], columns[column, row + 1], top + row
        half = row_before + (0.5 - before) / (after - before)  # in rows of the canvas
        place = (half + 0.5) * (canvas.height / source) - 0.5
        pixel = np.where(after > before, np.ceil(place), np.floor(place) + 1).astype(np.int64)
        pixel[row_before < 0], pixel[row_before >= source - 1] = 0, canvas.height  # one of the two is padding
        places.append((column + left + start) * canvas.height + pixel)
    edges, times = np.unique(np.concatenate(places), return_counts=True)
    single: NDArray[np.int64] = edges[times % 2 == 1]  # where one run ends as the next begins there is no edge
    return single


def overlap(one: Sequence[NDArray[np.float64]], other: Sequence[NDArray[np.float64]]) -> float:
    """Returns the intersection over union of two masks, each given by its rings; see `outlines`."""
    import cv2
    import numpy as np

    points = np.concatenate([*one, *other])
    start, size = points.min(0), float(np.ptp(points, axis=0).max())
    scale = min(1.0, (SIDE - 1) / max(size, 1.0))
    width, height = np.ceil(np.ptp(points, axis=0) * scale).astype(int) + 1
    first, second = (np.zeros((height, width), np.uint8) for _ in range(2))
    for filled, rings in ((first, one), (second, other)):
        cv2.fillPoly(filled, [((ring - start) * scale).round().astype(np.int32) for ring in rings], 1)
    return float(np.count_nonzero(first & second) / np.count_nonzero(first | second))


def _crop(start: int, stop: int, source: int, target: int) -> tuple[slice, int, int]:
    """Tells what of a side is to be enlarged for a part of it, so that the part is as if all had been enlarged.

    Args:
        start: First pixel of the part, on the enlarged side.
        stop: The one after the last.
        source: Pixels of the side as it is.
        target: Pixels of the side once it is enlarged.

    Returns:
        The crop, with a margin; then where it begins on the enlarged side, and how long it is there, in whole pixels.
    """
    units = math.gcd(source, target)
    small, large = source // units, target // units
    first, last = max(start // large - 1, 0), min(-(-stop // large) + 1, units)
    return slice(first * small, last * small), first * large, (last - first) * large


def _neighbours(
    start: int, length: int, gain: float, target: int
) -> tuple[int, NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Tells which columns of an image can be in a mask, and what of the mask they are made of by linear interpolation.

    Args:
        start: Where the mask begins, in pixels of the canvas from where the image begins; less than 0 in the padding.
        length: Columns of the mask.
        gain: Canvas pixels to a pixel of the image.
        target: Columns of the image.

    Returns:
        The first of them; then for each, (n,), two columns of the mask, counted from an empty one before it; then the
        share of the second, (n, 1).
    """
    import numpy as np

    source = round(gain * target)
    first = min(max(math.floor((start - 0.5) / gain - 0.5), 0), target)
    last = min(max(math.ceil((start + length + 0.5) / gain + 0.5), first), target)
    places = np.maximum((np.arange(first, last) + 0.5) * (source / target) - 0.5, 0)
    whole = places.astype(np.intp)
    low, high = (np.clip(at - start + 1, 0, length + 1) for at in (whole, np.minimum(whole + 1, source - 1)))
    return first, low, high, (places - whole).astype(np.float32)[:, None]
