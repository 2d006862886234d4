"""The walk of a directory tree: lazy, sorted, and never lost in links.

Memory holds the names of the folders being walked, not of the tree.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from yolocli.config import SourceConfig
from yolocli.errors import UsageError
from yolocli.machine.bounded import read_bounded
from yolocli.sources.names import Root, base_of_folder
from yolocli.sources.patterns import Patterns

IMAGE_SUFFIXES = frozenset(
    (".avif", ".bmp", ".dng", ".heic", ".heif", ".jp2", ".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff", ".webp")
)
"""The image suffixes of Ultralytics 8.4 (`ultralytics.data.utils.IMG_FORMATS`), compared without case."""

IGNORE_FILE = ".yolocliignore"
"""A file of patterns, one a line: files and folders that match one are skipped, in its folder and below."""
LARGEST_IGNORE_FILE = 2**20

Notice: TypeAlias = Callable[[str], None]
_Listing: TypeAlias = "Iterator[Found | _Listing]"


@dataclass(frozen=True, slots=True)
class Found:
    """A file, or a folder that cannot be listed, before it has a name.

    Attributes:
        folder: Where it lies, absolute and without links; with the name, this is the same however it was found.
        name: Last part of its path; empty for a folder that cannot be listed.
        base: What its name is to be relative to, where the output folder knows no root for it.
        walked: It was seen in its folder, and not named by somebody.
        error: Why a folder cannot be listed.
    """

    folder: str
    name: str
    base: Root
    walked: bool = True
    error: OSError | None = None

    @property
    def source(self) -> str:
        """What opens it from anywhere."""
        return os.path.join(self.folder, self.name) if self.name else self.folder


class Walker:
    """Walks directory trees with an explicit stack, so that depth is bounded by the file system alone.

    Attributes:
        walked: Folders that were walked, with all below them: absolute, without links.
        passed_over: Files that have no suffix of an image.
    """

    def __init__(self, config: SourceConfig, skip: Path | None, notice: Notice) -> None:
        self._config = config
        try:
            self._include = Patterns(config.include)
            self._exclude = Patterns(config.exclude)
        except ValueError as error:
            raise UsageError(f"--include or --exclude: {error}") from error
        self._skip = os.path.realpath(skip) if skip is not None else None
        self._notice = notice
        self._visited: set[tuple[int, int]] = set()
        self.walked: set[str] = set()
        self.passed_over = 0

    def walk(self, root: str, prefix: str = "", base: Root | None = None) -> Iterator[Found]:
        """Yields the images below a directory.

        Args:
            root: The directory.
            prefix: What patterns see before the paths, which are relative to the root.
            base: What the names are to be relative to; the directory if None.
        """
        own = base_of_folder(root)
        self.walked |= {own.path, os.path.abspath(root)}
        stack = [self._list(root, prefix, own.path, base or own, ())]
        while stack:
            for item in stack[-1]:
                if isinstance(item, Found):
                    yield item
                else:
                    stack.append(item)
                    break
            else:
                stack.pop()

    def wanted(self, name: str, path: str) -> bool:
        """Tells whether a file passes the include and exclude patterns."""
        return not self._exclude.match(name, path) and (not self._include or self._include.match(name, path))

    def _list(
        self, folder: str, path: str, real: str, base: Root, ignored: tuple[tuple[str, Patterns], ...]
    ) -> _Listing:
        """Yields the folder's images and, in their place by name, the listings of its sub-folders.

        `ignored` holds (path of the folder with the ignore file, its patterns) from all the folders above.
        """
        if real == self._skip or (self._config.follow_symlinks and not self._first_visit(folder)):
            return
        try:
            names, folders = self._scan(folder)
        except OSError as error:
            yield Found(real, "", base, error=error)
            return
        if os.fsencode(IGNORE_FILE) in names:
            ignored += ((path, self._patterns(os.path.join(folder, IGNORE_FILE))),)
        while names:  # taken off the end, so that memory falls as the walk goes on
            name = os.fsdecode(names.pop())
            inner = f"{path}/{name}" if path else name
            if (name.startswith(".") and not self._config.hidden) or _is_ignored(inner, name, ignored):
                continue
            below = os.path.join(folder, name)
            if name in folders:
                if self._config.recursive and not self._exclude.match(name, inner):
                    yield self._list(below, inner, *self._enter(below, real, name, base), ignored)
            elif is_image(name) and self.wanted(name, inner):
                yield Found(real, name, base)

    def _patterns(self, ignore_file: str) -> Patterns:
        """Returns what a file lists; nothing, and says so, if that cannot be known."""
        try:
            lines = read_bounded(ignore_file, LARGEST_IGNORE_FILE).decode("utf-8", "surrogateescape").splitlines()
            return Patterns(line.strip() for line in lines if line.strip() and not line.startswith("#"))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            self._notice(f"{ignore_file}: not used, so all that lies in its folder is read: {reason}")
            return Patterns(())

    def _enter(self, folder: str, above: str, name: str, base: Root) -> tuple[str, Root]:
        """Returns the real path of a sub-folder, and its base: only a link can lead elsewhere than below `above`."""
        if not (self._config.follow_symlinks and os.path.islink(folder)):
            return os.path.join(above, name), base
        real = os.path.realpath(folder)
        self.walked |= {real, os.path.join(above, name)}
        return real, Root(real, name)

    def _scan(self, folder: str) -> tuple[list[bytes], set[str]]:
        """Returns the names that matter, the first by its bytes at the end, and which of them are folders.

        A million names are held here at once, so they are held as bytes: shorter than text, and sorted as they are.
        """
        names, folders = [], set()
        with os.scandir(folder) as entries:
            for entry in entries:
                if self._is_folder(entry):
                    folders.add(entry.name)
                elif not (is_image(entry.name) or entry.name == IGNORE_FILE):
                    self.passed_over += 1
                    continue
                names.append(os.fsencode(entry.name))
        names.sort(reverse=True)
        return names, folders

    def _is_folder(self, entry: os.DirEntry[str]) -> bool:
        try:
            if not entry.is_dir():
                return False
            if entry.is_symlink() and not self._config.follow_symlinks:
                self._notice(f"{entry.path}: link to a folder, not followed (use --follow-symlinks)")
                return False  # called x.jpg, it becomes a record; else it is only a notice
        except OSError:  # a dangling or looping link: a file that cannot be read
            return False
        return True

    def _first_visit(self, folder: str) -> bool:
        try:
            status = os.stat(folder)
        except OSError:
            return True  # listing it will say why
        identity = (status.st_dev, status.st_ino)
        if identity in self._visited:
            self._notice(f"{folder}: already walked under another name (a link loop?)")
            return False
        self._visited.add(identity)
        return True


def is_image(name: str) -> bool:
    """Tells whether a name has the suffix of an image."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def _is_ignored(path: str, name: str, ignored: tuple[tuple[str, Patterns], ...]) -> bool:
    return any(patterns.match(name, path[len(base) :].lstrip("/")) for base, patterns in ignored)
