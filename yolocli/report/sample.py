"""Which images a page shows: all, or some that a seed decides, so that the same ones come again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from heapq import heappush, heappushpop

from yolocli.results import ImageFailure, Outcome

FOUND, NOTHING, FAILED = range(3)
"""What became of an image."""
LEAST_SHARE = 10
"""Of a sample, one in so many is for each of these at least, if there are as many."""


def kind_of(outcome: Outcome) -> int:
    """Returns what became of an image."""
    if isinstance(outcome, ImageFailure):
        return FAILED
    return FOUND if outcome.detections else NOTHING


class Sample:
    """Draws images while they pass, without keeping them: those with the least hashes of seed and name.

    Attributes:
        counts: Images that passed, by what became of them.
    """

    def __init__(self, size: int | None, seed: int) -> None:
        """Begins to draw.

        Args:
            size: Images to draw; None takes all.
            seed: Another one draws others.
        """
        self._size = size
        self._seed = f"{seed}\0".encode()
        self._drawn: dict[int, list[tuple[int, int]]] = {FOUND: [], NOTHING: [], FAILED: []}
        self.counts = dict.fromkeys(self._drawn, 0)

    def add(self, outcome: Outcome) -> None:
        """Takes the next image."""
        position, kind = self.images, kind_of(outcome)
        self.counts[kind] += 1
        if self._size is None:
            return
        digest = hashlib.blake2b(self._seed + os.fsencode(outcome.path), digest_size=8).digest()
        entry = (-int.from_bytes(digest, "big"), position)  # the first of a heap is the least
        heap = self._drawn[kind]
        if len(heap) < self._size:
            heappush(heap, entry)
        else:
            heappushpop(heap, entry)

    @property
    def images(self) -> int:
        """Images that passed."""
        return sum(self.counts.values())

    def positions(self) -> frozenset[int] | None:
        """Returns the positions of the images drawn, in the order in which they passed; None stands for all."""
        if self._size is None or self.images <= self._size:
            return None
        shares = allot(self._size, self.counts)
        drawn = (sorted(self._drawn[kind], reverse=True)[: shares[kind]] for kind in shares)
        return frozenset(position for entries in drawn for _, position in entries)


def allot(size: int, counts: Mapping[int, int]) -> dict[int, int]:
    """Shares a sample out: in proportion, but a tenth for each kind at least, or all there are of it.

    Args:
        size: Of the sample; there are more images than that.
        counts: Images of each kind.
    """
    shares = {kind: min(count, size // LEAST_SHARE) for kind, count in counts.items()}
    rest, left = size - sum(shares.values()), sum(counts.values()) - sum(shares.values())
    more = {kind: rest * (count - shares[kind]) // left for kind, count in counts.items()}
    shares = {kind: shares[kind] + more[kind] for kind in shares}
    for kind in sorted(shares, key=lambda kind: shares[kind] - counts[kind]):  # what was lost in rounding
        shares[kind] += min(size - sum(shares.values()), counts[kind] - shares[kind])
    return shares
