"""Paths of the disk: made absolute and without links, and the roots that they suggest."""

from __future__ import annotations

import os

from yolocli.sources.names import Root, lies_in, root_at


def base_of_folder(path: str) -> Root:
    """Returns a folder as a root, named like it."""
    return root_at(os.path.realpath(path))


def current_folder() -> Root | None:
    """Returns the current folder as a root, None if it has been removed."""
    try:
        return base_of_folder(os.getcwd())
    except OSError:
        return None


def base_of_file(folder: str, here: Root | None) -> Root:
    """Returns the root for a file that is named by itself: the current folder if it lies there, else the whole disk.

    Args:
        folder: Where the file lies, absolute and without links.
        here: See `current_folder`.
    """
    if here is not None and lies_in(folder, here.path):
        return here
    drive, tail = os.path.splitdrive(folder)
    return root_at(drive + tail[:1])


def real(name: str) -> tuple[str, str]:
    """Returns the folder of a file, absolute and without links, and the rest of its name."""
    folder, base = os.path.split(name.rstrip(os.sep))
    if base in {"", os.curdir, os.pardir}:
        folder, base = os.path.split(os.path.abspath(name))
    try:
        return os.path.realpath(folder or os.curdir), base  # before a '..' is taken away, as it may follow a link
    except ValueError:  # a NUL byte in a listed name
        return os.path.abspath(folder), base


def as_given(name: str) -> str:
    """Returns what patterns see of a file's path: as it was given, but never absolute and never with a '..'."""
    path = os.path.normpath(name)
    if os.path.isabs(path) or path.split(os.sep)[0] == os.pardir:
        path = os.path.abspath(path)
    return slashes(os.path.splitdrive(path)[1].lstrip(os.sep))


def slashes(path: str) -> str:
    """Returns a path as records have it, separated by '/'."""
    return path.replace(os.sep, "/") if os.sep != "/" else path
