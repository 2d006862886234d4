"""Which of two detectors' records are the same thing: the one way they are paired."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from yolocli.results import Detection
from yolocli.tasks.base import Task


@dataclass(frozen=True, slots=True)
class Matching:
    """The records of two detectors on one image.

    Attributes:
        pairs: What both found: (of the first, of the second, how much they agree).
        first_only: Records of the first that the second has not.
        second_only: Records of the second that the first has not.
    """

    pairs: list[tuple[Detection, Detection, float]]
    first_only: list[Detection]
    second_only: list[Detection]


def match(task: Task, first: Sequence[Detection], second: Sequence[Detection], least: float) -> Matching:
    """Pairs records of one class, those that agree most first; a record is in one pair at most.

    Args:
        task: Of both; says how much two records agree.
        first: Records of one detector.
        second: Records of the other, on the same image.
        least: Agreement of a pair, in (0, 1].
    """
    agreements = [
        (task.likeness(one, two), i, j)
        for i, one in enumerate(first)
        for j, two in enumerate(second)
        if one.name == two.name
    ]
    pairs: list[tuple[Detection, Detection, float]] = []
    left, right = dict(enumerate(first)), dict(enumerate(second))
    for shared, i, j in sorted(agreements, key=lambda agreement: -agreement[0]):
        if shared < least:
            break
        if i in left and j in right:
            pairs.append((left.pop(i), right.pop(j), shared))
    return Matching(pairs, list(left.values()), list(right.values()))
