"""Archives that are damaged, or made to do harm: for each, the records that it must lead to."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))


PICTURE = b"\x89PNG\r\n\x1a\n" + b"".join(
    _chunk(kind, data)
    for kind, data in (
        (b"IHDR", struct.pack(">2L5B", 20, 10, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(10 * 61))),
        (b"IEND", b""),
    )
)
"""A black picture."""
ELSEWHERE = "/etc/passwd"
HUGE = 2**62

Expected = Mapping[str, str]


@dataclass(frozen=True)
class Hostile:
    """An archive.

    Attributes:
        suffix: Of its name.
        data: Its bytes.
        records: What becomes of its members, by their names: `ok`, or the class of the error. The empty name is the
            archive's.
    """

    suffix: str
    data: bytes
    records: Expected


# Tar


def tar(*members: tarfile.TarInfo | str, form: int = tarfile.PAX_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        for member in members:
            info = file(member) if isinstance(member, str) else member
            archive.addfile(info, io.BytesIO(PICTURE) if info.isreg() else None)
    return stream.getvalue()


def file(name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = len(PICTURE)
    return info


def special(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def header(name: str, kind: bytes = tarfile.REGTYPE, size: bytes = b"") -> bytes:
    """A header alone, with the bytes of its size as given."""
    info = special(name, kind)
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT)[-512:])
    if size:
        block[124:136] = size.rjust(12, b"0") if len(size) < 12 else size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def wide(number: int) -> bytes:
    """A size that octal digits do not hold."""
    return b"\x80" + number.to_bytes(11, "big")


def pax(records: bytes, name: str) -> bytes:
    blocks = -(-len(records) // 512) * 512
    return header("pax", tarfile.XHDTYPE, b"%o" % len(records)) + records.ljust(blocks, b"\0") + tar(name)


ONE, TWO = tar("1.png")[:1024], tar("2.png")[:1024]
"""Members without the end of an archive."""
END = bytes(1024)
NAMES = ("../up.png", "a/../../up.png", "/root.png", "C:\\drive.png", "..\\back.png", "./a//b/./c.png", "a/D:x.png")
CLEAN: Expected = {
    "up.png": "ok",
    "a/up.png": "ok",
    "root.png": "ok",
    "drive.png": "ok",
    "back.png": "ok",
    "a/b/c.png": "ok",
    "a/x.png": "ok",
}
DAMAGED, CUT = {"": "DamagedArchive"}, {"1.png": "ok", "2.png": "DamagedArchive", "": "DamagedArchive"}
BEFORE = {"1.png": "ok", "": "DamagedArchive"}
TIMES = {"1.png": "ok", "1.png::2.png": "ok", "1.png::3.png": "ok", "1.png::3.png::2.png": "ok"}
LINKS = [special("soft.png", tarfile.SYMTYPE, ELSEWHERE), special("hard.png", tarfile.LNKTYPE, ELSEWHERE)]
DEVICES = [special("null.png", tarfile.CHRTYPE), special("pipe.png", tarfile.FIFOTYPE)]
TARS = {
    "names": (tar(*NAMES), CLEAN),
    "names of GNU": (tar(*NAMES, form=tarfile.GNU_FORMAT), CLEAN),
    "links": (tar(*LINKS, "1.png"), {"soft.png": "NotAFile", "hard.png": "NotAFile", "1.png": "ok"}),
    "devices": (tar(*DEVICES, "1.png"), {"null.png": "NotAFile", "pipe.png": "NotAFile", "1.png": "ok"}),
    "folders": (tar(special("a.png", tarfile.DIRTYPE), "a.png/1.png"), {"a.png/1.png": "ok"}),
    "twice": (tar("1.png", "1.png", "./1.png", "1.png::3.png"), TIMES),
    "cut in a member": ((ONE + TWO)[:-500], CUT),
    "cut in a header": (ONE + TWO[:100], BEFORE),
    "without its end": (ONE + TWO, {"1.png": "ok", "2.png": "ok"}),
    "without a block to its end": (ONE[: 512 + len(PICTURE)], {"1.png": "ok"}),
    "cut behind a long name": (ONE + header("x", b"L", b"1") + bytes(512), BEFORE),
    "cut in a long name": (ONE + tar("long/" * 30 + "2.png")[:700], BEFORE),
    "text": (b"no archive at all, but long enough for a header. " * 20, DAMAGED),
    "nothing": (b"", DAMAGED),
    "no members": (END, {}),
    "garbage between": (ONE + b"\x55" * 512 + TWO + END, BEFORE),
    "size without end": (ONE + header("2.png", size=wide(HUGE)), CUT),
    "size below nothing": (ONE + header("2.png", size=b"\xff" * 12), BEFORE),
    "long name without end": (header("x", b"L", wide(HUGE)), DAMAGED),
    "long name of a gigabyte": (header("x", b"L", wide(2**30)) + ONE + END, DAMAGED),
    "headers without end": (header("x", b"L", b"1") * 40 + ONE + END, DAMAGED),
    "pax that lies of its length": (pax(b"99999 path=2.png\n", "1.png"), {"1.png": "ok"}),
    "pax of a number of a million digits": (pax(b"9" * 2**19, "1.png"), {"1.png": "ok"}),
    "pax size": (pax(b"%d size=%s\n" % (35, b"9" * 26), "1.png"), {"1.png": "DamagedArchive", "": "DamagedArchive"}),
    "pax NUL": (pax(b"24 path=2.png\0/../a.txt\n", "1.png"), {"2.png": "ok"}),
    "sparse": (header("1.png", b"S", b"0") + TWO + END, {"1.png": "UnsupportedMember", "2.png": "ok"}),
    "odd names": (tar("\udcff\n.png", "\x1b[31m.png"), {"\udcff\n.png": "ok", "\x1b[31m.png": "ok"}),
    "two archives": (tar("1.png") + tar("2.png"), {"1.png": "ok", "2.png": "ok"}),
    "something behind it": (tar("1.png") + b"\x55" * 9000, {"1.png": "ok"}),
    "archives within": (tar("1.png", "photos.tar", "photos.zip"), {"1.png": "ok"}),
    "a name of a megabyte": (tar("a/" * 2**18 + "1.png"), {("a/" * 2**18 + "1.png")[-(2**15) :].lstrip("/"): "ok"}),
}
PACKED = {
    "cut": (gzip.compress(ONE + TWO + END)[:-9], {"1.png": "ok", "2.png": "ok", "": "DamagedArchive"}),
    "no gzip": (tar("1.png"), DAMAGED),
    "checksum": (gzip.compress(ONE + TWO + END)[:-8] + bytes(8), {"1.png": "ok", "2.png": "ok", "": "DamagedArchive"}),
    "garbage within": (gzip.compress(ONE + b"\x55" * 512), BEFORE),
    "cut member within": (gzip.compress((ONE + TWO)[:-500]), CUT),
    "zeros": (
        gzip.compress(ONE + header("zeros.bin", size=wide(2**26)) + bytes(2**26) + TWO + END),
        {"1.png": "ok", "2.png": "ok"},
    ),
    "size without end": (gzip.compress(ONE + header("2.bin", size=wide(HUGE))), BEFORE),
    "names": (gzip.compress(tar(*NAMES)), CLEAN),
}

# Zip

LOCAL, CENTRAL, FINISH = b"PK\3\4", b"PK\1\2", b"PK\5\6"


def zipped(*names: str, method: int = zipfile.ZIP_DEFLATED, data: bytes = PICTURE) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name in names:
            info = zipfile.ZipInfo("x")
            info.filename, info.compress_type = name, method
            archive.writestr(info, data)
    return stream.getvalue()


def patched(archive: bytes, signature: bytes, offset: int, form: str, *values: int, number: int = 0) -> bytes:
    """An archive with other numbers in one of its headers, the last of them by default the directory's first."""
    at = -1
    for _ in range(number + 1):
        at = archive.index(signature, at + 1)
    changed = bytearray(archive)
    struct.pack_into("<" + form, changed, at + offset, *values)
    return bytes(changed)


