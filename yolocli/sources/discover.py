"""Inputs to a sorted stream in which every image is once.

The first image comes out when the first folder has been listed. What cannot be read is an ImageFailure in the same
stream, so it is never lost.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from io import FileIO
from pathlib import Path

from yolocli.config import SourceConfig
from yolocli.errors import UsageError
from yolocli.results import ImageFailure, ImageRef, file_version
from yolocli.sources.foreign import foreign
from yolocli.sources.names import Names, Root, base_of_file, base_of_folder, current_folder, lies_in
from yolocli.sources.patterns import expand, fixed_part
from yolocli.sources.walk import Found, Notice, Walker, is_image

LONGEST_NAME = 2**16
"""Bytes of a listed name that are kept. It is more than any system takes: Linux 4,096, Windows 32,767 characters."""
MOST_WITHOUT_NAME = 2**24
"""Bytes of a list without a name in them, such as those of /dev/zero, after which nobody expects another."""


class Discovery:
    """What the inputs hold, to be iterated over once: each file once, in input order, a folder's entries by name.

    Attributes:
        walker: What it has walked so far, and passed over.
    """

    def __init__(
        self, config: SourceConfig, *, skip: Path | None = None, notice: Notice = lambda message: None
    ) -> None:
        """Says at once, before a model is loaded, that a name was mistyped.

        Args:
            config: What to look for.
            skip: A directory that is never walked into: the output folder.
            notice: Called with a line about what is left out for a reason the user may want to know.

        Raises:
            UsageError: If an input neither exists nor is a pattern, or is the output folder.
        """
        for name in config.inputs:
            if not glob.has_magic(name) or foreign(name) is not None:
                _check_that_it_is_there(name)
            if skip is not None and os.path.realpath(name) == os.path.realpath(skip):
                raise UsageError(
                    f"--output {skip}: is an input, too; use a folder of its own, such as {skip / 'results'}"
                )
        self.walker = Walker(config, skip, notice)
        self._config = config
        self._notice = notice
        self._here = current_folder()

    def __iter__(self) -> Iterator[Found]:
        """Yields what was found.

        Raises:
            UsageError: If the list cannot be read.
        """
        inputs = self._config.inputs
        found = self._all()
        one_walk = len(inputs) == 1 and self._config.files_from is None and os.path.isdir(inputs[0])
        return found if one_walk else _distinct(found)  # one walk finds no file twice

    def bases(self, names: Names) -> list[Root]:
        """Returns what the names of all that was named on the command line are to be relative to.

        Args:
            names: Those of the output folder; files that it has a root for need no other.
        """
        files = [name for name in self._config.inputs if os.path.lexists(name) and not os.path.isdir(name)]
        folders = [name if os.path.lexists(name) else fixed_part(name) for name in self._config.inputs]
        searched = [base_of_folder(name) for name in folders if os.path.isdir(name)]
        own = (_real(name)[0] for name in files)
        alone = (f for f in own if not names.covers(f) and not any(lies_in(f, base.path) for base in searched))
        return searched + [base_of_file(folder, self._here) for folder in alone]

    def _all(self) -> Iterator[Found]:
        for name in self._config.inputs:
            if os.path.isdir(name):
                yield from self.walker.walk(name)
            elif os.path.lexists(name):
                yield from self._named(name)
            else:
                yield from self._glob(name)
        if self._config.files_from is not None:
            for name in _listed(self._config.files_from, b"\0" if self._config.null else b"\n"):
                if os.path.isdir(name):
                    yield from self.walker.walk(name, base=base_of_file(os.path.realpath(name), self._here))
                else:
                    yield from self._named(name)

    def _named(self, name: str) -> Iterator[Found]:
        folder, base = _real(name)
        if self.walker.wanted(base, _as_given(name)):
            yield Found(folder, base, base_of_file(folder, self._here), walked=False)

    def _glob(self, pattern: str) -> Iterator[Found]:
        matches = expand(pattern, hidden=self._config.hidden, follow=self._config.follow_symlinks, notice=self._notice)
        if not matches:
            self._notice(f"{pattern}: the pattern matches nothing")
        fixed = fixed_part(pattern)
        base = base_of_folder(fixed)
        for name in matches:
            if os.path.isdir(name):
                if "**" not in pattern:  # a '**' pattern names the files below each folder by itself
                    yield from self.walker.walk(name, _slashes(os.path.relpath(name, fixed)), base)
            elif is_image(name) and self.walker.wanted(os.path.basename(name), name):
                yield Found(*_real(name), base)


def discover(
    config: SourceConfig, *, skip: Path | None = None, notice: Notice = lambda message: None
) -> Iterator[ImageRef | ImageFailure]:
    """Yields every image of the inputs once, by the names that an empty output folder would give them.

    Raises:
        UsageError: As `Discovery` does.
    """
    found = Discovery(config, skip=skip, notice=notice)
    names = Names()
    names.start(found.bases(names))
    return identify(found, names)


def identify(found: Iterable[Found], names: Names) -> Iterator[ImageRef | ImageFailure]:
    """Yields what was found by its name, after a look at the file.

    Args:
        found: Files and folders.
        names: Gives the names; a root is added to it where it has none for a file.
    """
    for file in found:
        if not names.covers(file.folder):
            # a pattern may lead through a link out of the folder that it is about
            names.add(file.base if lies_in(file.folder, file.base.path) else base_of_folder(file.folder))
        yield _stat(file, names)


def _check_that_it_is_there(name: str) -> None:
    try:
        os.lstat(name)
    except FileNotFoundError:
        raise UsageError(f"{name}: {foreign(name) or 'no such file or folder'}") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{name}: {getattr(error, 'strerror', None) or error}") from None


def _distinct(found: Iterable[Found]) -> Iterator[Found]:
    """Drops what was found before."""
    seen: set[bytes] = set()
    for file in found:
        digest = hashlib.blake2b(os.fsencode(file.source), digest_size=16).digest()
        if digest not in seen:
            seen.add(digest)
            yield file


def _stat(file: Found, names: Names) -> ImageRef | ImageFailure:
    source = file.source
    if file.error is not None:
        ref = ImageRef(names.of_folder(file.folder), source)
        return _failure(ref, "discover", file.error, "the folder cannot be listed")
    ref = ImageRef(names.of(file.folder, file.name), source)
    if not file.walked and (kind := foreign(file.name)) is not None:
        return ImageFailure(ref, "read", "NotAnImage", kind)
    try:
        status = os.stat(source)
    except FileNotFoundError as error:
        if os.path.islink(source):
            return _failure(ref, "read", error, "a link that leads nowhere")
        kind = None if file.walked else foreign(source)
        if kind is not None:
            return ImageFailure(ref, "read", "NotAnImage", kind)
        return _failure(ref, "read", error, "gone since it was listed" if file.walked else "there is no such file")
    except OSError as error:
        return _failure(ref, "read", error, "a link that loops" if os.path.islink(source) else "it cannot be looked at")
    except ValueError:
        return ImageFailure(
            ref, "read", "InvalidName", "a NUL byte in the name; if NUL bytes separate the list, give --null"
        )
    if not stat.S_ISREG(status.st_mode):
        return ImageFailure(ref, "read", "NotAFile", "not a regular file (FIFO, socket, device or folder)")
    return ImageRef(ref.path, source, file_version(status.st_size, status.st_mtime_ns))


def _failure(ref: ImageRef, stage: str, error: OSError, reason: str) -> ImageFailure:
    return ImageFailure(ref, stage, type(error).__name__, f"{reason}: {error.strerror or error}")


def _listed(name: str, separator: bytes) -> Iterator[str]:
    if name == "-" and sys.stdin is None:
        raise UsageError("--files-from -: standard input is closed")
    try:
        # unbuffered: Python aborts when it ends while a thread waits for standard input with a buffer's lock
        source = sys.stdin.fileno() if name == "-" else name
        with open(source, "rb", buffering=0, closefd=name != "-") as stream:
            yield from _split(stream, separator)
    except OSError as error:
        raise UsageError(f"--files-from {name}: {error.strerror or error}") from error


def _split(stream: FileIO, separator: bytes) -> Iterator[str]:
    """Yields the names of a list; of one that no system could have, the beginning, so that it fails by itself.

    Raises:
        OSError: If there is no end to what is no name.
    """
    rest, skipping, nameless = b"", False, 0
    while block := stream.read(1 << 16):  # what a pipe holds now, so that work starts before the list ends
        *names, rest = (rest + block).split(separator)
        if skipping and names:  # the end of what was too long
            del names[0]
            skipping = False
        found = list(_names(names, separator))
        yield from found
        if skipping:
            rest = b""
        elif len(rest) > LONGEST_NAME:
            yield os.fsdecode(rest[:LONGEST_NAME])
            rest, skipping = b"", True
        nameless = 0 if found else nameless + len(block)
        if nameless > MOST_WITHOUT_NAME:
            raise OSError(errno.EINVAL, f"no name in {MOST_WITHOUT_NAME:,} bytes: this is no list of names")
    yield from _names([rest], separator)


def _names(names: Iterable[bytes], separator: bytes) -> Iterator[str]:
    for name in names:
        name = name if separator == b"\0" else name.removesuffix(b"\r")
        if name:
            yield os.fsdecode(name[:LONGEST_NAME])


def _as_given(name: str) -> str:
    """Returns what patterns see of a file's path: as it was given, but never absolute and never with a '..'."""
    path = os.path.normpath(name)
    if os.path.isabs(path) or path.split(os.sep)[0] == os.pardir:
        path = os.path.abspath(path)
    return _slashes(os.path.splitdrive(path)[1].lstrip(os.sep))


def _real(name: str) -> tuple[str, str]:
    """Returns the folder of a file, absolute and without links, and the rest of its name."""
    folder, base = os.path.split(name.rstrip(os.sep))
    if base in {"", os.curdir, os.pardir}:
        folder, base = os.path.split(os.path.abspath(name))
    try:
        return os.path.realpath(folder or os.curdir), base  # before a '..' is taken away, as it may follow a link
    except ValueError:  # a NUL byte in a listed name
        return os.path.abspath(folder), base


def _slashes(path: str) -> str:
    return path.replace(os.sep, "/") if os.sep != "/" else path
