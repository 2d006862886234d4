"""A source made up for tests, as one would be added: members of zip files, `pack:///folder/photos.zip/a/1.jpg`.

It is one module and one row. `register` puts the row in; workers that are processes of their own do that, too.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterator, Sequence

import pytest

import yolocli.sources
from yolocli.errors import ImageError, UsageError
from yolocli.sources.base import Found, Search, check_size
from yolocli.sources.names import Root, root_at
from yolocli.sources.suffixes import is_image

ROW = {"pack": "tests.sources.pack:Pack"}


def register(patch: pytest.MonkeyPatch | None = None) -> None:
    """Adds the row to the registry, for a test or for the rest of this process."""
    rows = {**yolocli.sources.SOURCES, **ROW}
    if patch is None:
        yolocli.sources.SOURCES = rows
    else:
        patch.setattr(yolocli.sources, "SOURCES", rows)


class Pack:
    """See `Source`."""

    def lister(self, search: Search) -> PackLister:
        return PackLister(search)

    def version(self, source: str, *, walked: bool) -> str:
        return _version(_member(source))

    def read(self, source: str, hint: str = "") -> bytes:
        member = _member(source)
        check_size(member.file_size)
        with zipfile.ZipFile(_split(source)[0]) as archive:
            return archive.read(member)

    def gone(self, source: str) -> bool:
        try:
            _member(source)
        except ImageError:
            return True
        return False

    def can_list(self, folder: str) -> bool:
        return zipfile.is_zipfile(_split(folder)[0])


class PackLister:
    """See `Lister`."""

    def __init__(self, search: Search) -> None:
        self._search = search

    def check(self, name: str) -> None:
        if not os.path.isfile(_split(name)[0]):
            raise UsageError(f"{name}: no such archive")

    def bases(self, names: Sequence[str], covered: Callable[[str], bool]) -> list[Root]:
        return [_root(name) for name in names]

    def list(self, name: str, *, listed: bool) -> Iterator[Found]:
        archive, inner = _split(name)
        if inner:
            yield Found(*name.rsplit("/", 1), _root(name), walked=False)
            return
        self._search.walked.add(_root(name).path)
        with zipfile.ZipFile(archive) as opened:
            members = sorted(opened.infolist(), key=lambda member: member.filename)
        for member in members:
            folder, _, last = member.filename.rpartition("/")
            if not is_image(last):
                self._search.passed_over += 1
            elif self._search.wanted(last, member.filename):
                yield Found(f"{name}/{folder}".rstrip("/"), last, _root(name), version=_version(member))


def _split(name: str) -> tuple[str, str]:
    """The archive, and what is in it."""
    path = name.partition("://")[2]
    archive, suffix, inner = path.partition(".zip")
    return archive + suffix, inner.strip("/")


def _root(name: str) -> Root:
    return root_at(f"pack://{_split(name)[0]}")


def _member(source: str) -> zipfile.ZipInfo:
    archive, inner = _split(source)
    try:
        with zipfile.ZipFile(archive) as opened:
            return opened.getinfo(inner)
    except (OSError, KeyError):
        raise ImageError("NoSuchMember", f"{inner} is not in {archive}") from None


def _version(member: zipfile.ZipInfo) -> str:
    return f"crc-{member.CRC:08x}"
