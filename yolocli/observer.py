"""Who watches a run: a progress bar, lines in a log, records on stdout."""

from __future__ import annotations

from yolocli.results import Outcome


class Observer:
    """Watches a run, and does nothing about it: others override what they want to know.

    All methods are called from the thread that consumes the run.

    Attributes:
        counts: It wants to know how many images there are, for which the inputs are listed far ahead of the work.
    """

    counts = False

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
