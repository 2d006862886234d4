"""Archives as a place where images lie; see `Source`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from yolocli.errors import ImageError, UsageError
from yolocli.sources.archives import MARK, opener, split
from yolocli.sources.archives.opened import Opened, opened
from yolocli.sources.base import Found, Search
from yolocli.sources.names import Root
from yolocli.sources.paths import base_of_file, base_of_folder, current_folder, real

AT = "@"
"""Separates what a hint is made of: position, stamp of the archive, and the file that the position is in."""


class Archives:
    """Members of archives on this machine; see `Source`. What opens one is `/folder/photos.tar::a/1.jpg`."""

    def lister(self, search: Search) -> ArchiveLister:
        """See `Source.lister`."""
        return ArchiveLister(search)

    def version(self, source: str, *, walked: bool) -> str:
        """See `Source.version`."""
        try:
            found, position = self._found(source)
        except OSError as error:
            raise ImageError(type(error).__name__, f"the archive: {error.strerror or error}") from error
        entry = found.archive.entry(position)
        if entry.error is not None:
            raise entry.error
        return entry.version

    def read(self, source: str, hint: str = "") -> bytes:
        """See `Source.read`."""
        found, position = self._hinted(source, hint) or self._found(source)
        return found.archive.read(position)

    def gone(self, source: str) -> bool:
        """See `Source.gone`."""
        try:
            archive, member = split(source)
            return opened(archive).find(member) is None
        except (FileNotFoundError, NotADirectoryError):
            return True
        except (OSError, ImageError, ValueError):
            return False

    def can_list(self, folder: str) -> bool:
        """See `Source.can_list`: an archive is whole."""
        try:
            for _ in opened(folder).images():
                pass
        except (OSError, ImageError, ValueError):
            return False
        return True

    def _found(self, source: str) -> tuple[Opened, int]:
        archive, member = split(source)
        try:
            found = opened(archive)
            position = found.find(member)
        except ValueError:
            raise ImageError("InvalidName", "a NUL byte in the name") from None
        if position is None:
            raise ImageError("NoSuchMember", f"there is no {member} in {os.path.basename(archive)}")
        return found, position

    def _hinted(self, source: str, hint: str) -> tuple[Opened, int] | None:
        """Returns where a member was when it was listed, None if the archive has changed since, or is gone."""
        position, _, more = hint.partition(AT)
        stamp, _, file = more.partition(AT)
        with suppress(OSError):
            if file:
                return opened(file, plain=True), int(position)
            if stamp and (found := opened(split(source)[0])).stamp == stamp:
                return found, int(position)
        return None


class ArchiveLister:
    """Finds members; see `Lister`."""

    def __init__(self, search: Search) -> None:
        self._search = search
        self._here = current_folder()
        self._told = False

    def check(self, name: str) -> None:
        """See `Lister.check`."""
        archive, _ = split(name)
        opener(archive)
        try:
            os.stat(archive)
        except (OSError, ValueError) as error:
            raise UsageError(f"{name}: {getattr(error, 'strerror', None) or error}") from None

    def bases(self, names: Sequence[str], covered: Callable[[str], bool]) -> list[Root]:
        """See `Lister.bases`: the folders that the archives are in."""
        return [_base(split(name)[0]) for name in names]

    def list(self, name: str, *, listed: bool) -> Iterator[Found]:
        """See `Lister.list`; an archive's members come in its own order, as it may have to be read in that."""
        archive, member = split(name)
        folder, last = real(archive)
        path = os.path.join(folder, last)
        base = base_of_file(folder, self._here) if listed else _base(archive)
        if not member:
            return self.members(path, base)
        return self._named(path, member, base)

    def members(self, path: str, base: Root) -> Iterator[Found]:
        """Yields the images of an archive.

        Args:
            path: The archive: absolute, its folder without links.
            base: What names are to be relative to.
        """
        self._search.walked.add(path)
        hiding = _hides(path)
        filtered = _Filter(self._search)
        try:
            found = opened(path)
            file = found.archive.file()
            self._tell(path, file)
            for member, entry in found.images(self._pass_over):
                if not filtered.takes(member):
                    continue
                folder, _, last = f"{path}{MARK}{member}".rpartition("/")
                if hiding and os.path.lexists(f"{folder}/{last}"):
                    self._search.notice(f"{folder}/{last}: passed over, as a file on the disk is called so, too")
                    continue
                hint = AT.join((f"{entry.position}", found.stamp, file))
                yield Found(folder, last, base, version=entry.version, error=entry.error, hint=hint)
        except (OSError, ImageError, ValueError) as error:
            kind = error.kind if isinstance(error, ImageError) else type(error).__name__
            reason = f"the archive cannot be read to its end: {getattr(error, 'strerror', None) or error}"
            yield Found(path, "", base, error=ImageError(kind, reason))

    def _named(self, path: str, member: str, base: Root) -> Iterator[Found]:
        folder, _, last = f"{path}{MARK}{member}".rpartition("/")
        if self._search.wanted(member.rpartition("/")[2], member):
            yield Found(folder, last, base, walked=False)

    def _pass_over(self) -> None:
        self._search.passed_over += 1

    def _tell(self, path: str, file: str) -> None:
        if file and not self._told:
            self._search.notice(f"{path}: decompressed into {os.path.dirname(file)} while the run goes on")
            self._told = True


class _Filter:
    """Tells which members are wanted, by the folders that they are in as a walk would go through them."""

    def __init__(self, search: Search) -> None:
        self._search = search
        self._last = "", True

    def takes(self, member: str) -> bool:
        folder, _, name = member.rpartition("/")
        if folder != self._last[0]:
            self._last = folder, self._enters(folder)
        hidden = name.startswith(".") and not self._search.config.hidden
        return self._last[1] and not hidden and self._search.wanted(name, member)

    def _enters(self, folder: str) -> bool:
        config = self._search.config
        if not folder:
            return True
        if not config.recursive:
            return False
        parts = folder.split("/")
        if not config.hidden and any(part.startswith(".") for part in parts):
            return False
        if not self._search.exclude:
            return True
        paths = ("/".join(parts[: number + 1]) for number in range(len(parts)))
        return not any(self._search.exclude.match(part, path) for part, path in zip(parts, paths, strict=True))


def _base(archive: str) -> Root:
    return base_of_folder(os.path.dirname(archive) or os.curdir)


def _hides(path: str) -> bool:
    """Tells whether something beside an archive is called like one of its members could be."""
    try:
        with os.scandir(os.path.dirname(path)) as entries:
            return any(entry.name.startswith(os.path.basename(path) + MARK) for entry in entries)
    except OSError:
        return False
