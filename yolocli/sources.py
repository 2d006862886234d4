"""Inputs to a sorted, de-duplicated stream of ImageRef.

The first image comes out when the first folder has been listed. What cannot be read is an ImageFailure in the same
stream, so it is never lost.
"""

from __future__ import annotations

import glob
import hashlib
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from io import FileIO
from pathlib import Path

from yolocli.config import SourceConfig
from yolocli.errors import UsageError
from yolocli.foreign import foreign
from yolocli.results import ImageFailure, ImageRef
from yolocli.walk import Found, Notice, Walker, is_image


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
    check_inputs(config, skip)
    walker = Walker(config, skip, notice)
    found = _all(config, walker, notice)
    one_walk = len(config.inputs) == 1 and config.files_from is None and os.path.isdir(config.inputs[0])
    for file in found if one_walk else _distinct(found):  # one walk names no file twice
        yield _stat(file)


def count(config: SourceConfig, *, skip: Path | None = None) -> int:
    """Returns how many images `discover` would yield, without a look at each; a file named twice counts twice.

    Raises:
        UsageError: As `discover` does.
    """
    check_inputs(config, skip)
    quiet: Notice = lambda message: None  # noqa: E731
    return sum(1 for _ in _all(config, Walker(config, skip, quiet), quiet))


def check_inputs(config: SourceConfig, skip: Path | None) -> None:
    """Says at once, before a model is loaded, that a name was mistyped.

    Args:
        config: What to look for.
        skip: The output folder, which a walk leaves out.

    Raises:
        UsageError: If an input neither exists nor is a pattern, or is the output folder.
    """
    for name in config.inputs:
        if not os.path.lexists(name) and (foreign(name) or not glob.has_magic(name)):
            raise UsageError(f"{name}: {foreign(name) or 'no such file or folder'}")
        if skip is not None and os.path.realpath(name) == os.path.realpath(skip):
            raise UsageError(f"--output {skip}: is an input, too; use a folder of its own, such as {skip / 'results'}")


def _all(config: SourceConfig, walker: Walker, notice: Notice) -> Iterator[Found]:
    for number, name in enumerate(config.inputs):
        if os.path.isdir(name):
            yield from walker.walk(name, number)
        elif os.path.lexists(name):
            if walker.wanted(os.path.basename(name), _as_given(name)):
                yield Found(name, os.path.basename(name), _real(name), number)
        else:
            yield from _glob(name, number, config, walker, notice)
    if config.files_from is not None:
        names = _listed(config.files_from, b"\0" if config.null else b"\n")
        for number, name in enumerate(names, len(config.inputs)):
            if os.path.isdir(name):
                yield from walker.walk(name, number)
            elif walker.wanted(os.path.basename(name), _as_given(name)):
                yield Found(name, _as_given(name), _real(name), number)


def _glob(pattern: str, number: int, config: SourceConfig, walker: Walker, notice: Notice) -> Iterator[Found]:
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
        elif is_image(name) and walker.wanted(os.path.basename(name), name):
            yield Found(name, path, _real(name), number)


def _distinct(found: Iterable[Found]) -> Iterator[Found]:
    """Drops files that were named before, and gives files of equal name under different inputs different paths."""
    seen: set[bytes] = set()
    taken: set[int] = set()
    for file in found:
        digest = hashlib.blake2b(os.fsencode(file.key), digest_size=16).digest()
        if digest in seen:
            continue
        seen.add(digest)
        path = file.path
        above = file.path.count("/") + 1
        parents = os.path.abspath(file.source).split(os.sep)[:-above]
        while hash(path) in taken:  # a/x.jpg and b/x.jpg: the second is called b/x.jpg
            path = f"{parents.pop() or '~'}/{path}" if parents else f"~/{path}"
        taken.add(hash(path))
        yield replace(file, path=path)


def _stat(file: Found) -> ImageRef | ImageFailure:
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
    if (kind := foreign(file.source)) is not None:
        return ImageFailure(ref, "read", "NotAnImage", kind)
    if not stat.S_ISREG(status.st_mode):
        return ImageFailure(ref, "read", "NotAFile", "not a regular file (FIFO, socket, device or folder)")
    return ImageRef(file.path, file.source, file.input, status.st_size, status.st_mtime_ns)


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
