"""What a source is: a place where images lie, with a way to list and a way to read what is there."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from yolocli.config import SourceConfig
from yolocli.errors import ImageError, UsageError
from yolocli.sources.names import Root
from yolocli.sources.outputs import made_in
from yolocli.sources.patterns import Patterns
from yolocli.stores import is_url

MOST_BYTES = 700_000_000
"""Of a file: somewhat more than the largest image takes as 16-bit numbers without compression."""
SCHEME = "://"
"""What stands behind the scheme of a name; the names of files, made absolute, never hold it."""

Notice: TypeAlias = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Found:
    """A file, or a folder that cannot be listed, before it has a name.

    Attributes:
        folder: Where it lies, absolute and without links; with the name, this is the same however it was found.
        name: Last part of its path; empty for a folder that cannot be listed.
        base: What its name is to be relative to, where the output folder knows no root for it.
        walked: It was seen in its folder, and not named by somebody.
        version: See `ImageRef.version`; empty where the listing did not tell, and the file must be looked at.
        error: Why a folder cannot be listed, or a file not be read.
        hint: See `ImageRef.hint`.
    """

    folder: str
    name: str
    base: Root
    walked: bool = True
    version: str = ""
    error: ImageError | None = None
    hint: str = ""

    @property
    def source(self) -> str:
        """What opens it from anywhere."""
        if not self.name:
            return self.folder
        return f"{self.folder}/{self.name}" if SCHEME in self.folder else os.path.join(self.folder, self.name)


class Search:
    """What a run looks for, wherever it lies, and what it has met so far.

    Attributes:
        config: As it was asked for.
        skip: A folder that is never looked into, the output folder: absolute, without links; or its URL.
        notice: Told of what is left out for a reason the user may want to know.
        include: Files must match, if there are any.
        exclude: Files and folders must not match.
        walked: Folders that were listed, with all below them: absolute, without links.
        passed_over: Files that have no suffix of an image.
        outputs: Folders that were not looked into, as runs made them.
    """

    def __init__(self, config: SourceConfig, skip: Path | str | None, notice: Notice) -> None:
        """Begins a search.

        Raises:
            UsageError: If there are too many patterns.
        """
        self.config = config
        self.skip = None if skip is None else str(skip) if is_url(str(skip)) else os.path.realpath(skip)
        self.notice = notice
        try:
            self.include = Patterns(config.include)
            self.exclude = Patterns(config.exclude)
        except ValueError as error:
            raise UsageError(f"--include or --exclude: {error}") from error
        self.walked: set[str] = set()
        self.passed_over = 0
        self.outputs: set[str] = set()

    def wanted(self, name: str, path: str) -> bool:
        """Tells whether a file passes the include and exclude patterns."""
        return not self.exclude.match(name, path) and (not self.include or self.include.match(name, path))

    def made(self, folder: str, names: Collection[str], folders: Set[str]) -> Set[str]:
        """Returns those of the sub-folders of a folder that are not to be looked into, as runs made them.

        Args:
            folder: Any folder.
            names: See `made_in`.
            folders: Its sub-folders.
        """
        if self.config.include_outputs:
            return frozenset()
        found = folders & made_in(folder, names)
        self.outputs.update(os.path.join(os.path.realpath(folder), name) for name in found)
        return found


class Lister(Protocol):
    """Finds the images of one source in one run; all its methods are called before or in the one thread that reads."""

    def check(self, name: str) -> None:
        """Looks at an input before anything else is done, so that a mistyped one is said at once.

        Raises:
            UsageError: If there is nothing of that name.
        """
        ...

    def bases(self, names: Sequence[str], covered: Callable[[str], bool]) -> list[Root]:
        """Returns what the names of all images are to be relative to, whatever the order of the inputs.

        Args:
            names: All inputs of this source.
            covered: Tells of a folder that the output folder has a root for; its files need no other.
        """
        ...

    def list(self, name: str, *, listed: bool) -> Iterator[Found]:
        """Yields the images of an input, a folder's entries by name, the first as soon as it is known.

        Args:
            name: The input.
            listed: It is a line of a list: no pattern, and it need not be there.
        """
        ...


class Source(Protocol):
    """A place where images lie. It is shared by all threads of a process, and knows nothing of a run.

    A name in it is that of a file if a scheme stands before it, as in `scheme://folder/name`; '/' separates folders.
    """

    def lister(self, search: Search) -> Lister:
        """Begins to find images for a run."""
        ...

    def version(self, source: str, *, walked: bool) -> str:
        """Looks at a file whose listing did not tell its version.

        Args:
            source: See `Found.source`.
            walked: See `Found.walked`.

        Returns:
            What differs when the file has changed; see `ImageRef.version`.

        Raises:
            ImageError: If it is no file, gone or out of reach.
        """
        ...

    def read(self, source: str, hint: str = "") -> bytes:
        """Returns the bytes of a file; called by many threads at once.

        Args:
            source: See `Found.source`.
            hint: What the listing said beside it, if that is known; see `ImageRef.hint`.

        Raises:
            OSError: If it cannot be opened or read.
            ImageError: If it is no file, or larger than an image can be; see `check_size`.
        """
        ...

    def gone(self, source: str) -> bool:
        """Tells whether a file is not there any more, and not merely out of reach."""
        ...

    def can_list(self, folder: str) -> bool:
        """Tells whether a folder can be listed, which may have failed before."""
        ...


def check_size(size: int) -> None:
    """Refuses a file that is larger than an image can be, before it is read.

    Raises:
        ImageError: If it is.
    """
    if size > MOST_BYTES:
        raise ImageError("FileTooLarge", f"{size / 1e9:.1f} GB, more than any image that can be decoded")
