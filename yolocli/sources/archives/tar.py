"""Tar archives, WebDataset's among them: headers are read one after the other, and members by their offset.

`tarfile` reads a single header here. Its `TarFile` holds all members of an archive, and reads what an extended header
says of its size into memory.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from yolocli.errors import ImageError
from yolocli.sources.archives.base import Bytes, Entry, File, clean, damaged, ends_within
from yolocli.sources.base import MOST_BYTES, check_size
from yolocli.sources.suffixes import is_image

BLOCK = tarfile.BLOCKSIZE
LOOK = 8 * BLOCK
"""Bytes that are read at once: a header and the beginning of the file, which its version is made of, too."""
ZEROS = bytes(BLOCK)
MOST_ZEROS = 2**20
"""Bytes behind an archive's end in which another one may begin."""
MOST_EXTENSION = 2**20
"""Bytes of an extended header that are read."""
MOST_EXTENSIONS = 16
"""Before one member."""
GLOBAL, EXTENDED = b"g", (b"x", b"X")
LONG_NAME, LONG_LINK, SPARSE, CONTINUED = b"L", b"K", b"S", b"M"
NO_FILES = frozenset((tarfile.DIRTYPE, b"D", b"V"))
LINKS = {tarfile.SYMTYPE: "a symbolic link", tarfile.LNKTYPE: "a hard link"}
SPECIAL = {tarfile.CHRTYPE: "a device", tarfile.BLKTYPE: "a device", tarfile.FIFOTYPE: "a FIFO"}
EMPTY = frozenset((*LINKS, *SPECIAL, tarfile.DIRTYPE))
"""What has no bytes, whatever is said of its size."""


@dataclass(frozen=True, slots=True)
class _Member:
    """What the headers of a member say."""

    name: str
    kind: bytes
    sparse: bool
    link: str
    start: int
    size: int
    mtime: str
    first: bytes

    @property
    def end(self) -> int:
        return self.start + _blocks(0 if self.kind in EMPTY else self.size)


def open_tar(path: str) -> Tar:
    """Opens an archive that is not compressed.

    Raises:
        OSError: If it cannot be opened.
        ImageError: If it is no file.
    """
    return Tar(path, File(path))


