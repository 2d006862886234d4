"""What SIGINT and SIGTERM do to a command; one that is ignored, as under nohup, stays so."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from yolocli.errors import ExitCode

if TYPE_CHECKING:
    from yolocli.pipeline import Run

CODES = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED}
STOPPING = b"\nstopping: images in flight are finished first; once more to stop at once\n"


def heard() -> list[signal.Signals]:
    """Returns the signals that are not ignored."""
    return [number for number in CODES if signal.getsignal(number) is not signal.SIG_IGN]


def end_on_signals() -> None:
    """A signal ends a command as an exception, so that children and temporary files go; the first counts."""
    numbers = heard()

    def end(number: int, frame: object) -> None:
        for other in numbers:
            signal.signal(other, signal.SIG_IGN)
        sys.exit(CODES[signal.Signals(number)])

    for number in numbers:
        signal.signal(number, end)


def end_on_sigterm() -> None:
    """Until the run can be stopped well, SIGTERM ends it as an exception, so that temporary files and children go."""
    if signal.SIGTERM in heard():
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(ExitCode.TERMINATED))


def stop_on_signals(run: Run, quiet: bool) -> None:
    """Stops a run at a signal, well; at a second one, at once."""
    received: list[int] = []

    def handle(number: int, frame: object) -> None:
        code = CODES[signal.Signals(number)]
        received.append(number)
        if len(received) == 1:
            run.stop(code)
            if not quiet:
                with suppress(OSError):
                    os.write(sys.stderr.fileno(), STOPPING)
        else:
            import multiprocessing

            # a record is one write, made in this thread, so none can be torn here
            for child in multiprocessing.active_children():
                child.kill()
            os._exit(code)

    for number in heard():
        signal.signal(number, handle)
