"""All other stores, by fsspec: slower with many small files, but it knows nearly every protocol."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from yolocli.errors import ImageError, UsageError, install_hint
from yolocli.stores.attempts import with_attempts
from yolocli.stores.base import ABSENT, Entry, Mark, MissingError, StoreError, Unlisted
from yolocli.stores.secrets import without_secrets_within

T = TypeVar("T")

ETAGS = ("etag", "ETag", "blob_id", "sha256", "checksum", "md5")
TIMES = ("mtime", "modified", "last_modified", "LastModified", "created")
FINAL = (PermissionError, NotADirectoryError, IsADirectoryError, ValueError, NotImplementedError, TypeError)
"""What another attempt would meet again."""


class Files:
    """See `Store`. It cannot write on a condition."""

    lists = True
    guards = False

    def __init__(self, root: str) -> None:
        self.root = root
        scheme = root.partition("://")[0]
        try:
            from fsspec.core import url_to_fs
        except ImportError:
            raise UsageError(f"{scheme}:// needs fsspec: {install_hint('fsspec')}") from None
        try:
            self._system, self._top = url_to_fs(root, use_listings_cache=False)
        except ImportError as error:  # of a package for this protocol, which it names
            raise UsageError(f"{scheme}:// needs another package: {error}") from None
        except Exception as error:
            raise _translated(error) from None

    def stat(self, key: str) -> Entry:
        """See `Store.stat`."""
        info = _ask(lambda: self._system.info(self._path(key)))
        if info["type"] != "file":
            raise MissingError
        return _entry(key, info)

    def read(self, key: str, *, start: int = 0, end: int | None = None, check: Callable[[int], None]) -> bytes:
        """See `Store.read`."""
        check(self.stat(key).size)
        return bytes(_ask(lambda: self._system.cat_file(self._path(key), start=start or None, end=end)))

    def list(self, folder: str) -> Iterator[Entry | Unlisted]:
        """See `Store.list`: folder by folder."""
        try:
            found = _ask(lambda: self._system.ls(self._path(folder), detail=True))
        except MissingError:
            if not folder:
                raise
            return
        own = self._path(folder).strip("/")
        found = [info for info in found if info["name"].strip("/") != own]  # a file is listed as what it holds
        entries = {info["name"].rstrip("/").rpartition("/")[2] + "/" * (info["type"] != "file"): info for info in found}
        for name in sorted(entries, key=lambda name: name.encode("utf-8", "surrogateescape")):
            key = f"{folder}/{name}".lstrip("/")
            if not name.endswith("/"):
                yield _entry(key, entries[name])
                continue
            try:
                yield from self.list(key.rstrip("/"))
            except StoreError as error:
                yield Unlisted(key.rstrip("/"), error)

    def write(self, key: str, data: bytes | Path, *, over: Mark | None = None) -> Mark:
        """See `Store.write`; never on a condition."""
        assert over is None, "it does not guard"
        content = data if isinstance(data, bytes) else data.read_bytes()
        _ask(lambda: self._system.pipe_file(self._path(key), content))
        return ABSENT

    def delete(self, key: str) -> None:
        """See `Store.delete`."""
        with suppress(MissingError):
            _ask(lambda: self._system.rm_file(self._path(key)))

    def _path(self, key: str) -> str:
        return f"{self._top.rstrip('/')}/{key}" if key else self._top


def _entry(key: str, info: dict[str, Any]) -> Entry:
    etag = next((str(info[name]) for name in ETAGS if info.get(name)), "")
    time: Any = next((info[name] for name in TIMES if info.get(name)), 0)
    if isinstance(time, datetime):
        time = time.timestamp()
    if not etag and not isinstance(time, int | float):  # a text: whatever it says, it differs
        etag, time = hashlib.blake2b(f"{info.get('size')} {time}".encode(), digest_size=8).hexdigest(), 0
    return Entry(key, int(info.get("size") or 0), int(time * 1e9), etag.strip('"'))


def _ask(question: Callable[[], T]) -> T:
    def attempt() -> T:
        try:
            return question()
        except ImageError:
            raise
        except Exception as error:  # whatever protocols raise
            raise _translated(error) from None

    return with_attempts(attempt)


def _translated(error: Exception) -> StoreError:
    if isinstance(error, FileNotFoundError):
        return MissingError()
    said = without_secrets_within(str(error).split("\n", 1)[0]) or type(error).__name__
    if isinstance(error, PermissionError):
        return StoreError("PermissionDenied", f"the store refuses: {said}")
    return StoreError("StoreUnavailable", f"the store does not answer: {said}", passing=not isinstance(error, FINAL))
