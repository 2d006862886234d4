"""Zip archives: their directory is read as a stream, and members by their offset.

`zipfile` holds a kilobyte for each member, in every process that reads one. What makes an archive dear or dangerous is
looked at here: sizes are those of what comes out, not those that are written down.
"""

from __future__ import annotations

import bz2
import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from yolocli.errors import ImageError
from yolocli.sources.archives.base import Entry, File, damaged, ends_within
from yolocli.sources.base import check_size

_CENTRAL = struct.Struct("<4s2B5H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_END = struct.Struct("<4s4H2LH")
_END64_PLACE = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
CENTRAL, LOCAL, END, END64_PLACE, END64 = b"PK\1\2", b"PK\3\4", b"PK\5\6", b"PK\6\7", b"PK\6\6"
SIGNATURE = b"PK\5\5"
"""What may stand behind the last member of the directory, within its size."""
MOST_COMMENT = 2**16
MOST_ENTRY = 2**18
"""Bytes of the directory that are read at once; more than an entry of it can have."""
MOST_PACKING = 2**16
"""Bytes that a member may have beside what it is packed in; what compresses it mostly needs a few dozen."""
ENCRYPTED, LATER, UTF8 = 1, 8, 0x800
"""Flags of a member: the second says that its sizes stand behind it."""
STORED, DEFLATED, BZIP2 = 0, 8, 12
EXTENDED = 1
"""The extra field of what does not go into 32 bits."""
IN_EXTENDED = 0xFFFFFFFF
UNIX = 3


@dataclass(frozen=True, slots=True)
class _Member:
    """What the archive says of a member, in its directory or right before it."""

    raw: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    mode: int
    start: int
    length: int

    @property
    def name(self) -> str:
        """Its name; many write UTF-8 and do not say so."""
        try:
            return self.raw.decode("utf-8")
        except ValueError:
            return self.raw.decode("utf-8", "surrogateescape") if self.flags & UTF8 else self.raw.decode("cp437")


class Zip:
    """A zip archive; see `Archive`. A position is that of a member's entry in the directory."""

    def __init__(self, path: str) -> None:
        """Opens an archive.

        Raises:
            OSError: If it cannot be opened.
            ImageError: If it is no file.
        """
        self.path = path
        self._data = File(path)

    def file(self) -> str:
        """See `Archive.file`."""
        return ""

    def entries(self) -> Iterator[Entry]:
        """See `Archive.entries`."""
        directory = self._directory()
        if directory is None:
            yield from self._without_directory()
            return
        position, end, shift, count = directory
        window, base, number = b"", position, 0
        while position < end:
            at = position - base
            if len(window) - at < MOST_ENTRY:
                window, base, at = self._data.at(position, 4 * MOST_ENTRY), position, 0
            member = _central(window, at, shift)
            if member is None and window.startswith(SIGNATURE, at):
                break
            if member is None:
                raise damaged(f"its directory ends after {number:,} of {count:,} members")
            if not member.raw.endswith(b"/"):
                yield _entry(member, position)
            position += member.length
            number += 1
        if number % 2**16 != count % 2**16:  # some writers count in 16 bits, however many there are
            raise damaged(f"its directory has {number:,} members, not {count:,}, as it says")

    def entry(self, position: int) -> Entry:
        """See `Archive.entry`."""
        return _entry(self._at(position), position)

    def read(self, position: int) -> bytes:
        """See `Archive.read`."""
        member = self._at(position)
        if (error := _why_not(member)) is not None:
            raise error
        check_size(member.size)
        if member.packed > _most_packed(member):
            raise damaged(f"packed in {member.packed:,} bytes, more than its {member.size:,} can take")
        before = self._data.at(member.start, _LOCAL.size)
        if len(before) < _LOCAL.size or not before.startswith(LOCAL):
            raise damaged("the member is not where the directory says")
        *_, name, extra = _LOCAL.unpack(before)
        start = member.start + _LOCAL.size
        if self._data.at(start, name) != member.raw:
            raise damaged("another member is where the directory says")
        packed = self._data.at(start + name + extra, member.packed)
        if len(packed) < member.packed:
            raise ends_within()
        data = _unpacked(packed, member)
        if len(data) != member.size:
            raise damaged(f"not the {member.size:,} bytes that the archive says")
        if zlib.crc32(data) != member.crc:
            raise damaged("its bytes have changed: the checksum is another")
        return data

    def _at(self, position: int) -> _Member:
        block = self._data.at(position, MOST_ENTRY if self._data.at(position, 4) == CENTRAL else 2 * MOST_COMMENT)
        if block.startswith(LOCAL):
            member = _local(block, position)
        else:
            directory = self._directory()
            member = _central(block, 0, directory[2] if directory else 0)
        if member is None:
            raise damaged("there is no member where it was")
        return member

    def _directory(self) -> tuple[int, int, int, int] | None:
        """Returns where the directory begins and ends, what to add to the offsets in it, and its count of members."""
        tail_at = max(0, self._data.size - _END.size - MOST_COMMENT)
        tail = self._data.at(tail_at, _END.size + MOST_COMMENT)
        found = tail.rfind(END)
        if found < 0 or len(tail) - found < _END.size:
            return None
        _, disk, first, _, count, size, offset, _ = _END.unpack_from(tail, found)
        end = tail_at + found
        place = self._data.at(end - _END64_PLACE.size, _END64_PLACE.size) if end >= _END64_PLACE.size else b""
        if place.startswith(END64_PLACE):
            # it lies right before its place; where it says it is, something may have been put before the archive
            end -= _END64_PLACE.size + _END64.size
            block = self._data.at(end, _END64.size) if end >= 0 else b""
            if not block.startswith(END64):
                raise damaged("its directory is not where it should be")
            *_, disk, first, _, count, size, offset = _END64.unpack(block)
        if disk or first:
            raise ImageError("UnsupportedArchive", "a part of an archive in several files; join them first")
        shift = end - size - offset
        if shift < 0:
            raise damaged("its directory is not where it should be")
        return end - size, end, shift, count

    def _without_directory(self) -> Iterator[Entry]:
        """Yields the members of an archive that was cut off, as far as each says where the next one is."""
        position = 0
        while (member := _local(self._data.at(position, 2 * MOST_COMMENT), position)) is not None:
            if not member.raw.endswith(b"/"):
                yield _entry(member, position)
            if member.flags & LATER and not member.packed:
                break
            position += member.length + member.packed
        raise damaged("cut off: it has no directory at its end" if position else "not a zip archive")


def _central(block: bytes, at: int, shift: int) -> _Member | None:
    """Returns the member of an entry of the directory, None if there is no entry."""
    if len(block) - at < _CENTRAL.size or not block.startswith(CENTRAL, at):
        return None
    (_, _, system, _, flags, method, _, _, crc, packed, size, name, extra, comment, _, _, attributes, start) = (
        _CENTRAL.unpack_from(block, at)
    )
    behind = at + _CENTRAL.size
    raw = block[behind : behind + name]
    if IN_EXTENDED in {size, packed, start}:
        fields = block[behind + name : behind + name + extra]
        size, packed, start = _extended(fields, size, packed, start)
    mode = attributes >> 16 if system == UNIX else 0
    length = _CENTRAL.size + name + extra + comment
    return _Member(raw, flags, method, crc, packed, size, mode, start + shift, length)


def _local(block: bytes, position: int) -> _Member | None:
    """Returns the member that its own header tells of, None if there is none."""
    if len(block) < _LOCAL.size or not block.startswith(LOCAL):
        return None
    _, _, flags, method, _, _, crc, packed, size, name, extra = _LOCAL.unpack_from(block)
    raw = block[_LOCAL.size : _LOCAL.size + name]
    fields = block[_LOCAL.size + name : _LOCAL.size + name + extra]
    size, packed, _ = _extended(fields, size, packed, 0)
    return _Member(raw, flags, method, crc, packed, size, 0, position, _LOCAL.size + name + extra)


def _extended(fields: bytes, *values: int) -> list[int]:
    """Returns size, packed size and offset, with those that do not go into 32 bits from the extra fields."""
    found = list(values)
    at = 0
    while at + 4 <= len(fields):
        kind, length = struct.unpack_from("<HH", fields, at)
        if kind == EXTENDED:
            inner = fields[at + 4 : at + 4 + length]
            wide = [value for (value,) in struct.iter_unpack("<Q", inner[: len(inner) // 8 * 8])]
            for index, value in enumerate(values):
                if value == IN_EXTENDED and wide:
                    found[index] = wide.pop(0)
        at += 4 + length
    return found


def _entry(member: _Member, position: int) -> Entry:
    return Entry(member.name, position, f"{member.size}-{member.crc:08x}", _why_not(member))


def _why_not(member: _Member) -> ImageError | None:
    if stat.S_ISLNK(member.mode):
        return ImageError("NotAFile", "a symbolic link; links in archives are not followed")
    if member.flags & ENCRYPTED:
        return ImageError("EncryptedArchive", "encrypted; unpack it with its password")
    if member.method not in {STORED, DEFLATED, BZIP2}:
        return ImageError("UnsupportedMember", f"compressed in a way ({member.method}) that is not read; unpack it")
    return None


def _most_packed(member: _Member) -> int:
    """Returns how many bytes a member can be packed in; what does not get smaller gets somewhat larger."""
    return member.size if member.method == STORED else member.size + member.size // 8 + MOST_PACKING


def _unpacked(data: bytes, member: _Member) -> bytes:
    """Returns what was compressed; no more than a byte beyond what the archive says of it."""
    if member.method == STORED:
        return data
    try:
        if member.method == DEFLATED:
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, member.size + 1)
        return bz2.BZ2Decompressor().decompress(data, member.size + 1)
    except (zlib.error, OSError, ValueError) as error:
        raise damaged(f"it cannot be unpacked: {error}") from error
