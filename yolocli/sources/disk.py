"""The files of this machine: folders, files and glob patterns."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Callable, Iterator, Sequence

from yolocli.errors import ImageError, UsageError
from yolocli.results import file_version
from yolocli.sources.archives import is_archive
from yolocli.sources.archives.source import ArchiveLister
from yolocli.sources.base import Found, Search, check_size
from yolocli.sources.foreign import foreign
from yolocli.sources.names import Root, lies_in
from yolocli.sources.paths import as_given, base_of_file, base_of_folder, current_folder, real, slashes
from yolocli.sources.patterns import expand, fixed_part
from yolocli.sources.suffixes import is_image
from yolocli.sources.walk import Walker


class Disk:
    """The disk; see `Source`. What opens a file is its absolute path."""

    def lister(self, search: Search) -> DiskLister:
        """See `Source.lister`."""
        return DiskLister(search)

    def version(self, source: str, *, walked: bool) -> str:
        """See `Source.version`: size and time of the last change."""
        if not walked and (kind := foreign(os.path.basename(source))) is not None:
            raise ImageError("NotAnImage", kind)
        try:
            status = os.stat(source)
        except FileNotFoundError as error:
            if os.path.islink(source):
                raise _unusable(error, "a link that leads nowhere") from error
            if not walked and (kind := foreign(source)) is not None:
                raise ImageError("NotAnImage", kind) from error
            raise _unusable(error, "gone since it was listed" if walked else "there is no such file") from error
        except OSError as error:
            reason = "a link that loops" if os.path.islink(source) else "it cannot be looked at"
            raise _unusable(error, reason) from error
        except ValueError:
            reason = "a NUL byte in the name; if NUL bytes separate the list, give --null"
            raise ImageError("InvalidName", reason) from None
        if not stat.S_ISREG(status.st_mode):
            raise ImageError("NotAFile", "not a regular file (FIFO, socket, device or folder)")
        return file_version(status.st_size, status.st_mtime_ns)

    def read(self, source: str, hint: str = "") -> bytes:
        """See `Source.read`."""
        # O_NONBLOCK: a FIFO put in the file's place since the walk must not hang the worker
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        with os.fdopen(os.open(source, flags), "rb") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ImageError("NotAFile", "not a regular file")
            check_size(status.st_size)
            return stream.read()

    def gone(self, source: str) -> bool:
        """See `Source.gone`; it is also gone when a link leads to it now."""
        try:
            os.lstat(source)
            return os.path.realpath(os.path.dirname(source)) != os.path.dirname(source)
        except (FileNotFoundError, NotADirectoryError):
            return True
        except (OSError, ValueError):
            return False

    def can_list(self, folder: str) -> bool:
        """See `Source.can_list`."""
        try:
            with os.scandir(folder):
                return True
        except OSError:
            return False


class DiskLister:
    """Finds files; see `Lister`."""

    def __init__(self, search: Search) -> None:
        self._search = search
        self._walker = Walker(search)
        self._archives = ArchiveLister(search)
        self._here = current_folder()

    def check(self, name: str) -> None:
        """See `Lister.check`; of a pattern only that it is none for something else."""
        if glob.has_magic(name) and foreign(name) is None:
            return
        try:
            os.lstat(name)
        except FileNotFoundError:
            raise UsageError(f"{name}: {foreign(name) or 'no such file or folder'}") from None
        except (OSError, ValueError) as error:
            raise UsageError(f"{name}: {getattr(error, 'strerror', None) or error}") from None

    def bases(self, names: Sequence[str], covered: Callable[[str], bool]) -> list[Root]:
        """See `Lister.bases`: folders and what patterns are about; files that lie in none of them have one, too."""
        files = [name for name in names if os.path.lexists(name) and not os.path.isdir(name)]
        folders = [name if os.path.lexists(name) else fixed_part(name) for name in names]
        searched = [base_of_folder(name) for name in folders if os.path.isdir(name)]
        own = (real(name)[0] for name in files)
        alone = (f for f in own if not covered(f) and not any(lies_in(f, base.path) for base in searched))
        return searched + [base_of_file(folder, self._here) for folder in alone]

    def list(self, name: str, *, listed: bool) -> Iterator[Found]:
        """See `Lister.list`."""
        if os.path.isdir(name):
            base = base_of_file(os.path.realpath(name), self._here) if listed else None
            return self._walker.walk(name, base=base)
        return self._named(name) if listed or os.path.lexists(name) else self._glob(name)

    def _named(self, name: str) -> Iterator[Found]:
        folder, base = real(name)
        if self._search.wanted(base, as_given(name)):
            yield Found(folder, base, base_of_file(folder, self._here), walked=False)

    def _glob(self, pattern: str) -> Iterator[Found]:
        config, notice = self._search.config, self._search.notice
        matches = expand(
            pattern, hidden=config.hidden, follow=config.follow_symlinks, notice=notice, made=self._search.made
        )
        if not matches:
            notice(f"{pattern}: the pattern matches nothing")
        fixed = fixed_part(pattern)
        base = base_of_folder(fixed)
        for name in matches:
            if os.path.isdir(name):
                if "**" not in pattern:  # a '**' pattern names the files below each folder by itself
                    yield from self._walker.walk(name, slashes(os.path.relpath(name, fixed)), base)
            elif is_archive(pattern) and is_archive(name):  # a pattern for whatever there is looks into none
                if not self._search.exclude.match(os.path.basename(name), name):
                    yield from self._archives.list(name, listed=False)
            elif is_image(name) and self._search.wanted(os.path.basename(name), name):
                yield Found(*real(name), base)


def _unusable(error: OSError, reason: str) -> ImageError:
    return ImageError(type(error).__name__, f"{reason}: {error.strerror or error}")
