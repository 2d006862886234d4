"""What lies in a store, as files here: in parts, so that memory holds no whole and a failure costs one part."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from yolocli.stores import store_of, where
from yolocli.stores.base import Entry, MissingError, Store, StoreError

PART = 8 << 20
"""Bytes that are read at once."""
AT_ONCE = 16
"""Reads in flight."""


def parts_of(url: str) -> Iterator[bytes]:
    """Yields the content of an object.

    Raises:
        StoreError: If it cannot be read, or is another than it was when this began.
    """
    store, key = store_of(url), where(url).key
    return _parts(store, store.stat(key))


def fingerprint(url: str) -> str:
    """Returns what differs when an object, or any below a folder, is another.

    Raises:
        StoreError: If there is nothing, or it cannot be listed.
    """
    digest = hashlib.blake2b(digest_size=16)
    for entry in _entries(url):
        digest.update(f"{where(url).url}\0{entry.key}\0{entry.version}\0".encode())
    return digest.hexdigest()


def download(url: str, target: Path) -> None:
    """Writes an object to a file, or all objects below a folder to files in one.

    Raises:
        StoreError: If something cannot be read, or is another than it was when this began.
    """
    store, top = store_of(url), where(url).key
    for entry in _entries(url):
        inner = entry.key[len(top) :].strip("/")
        if ".." in inner.split("/"):
            raise StoreError("InvalidName", f"{entry.key}: leads out of its folder")
        file = target / inner if inner else target
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(file, "wb") as stream:
            for part in _parts(store, entry):
                stream.write(part)


def pull(store: Store, entries: Iterable[Entry]) -> Iterator[bytes]:
    """Yields the content of objects, one after the other, of which several are on their way.

    Raises:
        StoreError: If one cannot be read.
    """
    pieces = ((entry, start) for entry in entries for start in range(0, entry.size, PART))

    def read(piece: tuple[Entry, int]) -> bytes:
        entry, start = piece
        end = start + PART if entry.size > PART else None
        return store.read(entry.key, start=start, end=end, check=lambda size: None)

    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="yolocli-pull") as pool:
        coming: deque[Future[bytes]] = deque()
        for piece in pieces:
            coming.append(pool.submit(read, piece))
            if len(coming) == AT_ONCE:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()


def _entries(url: str) -> list[Entry]:
    store, key = store_of(url), where(url).key
    try:
        return [store.stat(key)]
    except MissingError:
        if not store.lists or not key:
            raise
    found = [entry for entry in store.list(key) if isinstance(entry, Entry)]
    if not found:
        raise MissingError("no such file or folder")
    return found


def _parts(store: Store, entry: Entry) -> Iterator[bytes]:
    for start in range(0, entry.size, PART):
        end = start + PART if entry.size > PART else None  # not every web server gives parts
        yield store.read(entry.key, start=start, end=end, check=lambda size: None)
    if entry.size > PART and store.stat(entry.key).version != entry.version:
        raise StoreError("Changed", f"{os.path.basename(entry.key)} was replaced while it was read", passing=True)
