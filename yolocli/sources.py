"""Inputs to a sorted, de-duplicated stream of ImageRef.

The walk is lazy: the first image comes out when the first folder has been listed, and memory holds the names of the
folders being walked, not of the tree. What cannot be read is an ImageFailure in the same stream, so it is never lost.
"""

from __future__ import annotations

import fnmatch
import glob
import hashlib
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from io import FileIO
from pathlib import Path
from typing import TypeAlias

from yolocli.config import SourceConfig
from yolocli.errors import UsageError
from yolocli.results import ImageFailure, ImageRef

IMAGE_SUFFIXES = frozenset(
    (".avif", ".bmp", ".dng", ".heic", ".heif", ".jp2", ".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff", ".webp")
)
"""The image suffixes of Ultralytics 8.4 (`ultralytics.data.utils.IMG_FORMATS`), compared without case."""

IGNORE_FILE = ".yolocliignore"
"""A file of patterns, one a line, that keeps a walk from above out of parts of the folder it lies in."""

Notice: TypeAlias = Callable[[str], None]
_Listing: TypeAlias = "Iterator[_Found | _Listing]"


@dataclass(frozen=True, slots=True)
class _Found:
    """A file before it has a place in the stream.

    Attributes:
        source: Path to open.
        path: Wanted name in the records, '/'-separated.
        key: What is the same for two ways to name one file.
        input: Position of the input that it was found under.
        error: Why a folder cannot be listed.
    """

    source: str
    path: str
    key: str
    input: int = 0
    error: OSError | None = None


def discover(
    config: SourceConfig, *, skip: Path | None = None, notice: Notice = lambda message: None
) -> Iterator[ImageRef | ImageFailure]:
    """Yields every image of the inputs once, in input order, a folder's entries by name.

    Args:
        config: What to look for.
        skip: A directory that is never walked into: the output folder.
        notice: Called with a line about what is left out for a reason the user may want to know.

    Raises:
        UsageError: If an input named on the command line does not exist, or the list cannot be read.
    """
    check_inputs(config)
    walker = _Walker(config, skip, notice)
    found = _all(config, walker, notice)
    one_walk = len(config.inputs) == 1 and config.files_from is None and os.path.isdir(config.inputs[0])
    for file in found if one_walk else _distinct(found):  # one walk names no file twice
        yield _stat(file)


def check_inputs(config: SourceConfig) -> None:
    """Says at once, before a model is loaded, that a name was mistyped.

    Raises:
        UsageError: If an input neither exists nor is a pattern.
    """
    for name in config.inputs:
        if not os.path.lexists(name) and not glob.has_magic(name):
            raise UsageError(f"{name}: no such file or folder")


def _all(config: SourceConfig, walker: _Walker, notice: Notice) -> Iterator[_Found]:
    for number, name in enumerate(config.inputs):
        if os.path.isdir(name):
            yield from walker.walk(name, number)
        elif os.path.lexists(name):
            yield _Found(name, os.path.basename(name), _real(name), number)
        else:
            yield from _glob(name, number, config, walker, notice)
    if config.files_from is not None:
        names = _listed(config.files_from, b"\0" if config.null else b"\n")
        for number, name in enumerate(names, len(config.inputs)):
            if os.path.isdir(name):
                yield from walker.walk(name, number)
            else:
                yield _Found(name, _as_given(name), _real(name), number)


def _glob(pattern: str, number: int, config: SourceConfig, walker: _Walker, notice: Notice) -> Iterator[_Found]:
    if sys.version_info >= (3, 11):
        names = glob.iglob(pattern, recursive=True, include_hidden=config.hidden)
    else:  # hidden names must be asked for in the pattern
        names = glob.iglob(pattern, recursive=True)
    matches = sorted(names, key=os.fsencode)
    if not matches:
        notice(f"{pattern}: the pattern matches nothing")
    fixed = pattern
    while glob.has_magic(fixed):
        fixed = os.path.dirname(fixed)
    for name in matches:
        path = _slashes(os.path.relpath(name, fixed or os.curdir))
        if os.path.isdir(name):
            if "**" not in pattern:  # a '**' pattern names the files below each folder by itself
                yield from walker.walk(name, number, path)
        elif _is_image(name) and walker.wanted(os.path.basename(name), name):
            yield _Found(name, path, _real(name), number)


def _distinct(found: Iterable[_Found]) -> Iterator[_Found]:
    """Drops files that were named before, and gives files of equal name under different inputs different paths."""
    seen: set[bytes] = set()
    taken: set[int] = set()
    for file in found:
        digest = hashlib.blake2b(os.fsencode(file.key), digest_size=16).digest()
        if digest in seen:
            continue
        seen.add(digest)
        path = file.path
        parents = os.path.dirname(os.path.abspath(file.source)).split(os.sep)
        while hash(path) in taken:  # a/x.jpg and b/x.jpg: the second is called b/x.jpg
            path = f"{parents.pop() or '~'}/{path}" if parents else f"~/{path}"
        taken.add(hash(path))
        yield replace(file, path=path)


def _stat(file: _Found) -> ImageRef | ImageFailure:
    ref = ImageRef(file.path, file.source, file.input)
    if file.error is not None:
        return _failure(ref, "discover", file.error, "the folder cannot be listed")
    try:
        status = os.stat(file.source)
    except OSError as error:
        dangling = os.path.islink(file.source)
        return _failure(ref, "read", error, "dangling or looping link" if dangling else "gone since it was listed")
    except ValueError as error:  # a NUL byte in a listed name
        return ImageFailure(ref, "read", "InvalidName", str(error))
    if not stat.S_ISREG(status.st_mode):
        return ImageFailure(ref, "read", "NotAFile", "not a regular file (FIFO, socket, device or folder)")
    return ImageRef(file.path, file.source, file.input, status.st_size, status.st_mtime_ns)


