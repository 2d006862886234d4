"""Where images come from: inputs to a stream of files, each once and by one name.

A source is one module and one row here. Whatever begins with its scheme is found and read by it: inputs, lines of a
list, and the `source` of a record, from which workers read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from types import MappingProxyType

from yolocli.errors import ImageError
from yolocli.sources.archives import MARK, is_for_archives, split
from yolocli.sources.base import SCHEME, Source
from yolocli.sources.names import upwards
from yolocli.stores import STORES, is_url

DISK = ""
"""The row of names without a scheme, and with one that no row has: the disk refuses those that are no files."""
SOURCES: Mapping[str, str] = MappingProxyType(
    {
        DISK: "yolocli.sources.disk:Disk",
        MARK: "yolocli.sources.archives.source:Archives",
        **dict.fromkeys(STORES, "yolocli.sources.store:Stores"),
    }
)
"""By scheme, in lower case and without `://`; archives and their members by what stands between the two."""


def scheme_of(name: str) -> str:
    """Returns which row a name is for."""
    scheme, mark, _ = name.partition(SCHEME)
    if mark and scheme.lower() in SOURCES:
        return scheme.lower()
    return MARK if is_for_archives(name) else DISK


def source_of(name: str) -> Source:
    """Returns the source of a file."""
    return _made(SOURCES[scheme_of(name)])


def is_remote(name: str) -> bool:
    """Tells whether a file is far away, so that several should be read at once."""
    return is_url(name)


@cache
def _made(row: str) -> Source:
    module, _, name = row.partition(":")
    source: Source = getattr(import_module(module), name)()
    return source


def holders(source: str) -> Iterator[str]:
    """Yields what a listing must have come to the end of to have met a file: folders, and the archive that it is in."""
    archive, _ = split(source)
    if archive:
        yield archive
    yield from upwards(source)


def read(source: str, hint: str = "") -> bytes:
    """Returns the bytes of a file, wherever it lies.

    Args:
        source: See `ImageRef.source`.
        hint: See `ImageRef.hint`.

    Raises:
        OSError: If it cannot be opened or read.
        ImageError: If it is no file, or empty, or larger than an image can be.
    """
    data = source_of(source).read(source, hint)
    if not data:
        raise ImageError("EmptyFile", "the file has no bytes")
    return data
