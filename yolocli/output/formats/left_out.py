"""What a format has no place for is counted, and told of in one line."""

from __future__ import annotations

from collections import Counter

from yolocli.output.formats.base import Context

FAILURES = "failed images"


class LeftOut:
    """Counts what a file has no place for."""

    def __init__(self, context: Context, file: str) -> None:
        self._notice = context.notice
        self._file = file
        self._counts: Counter[str] = Counter()

    def add(self, things: str, count: int = 1) -> None:
        """Counts things, named in the plural."""
        self._counts[things] += count

    def tell(self) -> None:
        """Says what was left out, if anything was; to be called once, when the file is whole."""
        if counts := [f"{things} ({count:,})" for things, count in sorted(self._counts.items()) if count]:
            self._notice(f"{self._file} has no place for {', '.join(counts)}")
