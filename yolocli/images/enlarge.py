"""Maps of a network to the size of an image, part by part: what is made of a map is small, the whole of it is not.

A map is enlarged twice, as Ultralytics does: to the canvas, and from where the image lies on it to the image. Both are
linear along each side, so they are one step here, in which a pixel of the image is a weighted sum of a few neighbours
in the map. What lies between would be gigabytes: 150 classes of an 8K picture are 20.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from yolocli.images.letterbox import Canvas

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BAND = 256
"""Rows of an image that are done at once."""


@dataclass(frozen=True, slots=True)
class Side:
    """How the pixels along one side of an image are made from a map.

    Attributes:
        first: Position of the first neighbour in the map, (pixels,).
        weights: Of it and those after it, (pixels, neighbours): 3 of them for maps that are smaller than the canvas, as
            a pixel lies between two of the canvas, and these between two of the map each, of which they share one. They
            are 0 beyond the map.
    """

    first: NDArray[np.int64]
    weights: NDArray[np.float32]

    def part(self, pixels: slice) -> Side:
        """Returns how some of the pixels are made."""
        return Side(self.first[pixels], self.weights[pixels])


def sides(shape: tuple[int, int], canvas: Canvas, aligned: bool) -> tuple[Side, Side]:
    """Returns how the rows and the columns of an image are made from a map.

    Args:
        shape: Height and width of the map.
        canvas: What the map is of.
        aligned: The middles of the outermost pixels lie on each other, and not their edges (`align_corners` of torch).
    """
    rows, columns = _inner(canvas)
    return (
        _side(shape[0], canvas.shape[0], rows, canvas.height, aligned),
        _side(shape[1], canvas.shape[1], columns, canvas.width, aligned),
    )


def nearest(canvas: Canvas, shape: tuple[int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the row of a map for each row of an image, and the column for each column, where nothing is mixed.

    Args:
        canvas: What the map is of.
        shape: Height and width of the map.
    """
    inner_rows, inner_columns = _inner(canvas)
    rows = _nearest(shape[0], canvas.shape[0])[inner_rows]
    columns = _nearest(shape[1], canvas.shape[1])[inner_columns]
    return rows[_nearest(len(rows), canvas.height)], columns[_nearest(len(columns), canvas.width)]


def enlarged(part: NDArray[np.float32], rows: Side, columns: Side) -> NDArray[np.float32]:
    """Enlarges a map.

    Args:
        part: (maps, height, width), any part of a map that holds what the sides look at.
        rows: See `sides`; positions count from the first row of the part.
        columns: See `sides`; positions count from the first column of the part.

    Returns:
        Array (rows, maps, columns).
    """
    import numpy as np

    wide = _mixed(np.ascontiguousarray(part.transpose(2, 1, 0)), columns)
    return _mixed(np.ascontiguousarray(wide.transpose(1, 2, 0)), rows)


def enlarged_to_image(values: NDArray[np.float32], canvas: Canvas) -> NDArray[np.float32]:
    """Enlarges a single map to the image, with the middles of its outermost pixels on those of the image's.

    Args:
        values: (height, width).
        canvas: What it is of.
    """
    import numpy as np

    rows, columns = sides((values.shape[0], values.shape[1]), canvas, aligned=True)
    whole = np.empty((canvas.height, canvas.width), np.float32)
    for top in range(0, canvas.height, BAND):
        band = slice(top, top + BAND)
        whole[band] = enlarged(values[None], rows.part(band), columns)[:, 0]
    return whole


def _mixed(values: NDArray[np.float32], side: Side) -> NDArray[np.float32]:
    """Returns weighted sums along the first axis: whole blocks of memory are taken and added, which is fast."""
    import numpy as np

    last, weights = len(values) - 1, side.weights.reshape(*side.weights.shape, *[1] * (values.ndim - 1))
    total: NDArray[np.float32] = values[side.first] * weights[:, 0]
    for tap in range(1, side.weights.shape[1]):
        if side.weights[:, tap].any():
            total += values[np.minimum(side.first + tap, last)] * weights[:, tap]
    return total


def _inner(canvas: Canvas) -> tuple[slice, slice]:
    """Returns the rows and the columns of a canvas on which its image lies."""
    height, width = round(canvas.gain_y * canvas.height), round(canvas.gain_x * canvas.width)
    return slice(canvas.top, canvas.top + height), slice(canvas.left, canvas.left + width)


def _side(map_side: int, canvas_side: int, inner: slice, image_side: int, aligned: bool) -> Side:
    import numpy as np

    on_map, beside_on_map = _linear(map_side, canvas_side, aligned)
    on_map, beside_on_map = on_map[inner], beside_on_map[inner]
    low, share = _linear(len(on_map), image_side, aligned)
    high = np.minimum(low + 1, len(on_map) - 1)
    first, apart, pixels = on_map[low], on_map[high] - on_map[low], np.arange(image_side)
    weights = np.zeros((image_side, int(apart.max()) + 2))
    for canvas_pixel, weight, place in ((low, 1 - share, 0 * apart), (high, share, apart)):
        weights[pixels, place] += weight * (1 - beside_on_map[canvas_pixel])
        weights[pixels, place + 1] += weight * beside_on_map[canvas_pixel]
    return Side(first, weights.astype(np.float32))


def _linear(source: int, target: int, aligned: bool) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Tells for each pixel of a side, made of another by linear interpolation, between which two of that it lies.

    Returns:
        The first of them, and how far it is from there to the next, in [0, 1); both as torch's `interpolate` has them.
    """
    import numpy as np

    pixels = np.arange(target)
    if aligned:
        places = pixels * ((source - 1) / max(target - 1, 1))
    else:
        places = np.maximum((pixels + 0.5) * (source / target) - 0.5, 0)
    first = np.minimum(places.astype(np.int64), source - 1)
    return first, np.where(first < source - 1, places - first, 0)


def _nearest(source: int, target: int) -> NDArray[np.int64]:
    """Returns the pixel of a side for each of another, rounded as torch's `interpolate` rounds it."""
    import numpy as np

    places = np.arange(target, dtype=np.float32) * (np.float32(source) / np.float32(target))
    found: NDArray[np.int64] = np.minimum(places.astype(np.int64), source - 1)
    return found
