"""The files of an output folder in a store: those of one here that are not there yet, and those there that runs wrote.

A list in the store says which are runs' own, so that nothing of anybody else is read, replaced or removed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from yolocli.errors import OutputError, UsageError
from yolocli.output.ownership import JOURNAL, LOCK, RUN
from yolocli.output.partial import PARTIAL
from yolocli.output.store_journal import PART
from yolocli.output.store_lock import LOCK_OBJECT
from yolocli.stores.base import Entry, Store, StoreError
from yolocli.stores.download import AT_ONCE, pull

T = TypeVar("T")

LIST = ".yolocli-files"
"""The list: names as JSON, one a line."""


class StoreFiles:
    """The files of a place in a store, but for its journal, and a folder here that holds them; all raise StoreError.

    Attributes:
        own: Names of those that runs wrote, as the list has them.
    """

    def __init__(self, store: Store, top: str, folder: Path, notice: Callable[[str], None]) -> None:
        """Makes one that knows nothing of the place yet.

        Args:
            store: Where it lies.
            top: What the keys there begin with.
            folder: The folder here.
            notice: Told of what is not published.
        """
        self._store = store
        self._top = top
        self._folder = folder
        self._notice = notice
        self._states: dict[str, tuple[int, int]] = {}
        self._strange: set[str] = set()
        self.own: set[str] = set()

    def look(self) -> dict[str, Entry]:
        """Returns what the place holds, by name.

        Raises:
            UsageError: If no run ever wrote to it, and somebody else did.
        """
        cut = len(self.key(""))
        entries = (entry for entry in self._store.list(self._top) if isinstance(entry, Entry))
        there = {entry.key[cut:]: entry for entry in entries}
        there.pop(LOCK_OBJECT, None)
        if there and LIST not in there and RUN not in there:
            place = f"{self._store.root}/{self._top}".rstrip("/")
            raise UsageError(f"--output {place}: holds files, and none of a run; name a place of its own")
        if LIST in there:
            self.own = _names_in(b"".join(pull(self._store, [there[LIST]])))
        known = {RUN, LIST, JOURNAL} | self.own
        self._strange = {name for name in there if name not in known and not PART.fullmatch(name)}
        return there

    def pull(self, there: Mapping[str, Entry], wanted: Callable[[str], bool] = lambda name: True) -> None:
        """Copies what runs wrote to the folder here, or those files alone that are wanted."""
        own = (name for name in self.own | {RUN} if name in there and _is_published(name))
        self._each(self._download, filter(wanted, own), there)

    def publish(self, names: Iterable[str]) -> None:
        """Publishes files that are not what was published, or pulled, last under their names."""
        refused = [name for name in self._each(self._upload, names) if name]
        if refused:
            some = f"{len(refused):,} file{'s' * (len(refused) > 1)}"
            self._notice(f"{some} not published, as a store cannot hold the name: {refused[0]!r}")

    def forget(self, name: str) -> None:
        """Has a file published, whatever was pulled."""
        self._states.pop(name, None)

    def claim(self, names: set[str]) -> None:
        """Puts names on the list, before they are there, so that none is ever taken for somebody else's.

        Raises:
            OutputError: If something stands there that no run wrote.
        """
        if strange := sorted(self._strange & names):
            raise OutputError(
                f"{self._store.root}/{self.key(strange[0])}: no run wrote it, and it is not replaced; move it away, "
                "and run the same command again"
            )
        self._list(self.own | names)

    def remove_others(self, names: set[str]) -> None:
        """Removes all from the place, and from the list, that a run wrote and that is not among these names."""
        if gone := self.own - names:
            self._each(self._store.delete, map(self.key, gone))
            self._list(names)

    def names(self) -> set[str]:
        """Returns the files of the folder here; no links, which a store has not."""
        names, links = set(), 0
        for folder, _, files in os.walk(self._folder):
            for file in files:
                path = os.path.join(folder, file)
                name = os.path.relpath(path, self._folder).replace(os.sep, "/")
                if os.path.islink(path):
                    links += 1
                elif _is_published(name):
                    names.add(name)
        if links:
            self._notice(f"{links:,} links to images are not published, as a store has none; ask for copies")
        return names

    def key(self, name: str) -> str:
        """Returns the key of a file."""
        return f"{self._top}/{name}" if self._top else name

    def _list(self, names: set[str]) -> None:
        self._store.write(self.key(LIST), "".join(f"{json.dumps(name)}\n" for name in sorted(names)).encode())
        self.own = names

    def _download(self, name: str, there: Mapping[str, Entry]) -> None:
        if ".." in name.split("/"):
            return
        file = self._folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(file, "wb") as stream:
            stream.writelines(pull(self._store, [there[name]]))
        self._states[name] = _state(file)

    def _upload(self, name: str) -> str:
        """Returns the name, if the store cannot hold it."""
        file = self._folder / name
        state = _state(file)
        if self._states.get(name) != state:
            try:
                self._store.write(self.key(name), file)
            except StoreError as error:
                if error.kind != "InvalidName":
                    raise
                return name
            self._states[name] = state
        return ""

    def _each(self, do: Callable[..., T], names: Iterable[str], *arguments: object) -> list[T]:
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="yolocli-publish") as pool:
            return list(pool.map(lambda name: do(name, *arguments), names))


def _names_in(data: bytes) -> set[str]:
    """Returns the names on a list.

    Raises:
        StoreError: If it is none.
    """
    try:
        names = list(map(json.loads, data.splitlines()))
    except ValueError:
        names = [None]
    if not all(isinstance(name, str) for name in names):
        raise StoreError("DamagedList", f"{LIST} there is damaged: move it away, or name another place")
    return set(names)


def _is_published(name: str) -> bool:
    return name not in {LOCK, JOURNAL} and not name.startswith(f"{PARTIAL}/") and not PART.fullmatch(name)


def _state(file: Path) -> tuple[int, int]:
    found = file.stat()
    return found.st_size, found.st_mtime_ns
