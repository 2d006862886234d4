"""The journal: one complete line per image, appended as it ends. All else on disk is a projection of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from yolocli.errors import OutputError
from yolocli.output.disk import sync_stream, writing
from yolocli.output.folder import OutputFolder
from yolocli.output.lines import DROPPED, Head, entry, is_sound, split, with_checksum
from yolocli.output.ownership import DAMAGED, DAMAGED_HEAD, JOURNAL
from yolocli.results import SCHEMA_VERSION, Outcome, to_json


class Journal:
    """The open journal of one output folder; see `mend` before appending to an old one."""

    def __init__(self, folder: OutputFolder, timings: bool = False) -> None:
        self._folder = folder
        self._timings = timings
        self._path = folder.root / JOURNAL
        with writing(self._path):
            self._file = folder.open_in_place(JOURNAL, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            self._end = self._durable = os.fstat(self._file).st_size

    def append(self, outcome: Outcome) -> None:
        """Adds a line; when this returns, the line outlives the process.

        Raises:
            OutputError: If the line cannot be written; the journal is left as it was.
        """
        self._write(entry(outcome, self._timings))

    def drop(self, head: Head) -> None:
        """Takes back what was written of an image.

        Raises:
            OutputError: As for `append`.
        """
        line: dict[str, Any] = {"schema": SCHEMA_VERSION, "path": head.path}
        line |= {"source": head.source} if head.source else {}
        self._write(line | {"status": DROPPED, "version": ""})

    def check(self) -> None:
        """Makes sure that what lies at the journal's path is what was written.

        Raises:
            OutputError: If it was replaced, cut or added to by somebody else.
        """
        with writing(self._path):
            mine, found = os.fstat(self._file), os.stat(self._path)
        if not os.path.samestat(mine, found) or found.st_size != self._end:
            raise OutputError(
                f"{self._path}: was replaced or changed by another program during the run, so results may be missing. "
                "Put it back, or run again with --overwrite"
            )

    def _write(self, entry: Mapping[str, Any]) -> None:
        line = with_checksum(to_json(entry)[:-1])
        with writing(self._path):
            try:
                written = os.write(self._file, line)
                while written < len(line):
                    written += os.write(self._file, line[written:])
            except OSError:
                os.ftruncate(self._file, self._end)
                raise
        self._end += len(line)

    def sync(self) -> None:
        """Makes all lines durable.

        Raises:
            OutputError: If the disk does not take them.
        """
        if self._durable != self._end:
            with writing(self._path):
                os.fsync(self._file)
            self._durable = self._end

    def close(self) -> None:
        """Makes all lines durable, and closes the journal.

        Raises:
            OutputError: If the disk does not take them.
        """
        try:
            self.sync()
        finally:
            os.close(self._file)


def recover(folder: OutputFolder) -> int:
    """Cuts off a last line that a killed run left torn.

    Returns:
        Bytes cut off.

    Raises:
        OutputError: If the journal cannot be written.
    """
    path = folder.in_place(JOURNAL)
    if not path.exists():
        return 0
    with writing(path), open(folder.open_in_place(JOURNAL, os.O_RDWR), "rb+") as stream:
        end = stream.seek(0, os.SEEK_END)
        keep = end
        while keep:
            start = max(0, keep - (1 << 16))
            stream.seek(start)
            newline = stream.read(keep - start).rfind(b"\n")
            if newline >= 0:
                keep = start + newline + 1
                break
            keep = start
        if keep < end:
            stream.truncate(keep)
        return end - keep


def count_damaged(path: Path) -> int:
    """Returns how many lines of a journal are damaged, or torn."""
    with open(path, "rb") as stream:
        return sum(not is_sound(line) for line in stream)


def set_aside(folder: OutputFolder) -> int:
    """Takes damaged lines out of a journal and keeps them in a file beside it, so that their images are done again.

    Returns:
        Lines taken out.

    Raises:
        OutputError: If the journal or that file cannot be written.
    """
    path = folder.in_place(JOURNAL)
    if not path.exists():
        return 0
    with writing(path), open(path, "rb") as stream:
        if all(map(is_sound, stream)):
            return 0
        count = 0
        stream.seek(0)
        aside = folder.open_in_place(DAMAGED, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        with open(aside, "ab") as taken, folder.open(JOURNAL) as kept:
            if not taken.tell():
                taken.write(DAMAGED_HEAD)
            for damaged, sound in map(split, stream):
                count += bool(damaged)
                taken.write(damaged)
                kept.write(sound)
            sync_stream(taken)  # first, so that no line is in neither
            sync_stream(kept)
        folder.sync_names()
    return count


def mend(folder: OutputFolder, notice: Callable[[str], None]) -> int:
    """Makes a journal whole after whatever happened to it: see `recover` and `set_aside`.

    Args:
        folder: No run may be writing to it.
        notice: Told of damage.

    Returns:
        Lines that were damaged.

    Raises:
        OutputError: If it cannot be written.
    """
    recover(folder)
    damaged = set_aside(folder)
    if damaged:
        lines = f"{damaged:,} damaged line{'s' * (damaged > 1)}"
        notice(f"{folder.root / JOURNAL}: {lines} put into {DAMAGED}; a run does their images again")
    return damaged