def raw_names(*names: bytes) -> bytes:
    """An archive with names in no encoding that it tells of."""
    standing_in = [f"{number}".ljust(len(name), "?") for number, name in enumerate(names)]
    archive = zipped(*standing_in)
    for other, name in zip(standing_in, names, strict=True):
        archive = archive.replace(other.encode(), name)
    return archive


def signed(archive: bytes) -> bytes:
    """An archive with a signature in its directory, which nobody looks at."""
    more = b"PK\5\5\3\0abc"
    at = archive.index(FINISH)
    size = struct.unpack_from("<L", archive, at + 12)[0] + len(more)
    return patched(archive[:at] + more + archive[at:], FINISH, 12, "L", size)


def repeated(archive: bytes, times: int) -> bytes:
    """An archive whose directory has its first member so many times, counted in 16 bits."""
    at, end = archive.index(CENTRAL), archive.index(FINISH)
    archive = archive[:at] + archive[at:end] * times + archive[end:]
    archive = patched(archive, FINISH, 12, "L", (end - at) * times)
    return patched(archive, FINISH, 8, "HH", times % 2**16, times % 2**16)


PLAIN, SOME = zipped("1.png"), zipped("1.png", "2.png", "3.png")
STORED = zipped("1.png", "2.png", method=zipfile.ZIP_STORED)
ALL = {"1.png": "ok", "2.png": "ok", "3.png": "ok"}
FIRST_BAD = {**ALL, "1.png": "DamagedArchive"}


def both(archive: bytes, local: int, central: int, form: str, *values: int) -> bytes:
    return patched(patched(archive, LOCAL, local, form, *values), CENTRAL, central, form, *values)


