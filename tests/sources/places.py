"""A place of each scheme that tests can put files in: a new row of SOURCES needs one here."""

from __future__ import annotations

import gzip
import os
import tarfile
import uuid
import zipfile
from collections.abc import Callable, Mapping
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import BinaryIO, Protocol

from tests.stores import moto
from yolocli.stores import store_of, where


class Place(Protocol):
    """Somewhere that files can be put.

    Attributes:
        name: What stands for all of it as an input.
        between: What stands between that and the path of a file.
        before: What stands before that path in the records.
        apart: A file's version tells of this file alone.
        any_name: A file may be called anything.
    """

    name: str
    between: str
    before: str
    apart: bool
    any_name: bool

    def put(self, path: str, data: bytes) -> None:
        """Puts a file there, or another in its place."""
        ...

    def remove(self, path: str) -> None: ...


class DiskPlace:
    between, before, apart, any_name = "/", "", True, True

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.name = str(folder)

    def put(self, path: str, data: bytes) -> None:
        file = Path(self.name, path)
        file.parent.mkdir(parents=True, exist_ok=True)
        time = file.stat().st_mtime_ns + 10**9 if file.exists() else 10**18
        file.write_bytes(data)
        os.utime(file, ns=(time, time))

    def remove(self, path: str) -> None:
        Path(self.name, path).unlink()


class PackPlace:
    """See `tests.sources.pack`."""

    between, before, apart, any_name = "/", "", True, False

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._archive = folder / "photos.zip"
        self._members: dict[str, bytes] = {}
        self.name = f"pack://{self._archive}"
        self._write()

    def put(self, path: str, data: bytes) -> None:
        self._members[path] = data
        self._write()

    def remove(self, path: str) -> None:
        del self._members[path]
        self._write()

    def _write(self) -> None:
        with zipfile.ZipFile(self._archive, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, data in self._members.items():
                archive.writestr(path, data)


class ArchivePlace:
    """An archive in a folder; its members are in the order of their names, and each has a time of its own."""

    between, apart, any_name = "::", True, True

    def __init__(self, folder: Path, suffix: str) -> None:
        folder.mkdir()
        self.name = str(folder / f"photos{suffix}")
        self.before = f"photos{suffix}::"
        self._members: dict[str, tuple[bytes, int]] = {}
        self._times = count(10**9)
        self._write()

    def put(self, path: str, data: bytes) -> None:
        self._members[path] = data, next(self._times)
        self._write()

    def remove(self, path: str) -> None:
        del self._members[path]
        self._write()

    def _write(self) -> None:
        with open(self.name, "wb") as stream:
            self.write(stream, sorted(self._members.items()))
        time = next(self._times) * 10**9
        os.utime(self.name, ns=(time, time))

    def write(self, stream: BinaryIO, members: list[tuple[str, tuple[bytes, int]]]) -> None:
        raise NotImplementedError


class TarPlace(ArchivePlace):
    def __init__(self, folder: Path, suffix: str = ".tar") -> None:
        super().__init__(folder, suffix)

    def write(self, stream: BinaryIO, members: list[tuple[str, tuple[bytes, int]]]) -> None:
        with tarfile.open(fileobj=stream, mode="w") as archive:
            for path, (data, time) in members:
                member = tarfile.TarInfo(path)
                member.size, member.mtime = len(data), time
                archive.addfile(member, BytesIO(data))


class CompressedPlace(TarPlace):
    """A tar archive that is compressed; any library for it will do."""

    def __init__(self, folder: Path, suffix: str) -> None:
        super().__init__(folder, suffix)

    def write(self, stream: BinaryIO, members: list[tuple[str, tuple[bytes, int]]]) -> None:
        plain = BytesIO()
        super().write(plain, members)
        stream.write(self.compress(plain.getvalue()))

    def compress(self, data: bytes) -> bytes:
        if self.name.endswith("gz"):
            return gzip.compress(data)
        import zstandard

        return zstandard.compress(data)


class ZipPlace(ArchivePlace):
    any_name = False  # `zipfile` writes UTF-8

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, ".zip")

    def write(self, stream: BinaryIO, members: list[tuple[str, tuple[bytes, int]]]) -> None:
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, (data, _) in members:
                archive.writestr(path, data)


class ParquetPlace(ArchivePlace):
    apart, any_name = False, False

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, ".parquet")

    def write(self, stream: BinaryIO, members: list[tuple[str, tuple[bytes, int]]]) -> None:
        import pyarrow
        from pyarrow import parquet

        kind = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
        images = pyarrow.array([{"bytes": data, "path": path} for path, (data, _) in members], kind)
        parquet.write_table(pyarrow.table({"image": images}), stream, row_group_size=2)


class StorePlace:
    """A bucket, or a folder in it."""

    between, before, apart, any_name = "/", "", True, False

    def __init__(self, name: str) -> None:
        self.name = name
        self._store, self._top = store_of(name), where(name).key

    def put(self, path: str, data: bytes) -> None:
        self._store.write(f"{self._top}/{path}".lstrip("/"), data)

    def remove(self, path: str) -> None:
        self._store.delete(f"{self._top}/{path}".lstrip("/"))


def s3_place(folder: Path) -> StorePlace:
    endpoint, bucket = moto.moto(), f"place-{uuid.uuid4()}"
    moto.use(endpoint)
    moto.make_bucket(endpoint, bucket)
    return StorePlace(f"s3://{bucket}")


def memory_place(folder: Path) -> StorePlace:
    return StorePlace(f"memory://place-{uuid.uuid4()}")


PLACES: Mapping[str, Callable[[Path], Place]] = {
    "": DiskPlace,
    "pack": PackPlace,
    "::tar": TarPlace,
    "::tar.gz": lambda folder: CompressedPlace(folder, ".tar.gz"),
    "::tar.zst": lambda folder: CompressedPlace(folder, ".tar.zst"),
    "::zip": ZipPlace,
    "::parquet": ParquetPlace,
    "s3": s3_place,
    "memory": memory_place,
}
"""By scheme; archives, which share a row, by their kinds behind that."""
ALIKE = dict.fromkeys(("gs", "az", "https", "http"), "s3") | dict.fromkeys(
    ("hf", "ftp", "sftp", "smb", "webhdfs", "hdfs", "oss"), "memory"
)
"""Schemes of stores that no server here speaks, by one that is read in the same way."""
