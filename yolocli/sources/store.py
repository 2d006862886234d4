"""Images in object stores: folders, files and glob patterns, by URL."""

from __future__ import annotations

import fnmatch
import glob
from collections.abc import Callable, Iterator, Sequence

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
        self._folders: dict[str, bool] = {}
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
            self._folders[place.url] = _file(place) is None
            if not self._folders[place.url]:
                return
            if not store_of(name).lists:
                raise MissingError("no such file; what a web server holds cannot be listed, so name its files")
            if not glob.has_magic(place.key) and next(_listed(place), None) is None and place.key:
                raise MissingError("no such file or folder")
        except StoreError as error:
            raise UsageError(_said(name, error)) from None

    def bases(self, names: Sequence[str], covered: Callable[[str], bool]) -> list[Root]:
        """See `Lister.bases`: folders, what patterns are about, and the stores of files that lie in none of them."""
        searched = [root_at(_top(where(name)).url) for name in names if self._folders.get(where(name).url)]
        alone = [place for place in map(where, names) if not self._folders.get(place.url)]
        return searched + [
            root_at(place.root)
            for place in alone
            if not covered(_folder_of(place)) and not any(lies_in(_folder_of(place), base.path) for base in searched)
        ]

    def list(self, name: str, *, listed: bool) -> Iterator[Found]:
        """See `Lister.list`, but in the order of keys."""
        try:
            place = where(name)
            if listed:
                yield from self._of_line(name, place)
            elif self._folders[place.url]:
                yield from self._walk(place, root_at(_top(place).url))
            else:
                yield from self._named(place, store_of(name).stat(place.key))
        except StoreError as error:
            other = "?" in name or error.kind == "SecretInName"  # it is not the file without that
            folder = without_secrets(name).rstrip("/") + "?" * other
            yield Found(folder, "", root_at(folder), error=ImageError(error.kind, _said(name, error)))

    def _of_line(self, name: str, place: Where) -> Iterator[Found]:
        """Yields what a line of a list stands for: a file, or a folder."""
        if (entry := _file(place)) is not None:
            yield from self._named(place, entry)
        elif store_of(name).lists and next(_listed(place), None) is not None:
            yield from self._walk(place, root_at(place.root))
        else:
            yield from self._named(place, None)  # a look at it will say what is wrong

    def _named(self, place: Where, entry: Entry | None) -> Iterator[Found]:
        name = place.key.rpartition("/")[2]
        if not {"", ".", ".."}.isdisjoint(place.key.split("/")):
            raise StoreError("InvalidName", "a part of the key is empty, '.' or '..'")
        if self._search.wanted(name, place.key):
            version = entry.version if entry is not None else ""
            yield Found(_folder_of(place), name, root_at(place.root), walked=False, version=version)

    def _walk(self, place: Where, base: Root) -> Iterator[Found]:
        """Yields the images below a folder, or of a pattern, as they are listed."""
        top, parts = _top(place), place.key.split("/") if glob.has_magic(place.key) else None
        if parts is None:
            self._search.walked.add(place.url)
        for found in _listed(top):
            if isinstance(found, Unlisted):
                folder = Where(place.root, found.folder).url
                yield Found(folder, "", base, error=ImageError(found.error.kind, str(found.error)))
                continue
            if self._is_made(place.root, found.key):
                continue
            path = found.key[len(top.key) :].lstrip("/")
            name = path.rpartition("/")[2]
            if not is_image(name):
                self._search.passed_over += 1
                if is_archive(name) and not self._archives:
                    self._archives = True
                    self._search.notice(f"{place.root}/{found.key}: not read; archives must lie on a disk")
                if name == MARKER and not self._search.config.include_outputs:
                    self._leave_out(place.root, found.key)
                if name == IGNORE_FILE:
                    self._search.notice(f"{place.root}/{found.key}: not used; give --exclude for what lies in a store")
            elif (parts is None or _matches(parts, found.key.split("/"))) and self._takes(name, path):
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


def _file(place: Where) -> Entry | None:
    try:
        return store_of(place.url).stat(place.key) if place.key else None
    except MissingError:
        return None


def _listed(place: Where) -> Iterator[Entry | Unlisted]:
    return store_of(place.url).list(place.key)


def _folder_of(place: Where) -> str:
    return place.url.rpartition("/")[0]


def _top(place: Where) -> Where:
    """Returns the folder that is listed for a folder or a pattern."""
    if not glob.has_magic(place.key):
        return place
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
