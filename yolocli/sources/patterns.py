"""Glob patterns: many at once against a name, and one against the disk."""

from __future__ import annotations

import fnmatch
import glob
import os
import re
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Set
from dataclasses import dataclass, replace
from typing import TypeAlias

from yolocli.sources.outputs import KNOWN_BY

Made: TypeAlias = Callable[[str, Collection[str], Set[str]], Set[str]]
MOST_WILD_TEXT = 2**17
"""Characters of patterns with wildcards in one set. They take up to 2 s to compile, and each look at a name reads them.
Names without wildcards cost nothing of that, however many."""


class Patterns:
    """A set of patterns, compiled once: what has no wildcard is looked up, the rest is one expression.

    A pattern is about the name, or, if it holds a '/' before its end, about the whole path.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        """Compiles the patterns.

        Raises:
            ValueError: If there is too much text with wildcards.
        """
        stripped = [pattern.rstrip("/") for pattern in patterns]
        if sum(len(pattern) for pattern in stripped if glob.has_magic(pattern)) > MOST_WILD_TEXT:
            raise ValueError(f"more than {MOST_WILD_TEXT:,} characters of patterns with wildcards")
        self._of_name = _compiled([pattern for pattern in stripped if "/" not in pattern])
        self._of_path = _compiled([pattern.lstrip("/") for pattern in stripped if "/" in pattern])
        self._any = any(stripped)

    def __bool__(self) -> bool:
        return self._any

    def match(self, name: str, path: str) -> bool:
        """Tells whether one of them matches."""
        return self._any and (self._of_name(name) or self._of_path(path))


def _compiled(patterns: list[str]) -> Callable[[str], bool]:
    exact = frozenset(pattern for pattern in patterns if not glob.has_magic(pattern))
    wild = [fnmatch.translate(_closed(pattern)) for pattern in patterns if glob.has_magic(pattern)]
    if not wild:
        return exact.__contains__
    expression = re.compile("|".join(wild))
    return lambda text: text in exact or expression.match(text) is not None


def _closed(pattern: str) -> str:
    """Returns the same pattern with each '[' that no ']' follows as a class of itself.

    `fnmatch` looks for the end of each one anew, which for a line of a million takes hours.
    """
    head, bracket, tail = pattern.rpartition("]")
    return head + bracket + tail.replace("[", "[[]")


def expand(
    pattern: str, *, hidden: bool, follow: bool, notice: Callable[[str], None], made: Made = lambda *_: frozenset()
) -> list[str]:
    """Returns what a pattern matches, as `glob.glob(pattern, recursive=True)` does, sorted by the bytes of the path.

    No folder is looked at twice for the same part of the pattern, so links cannot multiply what there is.

    Args:
        pattern: With `*`, `?`, `[...]`, which never match a separator, and `**` for any number of folders.
        hidden: Let wildcards match names that begin with a dot, too.
        follow: Let `**` go through links to folders.
        notice: Told of links that it did not go through.
        made: Tells which sub-folders wildcards are not to match; see `Search.made`.
    """
    return sorted(_Expansion(pattern, hidden, follow, notice, made), key=os.fsencode)


@dataclass(frozen=True, slots=True)
class _Place:
    """A folder that an expansion has come to.

    Attributes:
        folder: As the pattern leads to it; empty for the current one.
        real: The same, absolute and without links.
        index: Of the part of the pattern that is about what lies in it.
    """

    folder: str
    real: str
    index: int


class _Expansion:
    """One expansion; iterate over it once."""

    def __init__(self, pattern: str, hidden: bool, follow: bool, notice: Callable[[str], None], made: Made) -> None:
        self._start, self._parts = _split(pattern)
        self._made = made
        self._hidden = hidden
        self._follow = follow
        self._notice = notice
        self._seen: set[tuple[str, int]] = set()
        # what lies behind links comes last, so that a file is found by its own path if the pattern matches that
        self._todo = deque([_Place(self._start, os.path.realpath(self._start or os.curdir), 0)])
        self._linked: deque[_Place] = deque()

    def __iter__(self) -> Iterator[str]:
        while self._todo or self._linked:
            place = (self._todo or self._linked).popleft()
            if (place.real, place.index) not in self._seen:
                self._seen.add((place.real, place.index))
                yield from self._look(place)

    def _look(self, place: _Place) -> Iterator[str]:
        folder, index = place.folder, place.index
        part, last = self._parts[index], index == len(self._parts) - 1
        if part == "**":
            if not last:
                self._todo.appendleft(replace(place, index=index + 1))
            yield from self._below(place, last)
            return
        if not glob.has_magic(part):
            names = [part]
        else:
            shown = (entry.name for entry in self._entries(folder))
            names = fnmatch.filter(shown if self._hidden or part[0] == "." else _visible(shown), part)
        for name in names:
            path = os.path.join(folder, name)
            if last and os.path.lexists(path):
                yield path
            elif not last and os.path.isdir(path):
                self._enter(place, name, index + 1, os.path.islink(path))

    def _below(self, place: _Place, last: bool) -> Iterator[str]:
        """Yields the files in a folder that `**` has come to, if it ends the pattern, and goes on to its folders."""
        for entry in self._entries(place.folder):
            if entry.name.startswith(".") and not self._hidden:
                continue
            path, linked = os.path.join(place.folder, entry.name), entry.is_symlink()
            if not _is_folder(entry):
                if last:
                    yield path
            elif linked and not self._follow:
                self._notice(f"{path}: link to a folder, not followed (use --follow-symlinks)")
            else:
                self._enter(place, entry.name, place.index, linked)

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        entries = _entries(folder)
        known = KNOWN_BY.intersection(entry.name for entry in entries)
        if not known:
            return entries
        made = self._made(folder or os.curdir, known, {entry.name for entry in entries if _is_folder(entry)})
        return [entry for entry in entries if entry.name not in made]

    def _enter(self, above: _Place, name: str, index: int, linked: bool) -> None:
        folder = os.path.join(above.folder, name)
        special = linked or name in {"", os.curdir, os.pardir}
        real = os.path.realpath(folder) if special else os.path.join(above.real, name)
        (self._linked if linked else self._todo).append(_Place(folder, real, index))


def fixed_part(pattern: str) -> str:
    """Returns the folder that a glob pattern is about."""
    return _split(pattern)[0] or os.curdir


def _split(pattern: str) -> tuple[str, list[str]]:
    """Returns the part of a pattern before its first wildcard, and the names after that."""
    parts: list[str] = []
    while glob.has_magic(pattern):
        parent, part = os.path.split(pattern)
        if parent == pattern:  # a drive of Windows
            break
        parts.insert(0, part)
        pattern = parent
    return pattern, parts


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder or os.curdir) as entries:
            return sorted(entries, key=lambda entry: os.fsencode(entry.name))
    except OSError:
        return []


def _visible(names: Iterable[str]) -> Iterator[str]:
    return (name for name in names if not name.startswith("."))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that loops
        return False
