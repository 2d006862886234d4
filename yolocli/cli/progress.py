"""What a person sees while it runs, on stderr: a bar on a terminal, a line now and then elsewhere, or nothing.

That nobody reads stderr any more is no error: the run goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Protocol, TextIO

from yolocli.cli.terminal import tell
from yolocli.errors import printable
from yolocli.observer import Observer
from yolocli.results import ImageFailure, Outcome

FIRST_LINE_SECONDS = 5.0
LAST_LINE_SECONDS = 300.0
"""Time between two progress lines: at first, and at most; each wait is twice the one before it."""
BAR_FORMAT = "{n_fmt}/{total_fmt}{postfix}, {rate_fmt}, {remaining} left |{bar}|"
"""The count comes first, as a narrow terminal shows only the beginning."""
OPEN_FORMAT = "{{n_fmt}} of at least {found}{{postfix}}, {{rate_fmt}}"
"""While the end of the inputs has not been seen."""
FAILURES_SHOWN = 10


class Bar(Observer):
    """A tqdm bar with images/s, time left and failures so far; it appears when the models are loaded."""

    counts = True

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._bar: Any = None
        self._failures = self._skipped = self._total = 0
        self._whole = False

    def started(self) -> None:
        """See `Observer`."""
        from tqdm import tqdm

        with suppress(OSError):
            self._bar = tqdm(file=self._stream, unit="img", dynamic_ncols=True, smoothing=0.1, bar_format=BAR_FORMAT)
        self._set_total()

    def skipped(self, images: int) -> None:
        """See `Observer`."""
        self._skipped = images
        self._set_total()

    def total(self, images: int, whole: bool) -> None:
        """See `Observer`."""
        self._total, self._whole = images, whole
        self._set_total()

    def outcome(self, outcome: Outcome) -> None:
        """See `Observer`."""
        if isinstance(outcome, ImageFailure):
            self._failures += 1
            _say_failure(outcome, self._failures, self._say)
        with suppress(OSError):
            if self._bar is not None:
                self._bar.set_postfix_str(f"{self._failures} failed" if self._failures else "", refresh=False)
                self._bar.update()

    def notice(self, message: str) -> None:
        """See `Observer`."""
        self._say(message)

    def finished(self) -> None:
        """See `Observer`."""
        with suppress(OSError):
            if self._bar is not None:
                self._bar.close()

    def _set_total(self) -> None:
        if self._total and self._bar is not None:
            total = max(self._total - self._skipped, 0)
            self._bar.total = total if self._whole else None
            self._bar.bar_format = BAR_FORMAT if self._whole else OPEN_FORMAT.format(found=total)

    def _say(self, text: str) -> None:
        with suppress(OSError):
            if self._bar is None:
                tell(text, self._stream)
            else:
                self._bar.write(printable(text), file=self._stream)


class Lines(Observer):
    """Lines with a time of day, for logs: failures, notices, and how far it is, less and less often."""

    def __init__(self, stream: TextIO, *, reports: bool = True, clock: Callable[[], float] = time.monotonic) -> None:
        """Makes an observer.

        Args:
            stream: Where people read.
            reports: Say how far it is.
            clock: Seconds from any moment on.
        """
        self._stream = stream
        self.counts = self._reports = reports
        self._clock = clock
        self._done = self._failures = self._skipped = self._total = 0
        self._whole = False
        self._wait = FIRST_LINE_SECONDS
        self._started = self._last = clock()

    def started(self) -> None:
        """See `Observer`."""
        self._started = self._last = self._clock()

    def skipped(self, images: int) -> None:
        """See `Observer`."""
        self._skipped = images

    def total(self, images: int, whole: bool) -> None:
        """See `Observer`."""
        self._total, self._whole = images, whole

    def outcome(self, outcome: Outcome) -> None:
        """See `Observer`."""
        self._done += 1
        if isinstance(outcome, ImageFailure):
            self._failures += 1
            _say_failure(outcome, self._failures, self._say)
        now = self._clock()
        if self._reports and now - self._last >= self._wait:
            self._last = now
            self._wait = min(self._wait * 2, LAST_LINE_SECONDS)
            self._report(now - self._started)

    def notice(self, message: str) -> None:
        """See `Observer`."""
        self._say(message)

    def _report(self, elapsed: float) -> None:
        rate = self._done / elapsed
        parts = [f"{self._done:,} images", f"{rate:.1f} images/s", f"{self._failures:,} failed"]
        if self._total:
            total = self._total - self._skipped
            parts[0] = f"{self._done:,} of {'' if self._whole else 'at least '}{total:,} images"
            if self._whole:
                parts.append(f"{timedelta(seconds=round(max(total - self._done, 0) / rate))} left")
        self._say(", ".join(parts))

    def _say(self, text: str) -> None:
        tell(f"{datetime.now():%H:%M:%S} {text}", self._stream)


def make_progress(stream: TextIO, *, quiet: bool, bar: bool) -> Observer:
    """Returns what fits the stream: a bar on a terminal, lines elsewhere, nothing if quiet.

    Args:
        stream: Where people read.
        quiet: Show nothing.
        bar: Show progress; if not, notices and failures alone.
    """
    if quiet:
        return Observer()
    if not bar:
        return Lines(stream, reports=False)
    return Bar(stream) if stream.isatty() else Lines(stream)


class _Write(Protocol):
    def __call__(self, text: str, /) -> None: ...


def _say_failure(failure: ImageFailure, number: int, write: _Write) -> None:
    if number <= FAILURES_SHOWN:
        write(f"failed: {_called(failure)}: {failure.stage}: {failure.message}")
    elif number == FAILURES_SHOWN + 1:
        write("more failed; their records say why")


def _called(failure: ImageFailure) -> str:
    """Returns what people call an image, or a folder that cannot be listed, which may have no name of its own."""
    return failure.ref.source if failure.path.split("/")[-1] == "." else failure.path
