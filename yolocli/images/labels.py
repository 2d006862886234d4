"""The class of each pixel of an image, from what a network says of a few of them, in little memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from yolocli.errors import ImageError
from yolocli.images.enlarge import Side, enlarged, nearest, sides
from yolocli.images.letterbox import Canvas

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TILE = 128
"""Pixels of a side of a part of the image that is done at once: 150 classes of one take 10 MB."""
LARGEST = 1e30
"""Of a score; one that a network has let overflow counts as this, so that sums of some are numbers, too."""


def labels(scores: NDArray[np.float32], canvas: Canvas) -> NDArray[Any]:
    """Returns the best class of each pixel; of a single class 1 where its score is more than 0, else 0.

    Args:
        scores: Of the classes before softmax, (classes, height, width).
        canvas: What they are of.

    Returns:
        Array (height, width) of the image, uint8 where it can be, else uint16.
    """
    import numpy as np

    scores = np.nan_to_num(scores, nan=-LARGEST, posinf=LARGEST, neginf=-LARGEST).clip(-LARGEST, LARGEST)
    if len(scores) == 1:
        scores = np.concatenate([np.zeros_like(scores), scores])
    rows, columns = sides((scores.shape[1], scores.shape[2]), canvas, aligned=False)
    possible = _possible(scores, rows, columns)
    found = np.empty((canvas.height, canvas.width), np.uint8 if len(scores) <= 256 else np.uint16)
    for top in range(0, canvas.height, TILE):
        for left in range(0, canvas.width, TILE):
            tile = slice(top, top + TILE), slice(left, left + TILE)
            found[tile] = _tile(scores, possible, rows.part(tile[0]), columns.part(tile[1]))
    return found


def labels_of_ids(ids: NDArray[Any], canvas: Canvas) -> NDArray[Any]:
    """Returns the class of each pixel, where a network gives the class itself, (height, width), and not scores.

    Raises:
        ImageError: If there are numbers that no class can have.
    """
    import numpy as np

    if not ((ids >= 0) & (ids <= np.iinfo(np.uint16).max)).all():  # which a NaN is not, either
        raise ImageError("NoClass", "the network gives numbers that no class has")
    rows, columns = nearest(canvas, (ids.shape[0], ids.shape[1]))
    kind = np.uint8 if ids.size == 0 or ids.max() < 256 else np.uint16
    found: NDArray[Any] = ids.astype(kind)[rows][:, columns]
    return found


def _possible(scores: NDArray[np.float32], rows: Side, columns: Side) -> NDArray[np.bool_]:
    """Tells which classes can be the best of a pixel, (classes, height, width), by its first neighbour in the map.

    A weighted sum is neither less than the least of its neighbours nor more than the greatest: what is less everywhere
    among them than another class is everywhere cannot win. In most parts of most pictures this leaves one.
    """
    import numpy as np

    least, greatest = scores, scores
    for axis, side in ((1, rows), (2, columns)):
        least = _over_neighbours(np.minimum, least, axis, side.weights.shape[1])
        greatest = _over_neighbours(np.maximum, greatest, axis, side.weights.shape[1])
    possible: NDArray[np.bool_] = greatest >= least.max(0)
    return possible


def _over_neighbours(
    function: Callable[..., NDArray[np.float32]], values: NDArray[np.float32], axis: int, neighbours: int
) -> NDArray[np.float32]:
    """Returns the minimum, or maximum, of each position and the next few."""
    import numpy as np

    end = values.shape[axis]
    result = values
    for shift in range(1, neighbours):
        result = function(result, np.take(values, np.minimum(np.arange(end) + shift, end - 1), axis))
    return result


def _tile(scores: NDArray[np.float32], possible: NDArray[np.bool_], rows: Side, columns: Side) -> NDArray[np.int64]:
    """Returns the best class of each pixel of a part of the image."""
    import numpy as np

    top, bottom = _span(rows, scores.shape[1])
    left, right = _span(columns, scores.shape[2])
    seen = possible[:, rows.first[0] : rows.first[-1] + 1, columns.first[0] : columns.first[-1] + 1]
    (classes,) = seen.any((1, 2)).nonzero()
    if len(classes) == 1:
        return np.full((len(rows.first), len(columns.first)), classes[0])
    part = scores[classes, top:bottom, left:right]
    planes = enlarged(part, Side(rows.first - top, rows.weights), Side(columns.first - left, columns.weights))
    best, place = planes[:, 0].copy(), np.zeros((len(planes), planes.shape[2]), np.intp)
    for index in range(1, len(classes)):
        place[planes[:, index] > best] = index
        np.maximum(best, planes[:, index], out=best)
    found: NDArray[np.int64] = classes[place]
    return found


def _span(side: Side, end: int) -> tuple[int, int]:
    """Returns the positions of a map that pixels are made from."""
    return int(side.first[0]), min(int(side.first[-1]) + side.weights.shape[1], end)
