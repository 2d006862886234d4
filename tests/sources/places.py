"""A place of each scheme that tests can put files in: a new row of SOURCES needs one here."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol


class Place(Protocol):
    """Somewhere that files can be put.

    Attributes:
        name: What stands for all of it as an input.
    """

    name: str

    def put(self, path: str, data: bytes) -> None:
        """Puts a file there, or another in its place."""
        ...

    def remove(self, path: str) -> None: ...


class DiskPlace:
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


PLACES: Mapping[str, Callable[[Path], Place]] = {"": DiskPlace, "pack": PackPlace}
