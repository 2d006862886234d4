"""What a store is, whatever library reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from yolocli.errors import ImageError
from yolocli.results import file_version

Mark: TypeAlias = tuple[str, str]
"""Tells what was written at one time from what was written at another: an ETag, a generation, or both."""
ABSENT: Mark = ("", "")
"""Of what is not there."""


@dataclass(frozen=True, slots=True)
class Where:
    """A place in a store.

    Attributes:
        root: URL of the bucket, or of what stands in its place: `s3://bucket`.
        key: Of an object, or of a folder; '/'-separated, and with none at its ends.
    """

    root: str
    key: str

    @property
    def url(self) -> str:
        """What stands for it anywhere."""
        return f"{self.root}/{self.key}" if self.key else self.root


@dataclass(frozen=True, slots=True)
class Entry:
    """An object.

    Attributes:
        key: Its name in the store.
        size: Bytes.
        modified: When it was written, in nanoseconds since 1970; 0 where the store does not say.
        etag: What differs when its content does; empty where the store does not say.
        mark: For a write on a condition.
    """

    key: str
    size: int
    modified: int = 0
    etag: str = ""
    mark: Mark = ABSENT

    @property
    def version(self) -> str:
        """See `ImageRef.version`."""
        return f"etag-{self.etag}" if self.etag else file_version(self.size, self.modified)


@dataclass(frozen=True, slots=True)
class Unlisted:
    """A folder of which not all can be listed.

    Attributes:
        folder: What the keys in it begin with.
        error: Why not.
    """

    folder: str
    error: StoreError


class StoreError(ImageError):
    """What a store answers in place of what it was asked for; its text holds no secret.

    Attributes:
        passing: Another attempt may succeed.
    """

    def __init__(self, kind: str, message: str, *, passing: bool = False) -> None:
        super().__init__(kind, message)
        self.passing = passing


class MissingError(StoreError):
    """There is no such key, or no such bucket."""

    def __init__(self, message: str = "the store has no such key") -> None:
        super().__init__("FileNotFoundError", message)


class ConflictError(StoreError):
    """What was to be written on a condition was written by somebody else before."""

    def __init__(self, message: str = "another program has written it") -> None:
        super().__init__("Conflict", message)


class Store(Protocol):
    """A bucket, for many threads at once; whatever it is asked for, it raises StoreError if that cannot be done.

    What may succeed at another attempt is tried again until a deadline, but for writes on a condition: what the first
    attempt did is not known.

    Attributes:
        root: Its URL.
        lists: It can tell what it holds.
        guards: It can write on a condition.
    """

    root: str
    lists: bool
    guards: bool

    def stat(self, key: str) -> Entry:
        """Looks at an object.

        Raises:
            MissingError: If there is none.
        """
        ...

    def read(self, key: str, *, start: int = 0, end: int | None = None, check: Callable[[int], None]) -> bytes:
        """Returns the content of an object, or a part of it.

        Args:
            key: Its name.
            start: First byte.
            end: Behind the last byte; None for all that follow.
            check: Told the size of the object before it is read; what it raises is not caught.

        Raises:
            MissingError: If there is none.
        """
        ...

    def list(self, folder: str) -> Iterator[Entry | Unlisted]:
        """Yields all that lies below a folder, sorted by key, the first as soon as it is known.

        Args:
            folder: What keys begin with, before a '/'; empty for all.
        """
        ...

    def write(self, key: str, data: bytes | Path, *, over: Mark | None = None) -> Mark:
        """Writes an object, whole or not at all.

        Args:
            key: Its name.
            data: The content, or a file that holds it.
            over: Of what it must replace, be it `ABSENT`; None for whatever there is.

        Raises:
            ConflictError: If something else is there.
        """
        ...

    def delete(self, key: str) -> None:
        """Removes an object, if it is there."""
        ...
