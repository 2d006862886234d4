"""Archives that are open in this process: a few at a time, each with an index of its members once somebody needs it."""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterator

from yolocli.errors import ImageError
from yolocli.sources.archives import MARK, opener
from yolocli.sources.archives.base import Archive, Entry, clean, digest, distinct, stamp_of
from yolocli.sources.archives.tar import open_tar
from yolocli.sources.suffixes import is_image

MOST_OPEN = 16
"""Archives, and so files, that a process has open at once."""

_opened: OrderedDict[tuple[str, bool], Opened] = OrderedDict()
_opening = threading.Lock()


class Opened:
    """An archive that is open.

    Attributes:
        archive: It.
        stamp: See `stamp_of`; positions in it are good as long as that is the same.
    """

    def __init__(self, archive: Archive, stamp: str) -> None:
        self.archive = archive
        self.stamp = stamp
        self._index: _Index | None = None
        self._indexing = threading.Lock()

    def images(self, pass_over: Callable[[], None] = lambda: None) -> Iterator[tuple[str, Entry]]:
        """Yields the members that are images by their suffix, with names that no two of them have.

        Args:
            pass_over: Called for each of the others.

        Raises:
            OSError: If the archive cannot be read.
            ImageError: See `Archive.entries`.
        """
        return distinct(_images(self.archive.entries(), pass_over), MARK)

    def find(self, name: str) -> int | None:
        """Returns the position of a member, None if there is none of that name.

        Raises:
            OSError: If the archive cannot be read.
            ImageError: If the archive is damaged, and the member is not in what could be read.
        """
        with self._indexing:
            if self._index is None:
                self._index = _Index(self.images())
        return self._index.find(name)


class _Index:
    """Where members are by their names: 16 bytes of memory each."""

    def __init__(self, images: Iterator[tuple[str, Entry]]) -> None:
        keys, positions = array("Q"), array("Q")
        self._error: ImageError | None = None
        try:
            for name, entry in images:
                keys.append(digest(name))
                positions.append(entry.position)
        except ImageError as error:
            self._error = error
        order = sorted(range(len(keys)), key=keys.__getitem__)
        self._keys = array("Q", (keys[i] for i in order))
        self._positions = array("Q", (positions[i] for i in order))

    def find(self, name: str) -> int | None:
        """See `Opened.find`."""
        key = digest(clean(name))
        at = bisect_left(self._keys, key)
        if at < len(self._keys) and self._keys[at] == key:
            return self._positions[at]
        if self._error is not None:
            raise self._error
        return None


def opened(path: str, *, plain: bool = False) -> Opened:
    """Returns an archive, opened again if it has changed.

    Args:
        path: Where it lies.
        plain: It is a tar archive, whatever its name.

    Raises:
        OSError: If it cannot be opened.
        ImageError: If it is damaged, or no file.
        UsageError: If a library is missing that reads archives of its kind.
    """
    stamp = "" if plain else stamp_of(path)  # what is being decompressed grows
    with _opening:
        known = _opened.get((path, plain))
        if known is not None and known.stamp == stamp:
            _opened.move_to_end((path, plain))
            return known
    made = Opened(open_tar(path) if plain else opener(path)(path), stamp)
    with _opening:
        _opened[path, plain] = made
        _opened.move_to_end((path, plain))
        while len(_opened) > MOST_OPEN:
            _opened.popitem(last=False)
    return made


def _images(entries: Iterator[Entry], pass_over: Callable[[], None]) -> Iterator[Entry]:
    for entry in entries:
        if is_image(clean(entry.name)):
            yield entry
        else:
            pass_over()
