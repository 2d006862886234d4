"""The task that came first: what its runtimes may differ in."""

from __future__ import annotations

import numpy as np
import pytest

from yolocli.tasks.base import ModelFacts, Raw
from yolocli.tasks.detect import Detect

FACTS = ModelFacts({0: "a", 1: "b", 2: "c"})


def difference(expected: np.ndarray, actual: np.ndarray, end_to_end: bool = False) -> str | None:
    return Detect().difference([expected], [Raw(rows) for rows in actual], FACTS, end_to_end=end_to_end)


def outputs() -> tuple[np.ndarray, np.ndarray]:
    """Outputs that agree: of the network itself, with three classes, and as rows."""
    generator = np.random.default_rng(0)
    boxes, scores = generator.random((2, 4, 50)) * 600, generator.random((2, 3, 50))
    expected = np.concatenate([boxes, scores], 1).astype(np.float32)
    corners = [boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2]
    best = [*corners, scores.max(1, keepdims=True), scores.argmax(1)[:, None]]
    return expected, np.concatenate(best, 1).transpose(0, 2, 1).astype(np.float32)


@pytest.mark.parametrize(
    ("column", "change", "same"),
    [
        (0, 0.0, True),
        (2, 0.01, True),
        (2, 0.03, False),
        (4, 1e-4, True),
        (4, 3e-4, False),
        (5, 1, False),
        (1, np.nan, False),
    ],
)
def test_every_anchor_is_compared(column: int, change: float, same: bool) -> None:
    expected, actual = outputs()
    value = actual[1, 17, column] + change
    actual[1, 17, column] = value % 3 if column == 5 else value
    assert (difference(expected, actual) is None) is same


def test_end_to_end_outputs_may_differ_in_the_order_of_like_scores() -> None:
    boxes = np.arange(80, dtype=np.float32).reshape(2, 10, 4)
    scores = np.array([0.9, 0.8, 0.7, 0.7, *[0.1] * 6], np.float32)
    expected = np.concatenate([boxes, np.broadcast_to(scores[:, None], (2, 10, 1)), np.zeros((2, 10, 1))], 2)
    swapped = expected[:, [0, 1, 3, 2, *range(4, 10)]]
    assert difference(expected, swapped, end_to_end=True) is None
    moved = expected.copy()
    moved[0, 0, 1] += 1
    assert difference(expected, moved, end_to_end=True) is not None
