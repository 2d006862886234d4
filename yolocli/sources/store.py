"""Images in object stores: folders, files and glob patterns, by URL."""

from __future__ import annotations

import fnmatch
import glob
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from yolocli.errors import ImageError, UsageError
from yolocli.sources.archives import is_archive
from yolocli.sources.base import Found, Search, check_size
from yolocli.sources.names import Root, lies_in, root_at
from yolocli.sources.outputs import MARKER, named_in
from yolocli.sources.suffixes import is_image
from yolocli.sources.walk import IGNORE_FILE
from yolocli.stores import store_of, where
from yolocli.stores.base import Entry, MissingError, StoreError, Unlisted, Where
from yolocli.stores.secrets import without_secrets

ARCHIVES_LIE_ELSEWHERE = "not read; archives must lie on a disk"


@dataclass(frozen=True, slots=True)
class _Meant:
    """What a name stands for.

    Attributes:
        place: The file, or the folder that is listed.
        file: What the store says of the file; None for a folder.
        pattern: What keys in the folder must match, in parts; empty for all of them.
    """

    place: Where
    file: Entry | None = None
    pattern: Sequence[str] = ()


class Stores:
    """What lies in stores; see `Source`. What opens a file is its URL."""

    def lister(self, search: Search) -> StoreLister:
        """See `Source.lister`."""
        return StoreLister(search)

    def version(self, source: str, *, walked: bool) -> str:
        """See `Source.version`."""
        return store_of(source).stat(where(source).key).version

    def read(self, source: str, hint: str = "") -> bytes:
        """See `Source.read`."""
        return store_of(source).read(where(source).key, check=check_size)

    def gone(self, source: str) -> bool:
        """See `Source.gone`."""
        try:
            store_of(source).stat(where(source).key)
        except MissingError:
            return True
        except StoreError:
            return False
        return False

    def can_list(self, folder: str) -> bool:
        """See `Source.can_list`."""
        try:
            found = next(_listed(where(folder)), None)
        except StoreError:
            return False
        return isinstance(found, Entry)


class StoreLister:
    """Finds files; see `Lister`. A folder is what several keys begin with."""

    def __init__(self, search: Search) -> None:
        self._search = search
        self._inputs: dict[str, _Meant] = {}
        self._made: list[str] = []
        self._archives = False

    def check(self, name: str) -> None:
        """See `Lister.check`; of a pattern only that its store can list."""
        try:
            place = where(name)
            if place.url == self._search.skip:
                raise UsageError(
                    f"--output {place.url}: is an input, too; use a place of its own, such as {name}/results"
                )
            if (meant := _meant(name, listed=False)) is None:
                alone = "no such file; what a web server holds cannot be listed, so name its files"
                raise MissingError("no such file or folder" if store_of(name).lists else alone)
            self._inputs[name] = meant
        except StoreError as error:
            raise UsageError(_said(name, error)) from None

    def bases(self, names: Sequence[str], covered: Callable[[str], bool]) -> list[Root]:
        """See `Lister.bases`: folders, what patterns are about, and the stores of files that lie in none of them."""
        inputs = [self._inputs[name] for name in names]
        searched = [root_at(meant.place.url) for meant in inputs if meant.file is None]
        alone = [meant.place for meant in inputs if meant.file is not None]
        return searched + [
            root_at(place.root)
            for place in alone
            if not covered(_folder_of(place)) and not any(lies_in(_folder_of(place), base.path) for base in searched)
        ]

    def list(self, name: str, *, listed: bool) -> Iterator[Found]:
        """See `Lister.list`, but in the order of keys."""
        try:
            if listed:
                yield from self._of_line(name)
            elif (meant := self._inputs[name]).file is None:
                yield from self._walk(meant, root_at(meant.place.url))
            else:
                yield from self._named(meant.place)  # it may have changed since it was checked
        except StoreError as error:
            other = "?" in name or error.kind == "SecretInName"  # it is not the file without that
            folder = without_secrets(name).rstrip("/") + "?" * other
            yield Found(folder, "", root_at(folder), error=ImageError(error.kind, _said(name, error)))

    def _of_line(self, name: str) -> Iterator[Found]:
        """Yields what a line of a list stands for; where that fails, a record that a later run finds under its name."""
        place = where(name)
        try:
            meant = _meant(name, listed=True)
        except StoreError as error:
            if _is_odd(place.key):
                raise
            if not name.endswith("/") and (is_image(place.key) or not store_of(name).lists):
                yield from self._named(place, error=error)
            else:
                yield Found(place.url, "", root_at(place.root), error=ImageError(error.kind, _said(name, error)))
            return
        if meant is None:
            yield from self._named(place)  # a look at it will say what is wrong
        elif meant.file is None:
            yield from self._walk(meant, root_at(place.root))
        else:
            yield from self._named(place, meant.file.version)

    def _named(self, place: Where, version: str = "", error: ImageError | None = None) -> Iterator[Found]:
        name = place.key.rpartition("/")[2]
        if _is_odd(place.key):
            raise StoreError("InvalidName", "a part of the key is empty, '.' or '..'")
        if self._search.wanted(name, place.key):
            if error is None and is_archive(name):
                error = ImageError("NotAnImage", ARCHIVES_LIE_ELSEWHERE)
            yield Found(_folder_of(place), name, root_at(place.root), walked=False, version=version, error=error)

    def _walk(self, meant: _Meant, base: Root) -> Iterator[Found]:
        """Yields the images below a folder, or of a pattern, as they are listed."""
        place, pattern = meant.place, meant.pattern
        if not pattern:
            self._search.walked.add(place.url)
        for found in _listed(place):
            if isinstance(found, Unlisted):
                folder = Where(place.root, found.folder).url
                yield Found(folder, "", base, error=ImageError(found.error.kind, str(found.error)))
                continue
            if self._is_made(place.root, found.key):
                continue
            path = found.key[len(place.key) :].lstrip("/")
            name = path.rpartition("/")[2]
            if not is_image(name):
                self._search.passed_over += 1
                if is_archive(name) and not self._archives:
                    self._archives = True
                    self._search.notice(f"{place.root}/{found.key}: {ARCHIVES_LIE_ELSEWHERE}")
                if name == MARKER and not self._search.config.include_outputs:
                    self._leave_out(place.root, found.key)
                if name == IGNORE_FILE:
                    self._search.notice(f"{place.root}/{found.key}: not used; give --exclude for what lies in a store")
            elif (not pattern or _matches(pattern, found.key.split("/"))) and self._takes(name, path):
                yield Found(_folder_of(Where(place.root, found.key)), name, base, version=found.version)

    def _leave_out(self, root: str, marker: str) -> None:
        """Remembers what a run made in a place that was published; its marker comes before that."""
        content = store_of(root).read(marker, check=check_size)
        made = [f"{root}/{marker[: -len(MARKER)]}{folder}/" for folder in named_in(content)]
        self._made += made
        self._search.outputs.update(folder.rstrip("/") for folder in made)

    def _is_made(self, root: str, key: str) -> bool:
        url = f"{root}/{key}"
        return url.startswith(tuple(self._made)) or (
            self._search.skip is not None and url.startswith(f"{self._search.skip}/")
        )

    def _takes(self, name: str, path: str) -> bool:
        """Tells whether a file passes all filters that a walk of folders would have it pass."""
        config, search, above = self._search.config, self._search, path.split("/")[:-1]
        if (above and not config.recursive) or (not config.hidden and f"/{path}".find("/.") >= 0):
            return False
        if above and any(search.exclude.match(part, "/".join(above[: end + 1])) for end, part in enumerate(above)):
            return False
        return search.wanted(name, path)


