"""Masks as COCO writes them: how long the runs are that pixels are outside and inside of it, in turns.

Pixels are counted column by column. In between, a mask is its edges: rising numbers in turns, the first pixel of a run
inside of it and the one after its last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DIGIT_BITS = 5
DIGITS = (1 << DIGIT_BITS) - 1
SIGN = 1 << (DIGIT_BITS - 1)
"""Of the last digit, which is a number below zero if it is set."""
MORE = 1 << DIGIT_BITS
"""Another digit follows."""
ZERO = ord("0")
"""What stands for 0."""


def encode(edges: NDArray[np.int64], pixels: int) -> str:
    """Returns COCO's compressed counts (pycocotools `rleToString`).

    From the fourth on a length is given by what it is longer than the one two before. Each number is written in digits
    of five bits, the lowest first.

    Args:
        edges: Of the mask.
        pixels: Of the image.
    """
    import numpy as np

    lengths = np.diff(edges, prepend=0, append=pixels)
    if len(lengths) > 1 and not lengths[-1]:  # the mask reaches the last pixel
        lengths = lengths[:-1]
    rest = lengths.copy()
    rest[3:] -= lengths[1:-2]
    going, columns = np.ones(len(rest), bool), []
    while going.any():
        digit, rest = rest & DIGITS, rest >> DIGIT_BITS
        more = rest != np.where(digit & SIGN, -1, 0)
        columns.append(np.where(going, digit + MORE * more + ZERO, 0))
        going = going & more
    characters = np.stack(columns, 1).ravel()
    return characters[characters > 0].astype(np.uint8).tobytes().decode("ascii")


def decode(counts: str) -> NDArray[np.int64]:
    """Returns the edges of a mask that `encode` has written."""
    import numpy as np

    digits = np.frombuffer(counts.encode("ascii"), np.uint8).astype(np.int64) - ZERO
    last = np.flatnonzero(~digits & MORE)
    first = np.concatenate([[0], last[:-1] + 1])
    size = last + 1 - first
    place = np.arange(len(digits)) - np.repeat(first, size)
    lengths = np.add.reduceat((digits & DIGITS) << DIGIT_BITS * place, first)
    lengths[digits[last] & SIGN > 0] -= 1 << DIGIT_BITS * size[digits[last] & SIGN > 0]
    for start in (1, 2):
        lengths[start::2] = np.cumsum(lengths[start::2])
    edges = np.cumsum(lengths)
    return edges[: len(edges) - len(edges) % 2]


def area(counts: str) -> int:
    """Returns the pixels of a mask that `encode` has written."""
    edges = decode(counts)
    return int((edges[1::2] - edges[::2]).sum())


def overlap(one: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    """Returns the intersection over union of two masks of one image, given by their edges."""
    import numpy as np

    edges = np.concatenate([one, other])
    order = np.argsort(edges, kind="stable")
    steps = np.concatenate([np.resize([1, -1], len(one)), np.resize([1, -1], len(other))])
    covered, lengths = np.cumsum(steps[order])[:-1], np.diff(edges[order])
    union = int(lengths[covered > 0].sum())
    return int(lengths[covered > 1].sum()) / union if union else 0.0