class Tar:
    """A tar archive; see `Archive`. A position is that of a member's first header."""

    def __init__(self, path: str, data: Bytes, file: str = "") -> None:
        self.path = path
        self._data = data
        self._file = file

    def file(self) -> str:
        """See `Archive.file`."""
        return self._file

    def entries(self) -> Iterator[Entry]:
        """See `Archive.entries`."""
        position = 0
        while (position := self._behind_zeros(position)) >= 0 and (member := self._member(position)) is not None:
            if member.kind not in NO_FILES:
                entry = _entry(member, position)
                try:
                    self._keep(member, wanted=entry.error is None and is_image(clean(member.name)))
                except ImageError as error:
                    yield replace(entry, error=error)
                    raise
                yield entry
            position = member.end
        self._data.finish()

    def entry(self, position: int) -> Entry:
        """See `Archive.entry`."""
        return _entry(self._at(position), position)

    def read(self, position: int) -> bytes:
        """See `Archive.read`."""
        member = self._at(position)
        if (error := _why_not(member)) is not None:
            raise error
        check_size(member.size)
        data = self._data.at(member.start, member.size)
        if len(data) < member.size:
            raise ends_within()
        return data

    def _behind_zeros(self, position: int) -> int:
        """Returns where a member begins, there or in an archive that was put behind this one; -1 at the end."""
        if self._data.at(position, BLOCK) != ZEROS:
            return position
        for place in range(position, position + MOST_ZEROS, LOOK):
            look = self._data.at(place, LOOK)
            blocks = range(0, len(look) - BLOCK + 1, BLOCK)
            begins = next((place + at for at in blocks if look[at : at + BLOCK] != ZEROS), None)
            if begins is not None:
                return begins if self._is_header(begins) else -1
            if len(look) < LOOK:
                break
        return -1

    def _is_header(self, position: int) -> bool:
        try:
            tarfile.TarInfo.frombuf(self._data.at(position, BLOCK), "utf-8", "surrogateescape")
        except (tarfile.HeaderError, ValueError, OverflowError):
            return False
        return True

    def _keep(self, member: _Member, *, wanted: bool) -> None:
        size = member.size if member.kind not in EMPTY else 0
        first = 0 if wanted and size <= MOST_BYTES else max(0, size - 1)  # its last byte tells that it is whole
        self._data.keep(member.start + first, size - first)

    def _at(self, position: int) -> _Member:
        member = self._member(position)
        if member is None:
            raise damaged("there is no member where it was")
        return member

    def _member(self, position: int) -> _Member | None:
        """Returns the member whose headers begin at a position, None at the end of the archive."""
        start, more = position, dict[str, str]()
        for _ in range(MOST_EXTENSIONS):
            block = self._data.at(start, LOOK)
            if not block and start == position > 0:  # no empty blocks at the end, but nothing is lost
                return None
            if len(block) < BLOCK:
                raise damaged(
                    f"cut off at byte {start + len(block):,}" if start else "it has no bytes of a tar archive"
                )
            try:
                info = tarfile.TarInfo.frombuf(block[:BLOCK], "utf-8", "surrogateescape")
            except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
                return None
            except (tarfile.HeaderError, ValueError, OverflowError) as error:
                where = f"byte {start:,} is not the beginning of a member" if start else "not a tar archive"
                raise damaged(f"{where}: {error}") from error
            if info.size < 0:
                raise damaged(f"byte {start:,}: a size below 0")
            start += BLOCK
            if info.type in {LONG_NAME, LONG_LINK, GLOBAL, *EXTENDED}:
                if info.type != GLOBAL and info.size <= MOST_EXTENSION:
                    more |= _extension(info.type, self._data.at(start, info.size))
                start += _blocks(info.size)
                continue
            return _member(info, start, more, block[BLOCK:])
        raise damaged(f"byte {position:,}: too many headers for one member")


def _member(info: tarfile.TarInfo, start: int, more: dict[str, str], following: bytes) -> _Member:
    size = info.size
    if more.get("size", "").isascii() and more.get("size", "").isdigit():
        size = int(more["size"][:19])
    name = more.get("GNU.sparse.name") or more.get("path") or info.name
    sparse = info.type == SPARSE or any(key.startswith("GNU.sparse.") for key in more)
    link = more.get("linkpath", info.linkname)
    return _Member(
        name, info.type, sparse, link, start, size, more.get("mtime", f"{info.mtime}")[:30], following[:size]
    )


def _extension(kind: bytes, data: bytes) -> dict[str, str]:
    """Returns what an extended header says, by pax's keywords; of a damaged one, what could be read."""
    if kind in {LONG_NAME, LONG_LINK}:
        return {"path" if kind == LONG_NAME else "linkpath": _text(data.split(b"\0", 1)[0])}
    found: dict[str, str] = {}
    at = 0
    while at < len(data):
        length, space, _ = data[at : at + 20].partition(b" ")
        if not (space and length.isdigit() and len(length) + 1 < int(length) <= len(data) - at):
            break
        keyword, _, value = data[at + len(length) + 1 : at + int(length) - 1].partition(b"=")
        found[_text(keyword)] = _text(value)
        at += int(length)
    return found


def _entry(member: _Member, position: int) -> Entry:
    # its beginning counts, too, as some write no times
    version = f"{member.size}-{member.mtime}-{zlib.crc32(member.first):08x}"
    return Entry(member.name, position, version, _why_not(member))


def _why_not(member: _Member) -> ImageError | None:
    if member.kind in LINKS:
        return ImageError("NotAFile", f"{LINKS[member.kind]} to {member.link}; links in archives are not followed")
    if member.kind in SPECIAL:
        return ImageError("NotAFile", f"{SPECIAL[member.kind]}, not a file")
    if member.sparse or member.kind == CONTINUED:
        return ImageError("UnsupportedMember", "a file with holes, or a part of one; unpack the archive")
    return None


def _blocks(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