def _meant(name: str, *, listed: bool) -> _Meant | None:
    """Looks at what a name stands for: what is called so goes before a pattern, as on a disk.

    A file and a folder may have one name in a store. The folder is meant where a '/' ends the name, or where the file
    holds nothing: programs make one to show that there is a folder.

    Args:
        name: A URL.
        listed: See `Lister.list`.

    Returns:
        None for nothing.

    Raises:
        StoreError: If it cannot be looked at.
    """
    place, lists = where(name), store_of(name).lists
    file = _file(place)
    if lists and (file is None or not file.size or name.endswith("/")) and _is_folder(place, file):
        return _Meant(place)
    if file is not None:
        return _Meant(place, file)
    if listed or not lists or not glob.has_magic(place.key):
        return None
    return _Meant(_top(place), pattern=place.key.split("/"))


def _is_odd(key: str) -> bool:
    """Tells whether a key would lead elsewhere as a path."""
    return not {"", ".", ".."}.isdisjoint(key.split("/"))


def _file(place: Where) -> Entry | None:
    try:
        return store_of(place.url).stat(place.key) if place.key else None
    except MissingError:
        return None


def _is_folder(place: Where, file: Entry | None) -> bool:
    """Tells whether there are keys below a place; the mark of an empty folder beside a file is called like that."""
    below = (entry for entry in _listed(place) if file is None or isinstance(entry, Unlisted) or entry.key != file.key)
    return next(below, None) is not None or not place.key


def _listed(place: Where) -> Iterator[Entry | Unlisted]:
    return store_of(place.url).list(place.key)


def _folder_of(place: Where) -> str:
    return place.url.rpartition("/")[0]


def _top(place: Where) -> Where:
    """Returns the folder that is listed for a pattern."""
    parts = place.key.split("/")
    first = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    return Where(place.root, "/".join(parts[:first]))


def _matches(pattern: Sequence[str], parts: Sequence[str]) -> bool:
    """Tells whether a pattern matches a key or, unless it has a '**', a folder above it; both in parts."""
    if not pattern or not parts:
        return not pattern
    if pattern[0] != "**":
        return fnmatch.fnmatchcase(parts[0], pattern[0]) and _matches(pattern[1:], parts[1:])
    if len(pattern) == 1:
        return True
    return any(_matches(pattern[1:], parts[first:]) for first in range(len(parts)))


def _said(name: str, error: StoreError) -> str:
    """Returns what to tell of an input; what is wrong with a URL itself names it already."""
    plain = without_secrets(name)
    return str(error) if str(error).startswith(plain) else f"{plain}: {error}"
