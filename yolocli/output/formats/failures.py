"""failures.jsonl: the records of what failed; there only when there are any. It has no row, as it is always written."""

from __future__ import annotations

from contextlib import ExitStack
from typing import IO

from yolocli.output.formats.base import Context, Format
from yolocli.output.sink import File
from yolocli.results import ImageFailure, Outcome, to_json

FAILURES = "failures.jsonl"


class Failures:
    """See `Writer`."""

    def __init__(self, context: Context) -> None:
        self._sink = context.sink
        self._timings = context.timings
        self._stack = ExitStack()
        self._stream: IO[bytes] | None = None

    def add(self, outcome: Outcome) -> None:
        """See `Writer.add`."""
        if isinstance(outcome, ImageFailure):
            if self._stream is None:
                self._stream = self._stack.enter_context(self._sink.open(FAILURES))
            self._stream.write(to_json(outcome.to_dict(timings=self._timings)) + b"\n")

    def close(self) -> None:
        """See `Writer.close`."""
        if self._stream is None:
            self._sink.remove(FAILURES)
        self._stack.close()


FORMAT = Format(final=Failures, files=(File(FAILURES, start=b'{"schema": 1, "path": "'),))
