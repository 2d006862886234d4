"""failures.jsonl: the records of what failed; there only when there are any."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import IO, ClassVar

from yolocli.output.folder import OutputFolder
from yolocli.results import ImageFailure, Outcome, to_json

FAILURES = "failures.jsonl"


class Failures:
    """See `Exporter`; it is not in the registry, as it is always written."""

    live: ClassVar[bool] = False

    def __init__(self, folder: OutputFolder, timings: bool) -> None:
        self._folder = folder
        self._timings = timings
        self._stack = ExitStack()
        self._stream: IO[bytes] | None = None

    def add(self, outcome: Outcome) -> None:
        """See `Exporter.add`."""
        if isinstance(outcome, ImageFailure):
            if self._stream is None:
                self._stream = self._stack.enter_context(self._folder.open(Path(FAILURES)))
            self._stream.write(to_json(outcome.to_dict(timings=self._timings)) + b"\n")

    def close(self) -> None:
        """See `Exporter.close`."""
        if self._stream is None:
            self._folder.remove(FAILURES)
        self._stack.close()
