"""Records as data on stdout."""

from __future__ import annotations

from typing import IO

from yolocli.cli.terminal import write
from yolocli.observer import Observer
from yolocli.results import Outcome, to_json


class Ndjson(Observer):
    """A record a line, flushed, as images end."""

    def __init__(self, stream: IO[bytes], timings: bool) -> None:
        self._stream = stream
        self._timings = timings

    def outcome(self, outcome: Outcome) -> None:
        """See `Observer.outcome`."""
        write(self._stream, to_json(outcome.to_dict(timings=self._timings)) + b"\n")
