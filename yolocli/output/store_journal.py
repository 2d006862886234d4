"""A journal in a store, which cannot append: the whole of earlier runs, and numbered parts that follow it.

The parts are what a run adds, published every few seconds. When it ends, they and the whole become the new whole.
Lines that are there twice, as a run was killed in the midst of that, say the same twice.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from yolocli.output.ownership import JOURNAL
from yolocli.stores.base import ABSENT, Entry, Store
from yolocli.stores.download import pull

PART = re.compile(r"results-(\d{6,})\.jsonl")
MOST_BYTES = 64 << 20
"""Of a part."""


class StoreJournal:
    """The journal of a place in a store, and the copy of it here that a run appends to.

    Attributes:
        parts: Names of those that are there, in order.
    """

    def __init__(self, store: Store, top: str, local: Path, state: Path) -> None:
        """Makes one that knows nothing of the place yet.

        Args:
            store: Where it lies.
            top: What the keys there begin with.
            local: The copy.
            state: A file that keeps, for a run after this one was killed, how much of the copy is in the store.
        """
        self._store = store
        self._top = top
        self._local = local
        self._state = state
        self._tail = state.with_suffix(".tail")
        self.parts: list[str] = []
        self._whole = False
        self._size = self._file = 0

    def save_tail(self, there: Mapping[str, Entry]) -> bool:
        """Sets aside what a killed run left here that is not in the store; True if there is something.

        Args:
            there: What the place holds, by name. If another run wrote to it since, what is left here is worth nothing.
        """
        with suppress(OSError, ValueError):
            last, size = json.loads(self._state.read_bytes()) if self._state.exists() else ("", 0)
            if last == _last(there) and self._local.stat().st_size > size:
                with open(self._local, "rb") as source, open(self._tail, "wb") as target:
                    source.seek(size)
                    shutil.copyfileobj(source, target)
                return True
        self._tail.unlink(missing_ok=True)
        return False

    def pull(self, there: Mapping[str, Entry]) -> None:
        """Makes the copy here: what the place holds, and what was set aside."""
        self.parts = sorted(filter(PART.fullmatch, there), key=_number)
        self._whole = JOURNAL in there
        names = [JOURNAL] * self._whole + self.parts
        if names or self._tail.exists():
            with open(self._local, "wb") as stream:
                for data in pull(self._store, [there[name] for name in names]):
                    stream.write(data)
                self._size = stream.tell()
                if self._tail.exists():
                    with open(self._tail, "rb") as tail:
                        shutil.copyfileobj(tail, stream)
            self._file = self._local.stat().st_ino
        self._note(_last(there))
        self._tail.unlink(missing_ok=True)

    def was_replaced(self) -> bool:
        """Tells whether the copy is another file than it was: a run started anew, or took damaged lines out."""
        found = self._local.stat() if self._local.exists() else None
        return (self.parts or self._whole) and (
            found is None or found.st_ino != self._file or found.st_size < self._size
        )

    def forget(self) -> None:
        """Removes all of it from the store, the last first, so that what is left is a beginning."""
        for name in (*reversed(self.parts), *[JOURNAL] * self._whole):
            self._store.delete(self._key(name))
        self.parts, self._whole, self._size = [], False, 0
        self._note("")

    def publish(self) -> None:
        """Adds what is new in the copy, in whole lines.

        Raises:
            ConflictError: If another run added something, which it may only do when this one is taken for dead.
        """
        if not self._local.exists():
            return
        self._file = self._local.stat().st_ino
        while lines := self._new_lines():
            name = f"results-{_number(self.parts[-1]) + 1 if self.parts else 1:06}.jsonl"
            mark = self._store.write(self._key(name), lines, over=ABSENT)
            self.parts.append(name)
            self._size += len(lines)
            self._note(f"{name} {mark[0]}")

    def join(self) -> None:
        """Makes one whole of it. All that is new must have been published."""
        if self.parts and self._local.exists():
            self._store.write(self._key(JOURNAL), self._local)
            self._whole = True
            for name in self.parts:  # what is left is an end of the whole, which changes nothing
                self._store.delete(self._key(name))
            self.parts = []

    def _new_lines(self) -> bytes:
        with open(self._local, "rb") as stream:
            stream.seek(self._size)
            data = stream.read(MOST_BYTES)
        return data[: data.rfind(b"\n") + 1]

    def _key(self, name: str) -> str:
        return f"{self._top}/{name}".lstrip("/")

    def _note(self, last: str) -> None:
        temporary = self._state.with_suffix(".new")
        temporary.write_text(json.dumps([last, self._size]))
        os.replace(temporary, self._state)


def _last(there: Mapping[str, Entry]) -> str:
    """Returns what tells up to where the journal in a place goes."""
    parts = sorted(filter(PART.fullmatch, there), key=_number)
    name = parts[-1] if parts else JOURNAL if JOURNAL in there else ""
    return f"{name} {there[name].mark[0]}" if name else ""


def _number(name: str) -> int:
    match = PART.fullmatch(name)
    assert match is not None
    return int(match[1])
