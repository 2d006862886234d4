"""What passes is tried again, later each time, until a deadline."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from yolocli.stores.base import StoreError

T = TypeVar("T")

DEADLINE_SECONDS = 120.0
"""After which what still fails has failed: longer than a store takes to recover mostly, shorter than a person waits."""
FIRST_SECONDS, MOST_SECONDS = 0.1, 10.0
"""Wait before the second attempt, twice that before the third, and so on; each between half of that and all of it, so
that many workers do not come back at once."""


def with_attempts(attempt: Callable[[], T], deadline: float | None = None) -> T:
    """Returns what a function returns, after as many attempts as it takes.

    Args:
        attempt: Raises a StoreError that tells whether it is passing.
        deadline: Seconds after which no other attempt begins; `DEADLINE_SECONDS` if None.

    Raises:
        StoreError: Of the last attempt, which says how many there were.
    """
    began, wait, attempts = time.monotonic(), FIRST_SECONDS, 0
    limit = DEADLINE_SECONDS if deadline is None else deadline
    while True:
        attempts += 1
        try:
            return attempt()
        except StoreError as error:
            passed = time.monotonic() - began
            if not error.passing:
                raise
            if passed + wait > limit:
                raise StoreError(error.kind, f"{error} ({attempts} attempts in {passed:.0f} s)") from error
        time.sleep(wait * random.uniform(0.5, 1))
        wait = min(2 * wait, MOST_SECONDS)
