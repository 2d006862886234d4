"""The chunks of one worker: those of files that are far away are taken before it needs them, so that it can read ahead.

How many depends on how long it waits for files: none more than hide that, as the last images of a run, once they are
taken, are nobody else's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from yolocli.executors.base import Worker
from yolocli.executors.feed import AHEAD, Feed
from yolocli.results import ImageFailure, Item, Outcome
from yolocli.sources import is_remote

MOST_IMAGES = 64
"""Taken ahead."""
WAITED_SHARE = 0.05
"""Of a worker's time, spent on waiting for files, above which it takes more of them ahead."""


class Ahead:
    """Takes chunks out of a feed for a worker, from its thread."""

    def __init__(self, feed: Feed[Any], worker: Worker) -> None:
        self._feed = feed
        self._worker = worker
        self._taken: deque[tuple[int, tuple[Item, ...]]] = deque()
        self._chunks = 0

    @property
    def batch(self) -> int:
        """See `Feed.batch`."""
        return self._feed.batch

    def take(self) -> tuple[int, tuple[Item, ...]] | None:
        """Returns the number of the next chunk and what is in it, as `Feed.take` does.

        Raises:
            YolocliError: If discovery did.
        """
        if self._taken and not self._feed.unfinished:  # it was stopped, or these would count
            return None
        chunk = self._taken.popleft() if self._taken else self._next(wait=True)
        while chunk is not None and len(self._taken) < self._chunks:
            following = self._next(wait=False)
            if following is None:
                break
            self._taken.append(following)
        return chunk

    def finished(self, outcomes: Sequence[Outcome], seconds: float) -> None:
        """Learns from how long a chunk took, and how long the worker waited for its files."""
        self._feed.finished()
        waited = sum(outcome.timings.get("read", 0.0) for outcome in outcomes) / 1000
        if self._chunks and waited > WAITED_SHARE * seconds and self._chunks * len(outcomes) < MOST_IMAGES:
            self._chunks *= 2
            self._feed.ahead = max(self._feed.ahead, AHEAD + 2 * self._chunks)

    def _next(self, *, wait: bool) -> tuple[int, tuple[Item, ...]] | None:
        chunk = self._feed.take(wait=wait)
        if chunk is not None and any(
            not isinstance(item, ImageFailure) and is_remote(item.source) for item in chunk[1]
        ):
            self._chunks = self._chunks or 1
            self._worker.expect(chunk[1])
        return chunk
