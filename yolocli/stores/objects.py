"""Stores of objects, by obstore, whose calls let other threads run: Amazon S3 and its like, Google, Azure, HTTP."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

from yolocli.errors import UsageError, install_hint
from yolocli.stores.attempts import DEADLINE_SECONDS, with_attempts
from yolocli.stores.base import ABSENT, ConflictError, Entry, Mark, MissingError, StoreError, Unlisted
from yolocli.stores.secrets import without_secrets_within

T = TypeVar("T")

PAGE = 1000
"""Keys that a store lists at once."""
STALLED_SECONDS = 30
"""Without a byte, after which a request is begun anew."""
UNKNOWN_SECONDS = 15.0
"""Deadline of a store that has never answered: its address may be wrong."""
_STATUS = re.compile(r"status code: ((\d{3})[ \w]*)")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_NOISE = re.compile(r"^Could not parse path: |^Encountered object with invalid path: |^Generic .*? - ")
_ODD_KEY = re.compile(r'Path "(.*?)"(?: contained|: )', re.DOTALL)
_ODD_PART = re.compile(r"[\0-\x1f]|\x7f|(?:^|(?<=/))\.{0,2}(?:/|$)")
_PASSING = frozenset({"408", "429"})
_HTTP = {"s3": ("AWS_ENDPOINT_URL", "AWS_ALLOW_HTTP"), "gs": ("", "GOOGLE_ALLOW_HTTP"), "az": ("", "AZURE_ALLOW_HTTP")}
_CREDENTIALS = re.compile(r"169\.254\.169\.254|[Cc]redential|token request|must be specified|metadata\.google")


class OddKeyError(StoreError):
    """A key that obstore cannot name: with a part that is empty, `.` or `..`, or with a control character.

    Attributes:
        behind: The first name behind it, and behind those beside it that cannot be named for the same reason.
    """

    def __init__(self, key: str) -> None:
        super().__init__("InvalidName", f"{key!r}: keys like this cannot be read, and some beside it cannot be listed")
        self.behind = _behind(key)


class Objects:
    """See `Store`."""

    def __init__(self, root: str) -> None:
        self.root = root
        scheme, _, bucket = root.partition("://")
        self._store = _open(scheme, bucket, root)
        self._quoted = scheme in {"http", "https"}
        self._answered = False
        self.lists = self.guards = not self._quoted

    def stat(self, key: str) -> Entry:
        """See `Store.stat`."""
        store, path = self._at(key)
        return _entry(self._ask(lambda: store.head(path)))

    def read(self, key: str, *, start: int = 0, end: int | None = None, check: Callable[[int], None]) -> bytes:
        """See `Store.read`."""
        part = None if not start and end is None else {"offset": start} if end is None else (start, end)
        options = None if part is None else {"range": part}
        store, path = self._at(key)

        def read() -> bytes:
            answer = store.get(path, options=options)
            check(answer.meta["size"])
            return bytes(answer.bytes())

        return self._ask(read)

    def list(self, folder: str) -> Iterator[Entry | Unlisted]:
        """See `Store.list`: a request for a thousand keys, whatever folders they are in."""
        return _once(self._list(folder, ""))

    def write(self, key: str, data: bytes | Path, *, over: Mark | None = None) -> Mark:
        """See `Store.write`."""
        mode: Any = "create" if over == ABSENT else over and _update(over)
        try:
            return _mark(self._ask(lambda: self._store.put(self._path(key), data, mode=mode)))
        except ConflictError:
            # an attempt whose answer was lost may have written it
            if not isinstance(data, bytes) or self.read(key, check=lambda size: None) != data:
                raise
            return self.stat(key).mark

    def delete(self, key: str) -> None:
        """See `Store.delete`."""
        with suppress(MissingError):
            self._ask(lambda: self._store.delete(self._path(key)))

    def _at(self, key: str) -> tuple[Any, str]:
        """Returns the store and the path in it that an object is read by.

        No path of obstore has a part with a '/' in it, but the URL of a store may have one: `a%2Fb.jpg`.
        """
        if self._quoted and "%2F" in key.upper():
            return _open(self.root.partition("://")[0], "", f"{self.root}/{key}"), ""
        return self._store, self._path(key)

    def _path(self, key: str) -> str:
        return unquote(key) if self._quoted else key

    def _list(self, folder: str, after: str) -> Iterator[Entry | Unlisted]:
        """Yields what lies below a folder behind a key; folder by folder where a key cannot be named.

        obstore gives up a page that holds such a key, and all behind it.
        """
        try:
            for page in self._pages(folder, after):
                yield from map(_entry, page)
                after = page[-1]["path"]
            return
        except OddKeyError:
            pass
        try:
            found = self._ask(lambda: self._store.list_with_delimiter(folder or None))
        except OddKeyError as error:
            yield Unlisted(folder, error)
            yield from self._list(folder, max(after, error.behind, key=str.encode))
            return
        inner = {f"{name}/": name for name in found["common_prefixes"]}
        if inner.pop(f"{folder}/", None) is not None:  # what is left of a part that is empty
            yield Unlisted(folder, OddKeyError(f"{folder}//"))
        objects = {entry.key: entry for entry in map(_entry, found["objects"])}
        for name in sorted([*inner, *objects], key=str.encode):
            if name in inner and (name.encode() > after.encode() or after.startswith(name)):
                yield from self._list(inner[name], after if after.startswith(name) else "")
            elif name in objects and name.encode() > after.encode():
                yield objects[name]

    def _pages(self, folder: str, after: str) -> Iterator[Any]:
        stream: Iterator[Any] | None = None

        def page() -> Any:
            nonlocal stream
            stream = stream or iter(self._store.list(folder or None, offset=after or None, chunk_size=PAGE))
            try:
                return next(stream, None)
            except Exception:
                stream = None
                raise

        while found := self._ask(page):
            yield found
            after = found[-1]["path"]

    def _ask(self, question: Callable[[], T]) -> T:
        def attempt() -> T:
            try:
                answer = question()
            except Exception as error:
                if isinstance(error, OSError | ValueError) or type(error).__module__.startswith("obstore"):
                    raise self._translated(error) from None  # its text may hold a secret
                raise
            self._answered = True
            return answer

        return with_attempts(attempt, None if self._answered else UNKNOWN_SECONDS)

    def _translated(self, error: Exception) -> StoreError:
        """Returns what happened in few words."""
        kind, text = type(error).__name__, str(error)
        status, code = _STATUS.search(text), _CODE.search(text)
        short = without_secrets_within(_NOISE.sub("", text.split("\n", 1)[0].partition("<?xml")[0]).strip().rstrip(":"))
        said = (status[1].strip() if status else short) + (f" ({code[1]})" if code else "")
        if isinstance(error, FileNotFoundError) or (status and status[2] == "404"):
            return MissingError(f"the store has no such {'bucket' if code and code[1] == 'NoSuchBucket' else 'key'}")
        if kind in {"AlreadyExistsError", "PreconditionError"}:
            return ConflictError()
        if kind == "InvalidPathError" or isinstance(error, ValueError):
            odd = _ODD_KEY.search(text)
            return OddKeyError(odd[1]) if odd else StoreError("InvalidName", f"a key that cannot be read: {short}")
        if _CREDENTIALS.search(text):
            message = f"no credentials that the store takes are found in the environment: {short}"
            return StoreError("NoCredentials", message, passing=self._answered)
        if kind in {"PermissionDeniedError", "UnauthenticatedError"}:
            return StoreError("PermissionDenied", f"the store refuses: {said}")
        if status and (status[2].startswith("4") or status[2] == "501") and status[2] not in _PASSING:
            return StoreError("StoreError", f"the store refuses: {said}")
        return StoreError("StoreUnavailable", f"the store does not answer: {said}", passing=True)


def _once(found: Iterable[Entry | Unlisted]) -> Iterator[Entry | Unlisted]:
    """Drops what repeats the key of an object: the marker of a folder, `a.jpg/`, whose '/' obstore takes away.

    A marker comes behind the object, and all between them begins with its key.
    """
    begun: list[str] = []
    for entry in found:
        if isinstance(entry, Entry):
            while begun and not entry.key.startswith(begun[-1]):
                begun.pop()
            if begun and begun[-1] == entry.key:
                continue
            begun.append(entry.key)
        yield entry


def _behind(key: str) -> str:
    odd = _ODD_PART.search(key)
    if odd is None:
        return key
    if odd[0] < " ":
        return key[: odd.start()] + " "
    return key[: odd.start()] + ("\x80" if odd[0] == "\x7f" else odd[0].rstrip("/") + "0")  # which follows '/'


def _entry(meta: Any) -> Entry:
    modified = int(meta["last_modified"].timestamp() * 1e9)
    return Entry(meta["path"], meta["size"], modified, (meta["e_tag"] or "").strip('"'), _mark(meta))


def _update(over: Mark) -> dict[str, str]:
    return {name: value for name, value in zip(("e_tag", "version"), over, strict=True) if value}


def _mark(meta: Any) -> Mark:
    return meta["e_tag"] or "", meta["version"] or ""


def _open(scheme: str, bucket: str, root: str) -> Any:
    try:
        from obstore import store
    except ImportError:
        raise UsageError(f"{scheme}:// needs obstore: {install_hint('stores')}") from None
    options: dict[str, Any] = {
        "client_options": {
            "timeout": timedelta(seconds=DEADLINE_SECONDS),
            "read_timeout": timedelta(seconds=STALLED_SECONDS),
            "allow_http": scheme == "http" or _plain(*_HTTP.get(scheme, ("", ""))),
        },
        "retry_config": {"max_retries": 4, "retry_timeout": timedelta(seconds=UNKNOWN_SECONDS)},
    }
    try:
        if scheme == "s3":
            return store.S3Store(bucket, **options, **_profile())
        if scheme in {"gs", "az"}:
            return (store.GCSStore if scheme == "gs" else store.AzureStore)(bucket, **options)
        return store.HTTPStore(root, **options)
    except Exception as error:
        said = without_secrets_within(str(error).split("\n", 1)[0])
        raise StoreError("StoreError", f"{root}: cannot be opened: {said}") from None


def _plain(endpoint: str, variable: str) -> bool:
    """Tells whether the environment names a server without encryption, as one on this machine."""
    return os.environ.get(endpoint, "").startswith("http://") or os.environ.get(variable, "").lower() == "true"


def _profile() -> dict[str, Any]:
    """Returns what reads the credentials of a profile, which boto3 alone can do, if that is where they are."""
    if "AWS_ACCESS_KEY_ID" in os.environ or not (
        "AWS_PROFILE" in os.environ or os.path.exists(os.path.expanduser("~/.aws/credentials"))
    ):
        return {}
    try:
        from obstore.auth.boto3 import Boto3CredentialProvider

        return {"credential_provider": Boto3CredentialProvider()}
    except ImportError:
        return {}