def _failure(ref: ImageRef, stage: str, error: OSError, reason: str) -> ImageFailure:
    return ImageFailure(ref, stage, type(error).__name__, f"{reason}: {error.strerror or error}")


class _Walker:
    """Walks directory trees with an explicit stack, so that depth is bounded by the file system alone."""

    def __init__(self, config: SourceConfig, skip: Path | None, notice: Notice) -> None:
        self._config = config
        self._skip = os.path.realpath(skip) if skip is not None else None
        self._notice = notice
        self._visited: set[tuple[int, int]] = set()

    def walk(self, root: str, number: int, prefix: str = "") -> Iterator[_Found]:
        """Yields the images below a directory.

        Args:
            root: The directory.
            number: Position of the input.
            prefix: Put before the paths, which are relative to the root.
        """
        stack = [self._list(root, prefix, os.path.realpath(root), ())]
        while stack:
            for item in stack[-1]:
                if isinstance(item, _Found):
                    yield replace(item, input=number) if number else item
                else:
                    stack.append(item)
                    break
            else:
                stack.pop()

    def wanted(self, name: str, path: str) -> bool:
        """Tells whether a file passes the include and exclude patterns."""
        if any(_matches(pattern, name, path) for pattern in self._config.exclude):
            return False
        include = self._config.include
        return not include or any(_matches(pattern, name, path) for pattern in include)

    def _list(self, folder: str, path: str, real: str, ignored: tuple[tuple[str, str], ...]) -> _Listing:
        """Yields the folder's images and, in their place by name, the listings of its sub-folders.

        `ignored` holds (path of the folder with the ignore file, pattern) from all the folders above.
        """
        if real == self._skip or (self._config.follow_symlinks and not self._first_visit(folder)):
            return
        try:
            names, folders = self._scan(folder)
        except OSError as error:
            yield _Found(folder, path or os.path.basename(real) or folder, real, error=error)
            return
        if os.fsencode(IGNORE_FILE) in names:
            ignored += tuple((path, pattern) for pattern in _patterns(os.path.join(folder, IGNORE_FILE)))
        while names:  # taken off the end, so that memory falls as the walk goes on
            name = os.fsdecode(names.pop())
            inner = f"{path}/{name}" if path else name
            if (name.startswith(".") and not self._config.hidden) or _is_ignored(inner, name, ignored):
                continue
            below = os.path.join(folder, name)
            if name in folders:
                if self._config.recursive and not any(_matches(p, name, inner) for p in self._config.exclude):
                    # only a link can lead elsewhere than below the real folder
                    linked = self._config.follow_symlinks and os.path.islink(below)
                    yield self._list(
                        below, inner, os.path.realpath(below) if linked else os.path.join(real, name), ignored
                    )
            elif _is_image(name) and self.wanted(name, inner):
                yield _Found(below, inner, os.path.join(real, name))

    def _scan(self, folder: str) -> tuple[list[bytes], set[str]]:
        """Returns the names that matter, the first by its bytes at the end, and which of them are folders.

        A million names are held here at once, so they are held as bytes: shorter than text, and sorted as they are.
        """
        names, folders = [], set()
        with os.scandir(folder) as entries:
            for entry in entries:
                if self._is_folder(entry):
                    folders.add(entry.name)
                elif not (_is_image(entry.name) or entry.name == IGNORE_FILE):
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


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def _matches(pattern: str, name: str, path: str) -> bool:
    """Tells whether a pattern matches: the name, or, if it holds a '/', the whole path."""
    pattern = pattern.rstrip("/")
    return fnmatch.fnmatchcase(path, pattern.lstrip("/")) if "/" in pattern else fnmatch.fnmatchcase(name, pattern)


def _is_ignored(path: str, name: str, ignored: tuple[tuple[str, str], ...]) -> bool:
    return any(_matches(pattern, name, path[len(base) :].lstrip("/")) for base, pattern in ignored)


def _patterns(ignore_file: str) -> list[str]:
    try:
        lines = Path(ignore_file).read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return []
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


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
    rest = b""
    while block := stream.read(1 << 16):  # what a pipe holds now, so that work starts before the list ends
        *names, rest = (rest + block).split(separator)
        yield from _names(names, separator)
    yield from _names([rest], separator)


def _names(names: Iterable[bytes], separator: bytes) -> Iterator[str]:
    for name in names:
        name = name if separator == b"\0" else name.removesuffix(b"\r")
        if name:
            yield os.fsdecode(name)


def _as_given(name: str) -> str:
    """Returns the path of a listed file: as it was listed, but never absolute and never with a '..'."""
    path = os.path.normpath(name)
    if os.path.isabs(path) or path.split(os.sep)[0] == os.pardir:
        path = os.path.abspath(path)
    return _slashes(os.path.splitdrive(path)[1].lstrip(os.sep))


def _real(name: str) -> str:
    folder, base = os.path.split(os.path.abspath(name))
    try:
        return os.path.join(os.path.realpath(folder), base)
    except ValueError:  # a NUL byte in a listed name
        return os.path.join(folder, base)


def _slashes(path: str) -> str:
    return path.replace(os.sep, "/") if os.sep != "/" else path
