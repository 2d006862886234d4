"""Who watches a run: a progress bar, lines in a log, records on stdout."""

from __future__ import annotations

from typing import Protocol

from yolocli.results import Outcome


class Observer(Protocol):
    """Watches a run. All methods are called from the thread that consumes the run.

    Attributes:
        counts: It wants to know how many images there are, for which the inputs are listed far ahead of the work.
    """

    counts: bool

    def started(self) -> None:
        """Models are loaded."""

    def skipped(self, images: int) -> None:
        """So many images were found done by an earlier run, so far."""

    def total(self, images: int, whole: bool) -> None:
        """So many images have been found, so far or, if it is the whole, in all."""

    def outcome(self, outcome: Outcome) -> None:
        """An image has ended and is in the journal."""

    def notice(self, message: str) -> None:
        """Something the user may want to know."""

    def finished(self) -> None:
        """No more will come."""


class Silent:
    """Shows nothing; the base of observers that watch for one thing only."""

    counts = False

    def started(self) -> None:
        """See `Observer`."""

    def skipped(self, images: int) -> None:
        """See `Observer`."""

    def total(self, images: int, whole: bool) -> None:
        """See `Observer`."""

    def outcome(self, outcome: Outcome) -> None:
        """See `Observer`."""

    def notice(self, message: str) -> None:
        """See `Observer`."""

    def finished(self) -> None:
        """See `Observer`."""
