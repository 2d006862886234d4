"""What a network finds, a row for each candidate: which column holds what is known here and in the tasks alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Array = TypeVar("Array")

BOX = slice(0, 4)
"""x1, y1, x2, y2 in pixels of the canvas."""
CONFIDENCE = 4
CLASS = 5
"""The class index, as a float."""
COLUMNS = 6
"""Columns that every task has."""
OWN = slice(COLUMNS, None)
"""Columns of the task's own, if it has any."""


def side_by_side(
    corners: Sequence[Array], confidence: Array, class_index: Array, own: Sequence[Array] = ()
) -> list[Array]:
    """Returns the parts of rows in their order, for NumPy or torch, whose arrays they are, to join.

    Args:
        corners: x1, y1, x2, y2, in one array or several, (..., n).
        confidence: (..., 1).
        class_index: (..., 1).
        own: What the task has beyond these.
    """
    return [*corners, confidence, class_index, *own]


def cornered(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns boxes (..., 4) given as centre x, centre y, width, height by their corners x1, y1, x2, y2."""
    import numpy as np

    centre, half = boxes[..., :2], boxes[..., 2:4] / 2
    return np.concatenate([centre - half, centre + half], -1)


def centred(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Does what `cornered` does the other way round."""
    import numpy as np

    low, high = boxes[..., :2], boxes[..., 2:4]
    return np.concatenate([(low + high) / 2, high - low], -1)


def no_rows() -> NDArray[np.float32]:
    """Returns the rows of a network that gives none, (0, 6)."""
    import numpy as np

    return np.zeros((0, COLUMNS), np.float32)


def of_one_class(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns rows as if all were of one class, with the `numbers` of the rows they come from in one more column."""
    import numpy as np

    alike = np.concatenate([rows, np.arange(len(rows), dtype=np.float32)[:, None]], 1)
    alike[:, CLASS] = 0
    return alike


def numbers(alike: NDArray[np.float32]) -> NDArray[np.intp]:
    """Returns which rows some come from, see `of_one_class`."""
    import numpy as np

    return alike[:, -1].astype(np.intp)


def usable(rows: NDArray[np.float32], classes: Collection[int] | None) -> NDArray[np.float32]:
    """Returns the rows that can become records.

    A network that overflows gives rows that are no boxes, for which JSON has no numbers.

    Args:
        rows: Array (n, 6 + k).
        classes: Class indices to keep; None keeps all.
    """
    import numpy as np

    rows = rows[np.isfinite(rows).all(axis=1)]
    return rows if classes is None else rows[np.isin(rows[:, CLASS], list(classes))]
