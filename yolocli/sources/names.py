"""What images are called in an output folder: each file by one name, whatever way and in whatever order it is found.

An output folder keeps roots: folders that names are relative to. Each has a name of its own that is put before them;
one, mostly the only one, has none. A file belongs to the innermost root that it lies in, so its name depends on the
roots alone, not on which inputs led to it. No two files can have one name, and no file gets another one later:

- Named roots have different names. A name of the nameless root that would begin like one of theirs is put below `~`.
- A new root takes a name that nothing in the folder begins with.
- A new root is never made inside another, so it takes no file away from it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

LONGEST = 8192
"""Characters of a path, beyond which no system has a folder; a line of a list can be longer by far."""
ASIDE = "~"
"""First part of names that would else begin like those of another root."""


@dataclass(frozen=True, slots=True)
class Root:
    """A folder that names are relative to.

    Attributes:
        path: Absolute, without links; with the scheme of its source, if it has one.
        name: First part of the names of its files; empty for none.
    """

    path: str
    name: str = ""


class Names:
    """Gives names, and remembers what they depend on.

    Attributes:
        changed: Roots have been added that nobody has written down yet.
    """

    def __init__(self, roots: Iterable[Root] = (), taken: Iterable[str] = ()) -> None:
        """Starts from what an output folder holds.

        Args:
            roots: Of the folder.
            taken: First parts of the names in it that have more than one.
        """
        self._names = {root.path: root.name for root in roots}
        self._named = {root.name.casefold() for root in roots if root.name}
        self._taken = {part.casefold() for part in taken}
        self._last: tuple[str, str] | None = None
        self.changed = False

    @property
    def roots(self) -> list[Root]:
        """Returns the roots, in the order in which they came."""
        return [Root(path, name) for path, name in list(self._names.items())]  # another thread may add one

    def covers(self, folder: str) -> bool:
        """Tells whether a folder, absolute and without links, lies in a root or is one."""
        return (self._last is not None and self._last[0] == folder) or self._root_of(folder) is not None

    def start(self, bases: Iterable[Root]) -> list[Root]:
        """Makes roots of what a run was told to search, in one step, so that their order does not matter.

        An empty output folder gets one: what all of them have in common. One that has roots gets those it lacks.

        Args:
            bases: Folders, each with the name that would suit it.

        Returns:
            Roots that were added to others.
        """
        unknown = sorted({base for base in bases if not self.covers(base.path)}, key=lambda base: base.path)
        if not unknown:
            return []
        if not self._names:
            common = _in_common([base.path for base in unknown])
            if common is not None:
                self.add(Root(common))
                return []
        return [self.add(base) for base in unknown if not self.covers(base.path)]

    def add(self, base: Root) -> Root:
        """Adds a root that no other covers; the first one needs no name.

        Args:
            base: With the name that would suit it.

        Returns:
            The root, with the name it got.
        """
        assert base.path not in self._names, base
        root = Root(base.path, self._free(base.name) if self._names else "")
        self._names[root.path] = root.name
        if root.name:
            self._named.add(root.name.casefold())
        self._last = None
        self.changed = True
        return root

    def of(self, folder: str, name: str) -> str:
        """Returns the name of a file.

        Args:
            folder: Where it lies: absolute, without links, covered by a root.
            name: The last part of its path.
        """
        if self._last is None or self._last[0] != folder:
            self._last = (folder, self._prefix(folder))
        return self._last[1] + name

    def of_folder(self, folder: str) -> str:
        """Returns the name of a folder that is itself what a record is about; for a root, one that no file can have."""
        if folder in self._names:
            return f"{self._names[folder]}/.".lstrip("/")
        return self._prefix(folder)[:-1]

    def _prefix(self, folder: str) -> str:
        """Returns what stands before the names of a folder's files."""
        root = self._root_of(folder)
        assert root is not None, folder
        name = self._names[root]
        inner = folder[len(root) :].replace(os.sep, "/").lstrip("/")
        if not name and inner:
            first = inner.split("/", 1)[0]
            if first == ASIDE or first.casefold() in self._named:
                return f"{ASIDE}/{inner}/"
            self._taken.add(first.casefold())
        prefix = "/".join(part for part in (name, inner) if part)
        return f"{prefix}/" if prefix else ""

    def _root_of(self, folder: str) -> str | None:
        return next((place for place in chain([folder], upwards(folder)) if place in self._names), None)

    def _free(self, wanted: str) -> str:
        """Returns the name, or one made from it, that no name in the folder begins with."""
        number, name = 1, wanted
        used = self._named | self._taken | {ASIDE}
        while name.casefold() in used:
            number += 1
            name = f"{wanted}{ASIDE}{number}"
        return name


def upwards(path: str) -> Iterator[str]:
    """Yields the folders that hold a path, the nearest first; of a path that no system has, those that could be."""
    path = path[: LONGEST + 1]  # or going up one of a million parts would take hours
    while (parent := os.path.dirname(path)) != path:
        yield parent
        path = parent


def root_at(folder: str) -> Root:
    """Returns a folder, absolute and without links, as a root, named like it."""
    return Root(folder, os.path.basename(folder) or _anchor_name(folder))


def lies_in(path: str, folder: str) -> bool:
    """Tells whether a path is a folder or lies below it; both absolute, without links."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _in_common(folders: list[str]) -> str | None:
    """Returns the innermost folder that all of them lie in; None where there is none, as with two schemes."""
    common = folders[0]
    for folder in folders:
        while not lies_in(folder, common):
            above = os.path.dirname(common)
            if above in {common, ""}:
                return None
            common = above
    return common


def _anchor_name(path: str) -> str:
    return "".join(char for char in path if char.isalnum()) or "root"