ZIPS = {
    "names": (zipped(*NAMES), CLEAN),
    "twice": (raw_names(b"1.png", b"1.png"), {"1.png": "ok", "1.png::2.png": "ok"}),
    "encrypted": (both(SOME, 6, 8, "H", 1), {**ALL, "1.png": "EncryptedArchive"}),
    "more than it says": (patched(SOME, CENTRAL, 24, "L", 5), FIRST_BAD),
    "less than it says": (patched(SOME, CENTRAL, 24, "L", 5000), FIRST_BAD),
    "four gigabytes, it says": (patched(SOME, CENTRAL, 24, "L", 2**32 - 2), {**ALL, "1.png": "FileTooLarge"}),
    "packed in more than there is": (patched(SOME, CENTRAL, 20, "L", 2**32 - 2), FIRST_BAD),
    "checksum": (both(SOME, 14, 16, "L", 7), FIRST_BAD),
    "a way to compress that nobody knows": (both(SOME, 8, 10, "H", 77), {**ALL, "1.png": "UnsupportedMember"}),
    "elsewhere": (patched(SOME, CENTRAL, 42, "L", 2**31), FIRST_BAD),
    "one over the other": (patched(SOME, CENTRAL, 42, "L", 0, number=1), {**ALL, "2.png": "DamagedArchive"}),
    "link": (
        patched(patched(SOME, CENTRAL, 5, "B", 3), CENTRAL, 38, "L", 0o120777 << 16),
        {**ALL, "1.png": "NotAFile"},
    ),
    "cut in a member": (STORED[: STORED.index(CENTRAL) - 10], CUT),
    "cut in its directory": (STORED[:-60], {"1.png": "ok", "2.png": "ok", "": "DamagedArchive"}),
    "more members than there are": (patched(SOME, FINISH, 8, "HH", 9, 9), {**ALL, "": "DamagedArchive"}),
    "fewer members than there are": (patched(SOME, FINISH, 8, "HH", 1, 1), {**ALL, "": "DamagedArchive"}),
    "garbage in its directory": (patched(SOME, CENTRAL, 0, "L", 0, number=1), BEFORE),
    "garbage in its directory, and a count of what precedes it": (
        patched(patched(SOME, CENTRAL, 0, "L", 0, number=1), FINISH, 8, "HH", 1, 1),
        BEFORE,
    ),
    "signed": (signed(SOME), ALL),
    "a directory elsewhere": (patched(SOME, FINISH, 12, "LL", 2**31, 2**31), DAMAGED),
    "several disks": (patched(SOME, FINISH, 4, "HH", 1, 1), {"": "UnsupportedArchive"}),
    "text": (b"no archive at all", DAMAGED),
    "nothing": (b"", DAMAGED),
    "before it a program": (b"#!/bin/sh\n" * 50 + SOME, ALL),
    "old names": (raw_names(b"caf\x82.png", b"\xe3\x81\x82.png"), {"café.png": "ok", "あ.png": "ok"}),
    "odd names": (raw_names(b"\x01\n.png", b"2.png\0.txt"), {"\x01\n.png": "ok", "2.png": "ok"}),
    "stored": (STORED, {"1.png": "ok", "2.png": "ok"}),
    "bzip2": (zipped("1.png", method=zipfile.ZIP_BZIP2), {"1.png": "ok"}),
}

# Parquet


def parquet(rows: list[dict[str, object]]) -> bytes:
    import pyarrow
    from pyarrow import parquet as files

    stream = io.BytesIO()
    files.write_table(pyarrow.Table.from_pylist(rows), stream)
    return stream.getvalue()


def rows(*names: str | None) -> bytes:
    return parquet([{"image": {"bytes": PICTURE, "path": name}} for name in names])


PARQUETS: Mapping[str, tuple[Callable[[], bytes], Expected]] = {
    "names": (partial(rows, *NAMES), CLEAN),
    "twice": (partial(rows, "1.png", "1.png", None), {"1.png": "ok", "1.png::2.png": "ok", "row-000002.jpg": "ok"}),
    "nothing within": (
        lambda: parquet([{"image": {"bytes": None, "path": "1.png"}}, {"image": {"bytes": PICTURE, "path": "2.png"}}]),
        {"1.png": "EmptyFile", "2.png": "ok"},
    ),
    "no images": (lambda: parquet([{"text": "x"}]), DAMAGED),
    "text": (lambda: b"no archive at all", DAMAGED),
    "cut": (lambda: rows("1.png", "2.png")[:-20], DAMAGED),
    "garbage within": (
        lambda: b"PAR1" + b"\x55" * 60 + rows("1.png")[64:],
        {"1.png": "DamagedArchive"},
    ),
}


def hostile() -> dict[str, Hostile]:
    """Returns all of them by a name."""
    kinds = {".tar": TARS, ".tar.gz": PACKED, ".zip": ZIPS}
    return {
        f"{suffix}: {name}": Hostile(suffix, data, records)
        for suffix, rows in kinds.items()
        for name, (data, records) in rows.items()
    }
