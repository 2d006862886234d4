"""The walk of a directory tree: lazy, sorted, and never lost in links.

Memory holds the names of the folders being walked, not of the tree.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TypeAlias

from yolocli.errors import ImageError
from yolocli.machine.bounded import read_bounded
from yolocli.sources.base import Found, Search
from yolocli.sources.names import Root
from yolocli.sources.outputs import KNOWN_BY
from yolocli.sources.paths import base_of_folder
from yolocli.sources.patterns import Patterns
from yolocli.sources.suffixes import is_image

IGNORE_FILE = ".yolocliignore"
"""A file of patterns, one a line: files and folders that match one are skipped, in its folder and below."""
LARGEST_IGNORE_FILE = 2**20

_Listing: TypeAlias = "Iterator[Found | _Listing]"


class Walker:
    """Walks directory trees with an explicit stack, so that depth is bounded by the file system alone."""

    def __init__(self, search: Search) -> None:
        self._search = search
        self._config = search.config
        self._notice = search.notice
        self._visited: set[tuple[int, int]] = set()

    def walk(self, root: str, prefix: str = "", base: Root | None = None) -> Iterator[Found]:
        """Yields the images below a directory.

        Args:
            root: The directory.
            prefix: What patterns see before the paths, which are relative to the root.
            base: What the names are to be relative to; the directory if None.
        """
        own = base_of_folder(root)
        self._search.walked |= {own.path, os.path.abspath(root)}
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

    def _list(
        self, folder: str, path: str, real: str, base: Root, ignored: tuple[tuple[str, Patterns], ...]
    ) -> _Listing:
        """Yields the folder's images and, in their place by name, the listings of its sub-folders.

        `ignored` holds (path of the folder with the ignore file, its patterns) from all the folders above.
        """
        if real == self._search.skip or (self._config.follow_symlinks and not self._first_visit(folder)):
            return
        try:
            names, folders = self._scan(folder)
        except OSError as error:
            reason = f"the folder cannot be listed: {error.strerror or error}"
            yield Found(real, "", base, error=ImageError(type(error).__name__, reason))
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
                if self._config.recursive and not self._search.exclude.match(name, inner):
                    yield self._list(below, inner, *self._enter(below, real, name, base), ignored)
            elif is_image(name) and self._search.wanted(name, inner):
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
        self._search.walked |= {real, os.path.join(above, name)}
        return real, Root(real, name)

    def _scan(self, folder: str) -> tuple[list[bytes], set[str]]:
        """Returns the names that matter, the first by its bytes at the end, and which of them are folders.

        A million names are held here at once, so they are held as bytes: shorter than text, and sorted as they are.
        """
        names, folders, known = [], set(), frozenset[str]()
        with os.scandir(folder) as entries:
            for entry in entries:
                if self._is_folder(entry):
                    folders.add(entry.name)
                elif not (is_image(entry.name) or entry.name == IGNORE_FILE):
                    self._search.passed_over += 1
                    known |= KNOWN_BY & {entry.name}
                    continue
                names.append(os.fsencode(entry.name))
        for name in self._search.made(folder, known, folders) if known else ():
            names.remove(os.fsencode(name))
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


def _is_ignored(path: str, name: str, ignored: tuple[tuple[str, Patterns], ...]) -> bool:
    return any(patterns.match(name, path[len(base) :].lstrip("/")) for base, patterns in ignored)
