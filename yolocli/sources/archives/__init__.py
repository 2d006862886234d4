"""Archives of images: read where they lie, without unpacking; a member is called `photos.tar::a/1.jpg`.

A kind of archive is one module and one row here, by the suffix of its files.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import cast

from yolocli.sources.archives.base import Archive

MARK = "::"
"""What stands between an archive and the name of a member."""
ARCHIVES: Mapping[str, str] = MappingProxyType(
    {
        ".tar": "yolocli.sources.archives.tar:open_tar",
        ".tar.bz2": "yolocli.sources.archives.packed:open_bz2",
        ".tar.gz": "yolocli.sources.archives.packed:open_gz",
        ".tgz": "yolocli.sources.archives.packed:open_gz",
        ".tar.zst": "yolocli.sources.archives.packed:open_zst",
        ".zip": "yolocli.sources.archives.zip:Zip",
        ".parquet": "yolocli.sources.archives.parquet:Parquet",
    }
)
_SUFFIXES = tuple(ARCHIVES)


def is_archive(name: str) -> bool:
    """Tells whether a name has the suffix of an archive."""
    return name.lower().endswith(_SUFFIXES)


def split(name: str) -> tuple[str, str]:
    """Returns the archive and the name of a member, which is empty for the archive itself; two empty ones for others.

    A folder may be called like an archive, too, so what lies on the disk decides where a name has several marks.
    """
    ways = list(_ways(name))
    if len(ways) > 1:
        ways = [way for way in ways if os.path.isfile(way[0])] or ways
    return ways[0] if ways else ("", "")


def is_for_archives(name: str) -> bool:
    """Tells whether a name is that of an archive or a member. A file or folder that is called so goes first."""
    archive, member = split(name)
    if not archive or (glob.has_magic(archive) and not os.path.lexists(archive)):
        return False
    return not os.path.lexists(name) if member else not os.path.isdir(name)


def opener(archive: str) -> Callable[[str], Archive]:
    """Returns what opens an archive, by its suffix.

    Raises:
        UsageError: If that needs a library that is not installed; it says which.
    """
    lower = archive.lower()
    return _opener(next(suffix for suffix in _SUFFIXES if lower.endswith(suffix)))


@cache
def _opener(suffix: str) -> Callable[[str], Archive]:
    module, _, name = ARCHIVES[suffix].partition(":")
    return cast("Callable[[str], Archive]", getattr(import_module(module), name))


def _ways(name: str) -> Iterator[tuple[str, str]]:
    at = name.find(MARK)
    while at >= 0:
        if is_archive(name[:at]) and at + len(MARK) < len(name):
            yield name[:at], name[at + len(MARK) :].replace(os.sep, "/")
        at = name.find(MARK, at + 1)
    if is_archive(name):
        yield name, ""
