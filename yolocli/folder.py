"""The output folder: every file in it is written whole or not at all, and none lies outside it."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from yolocli.disk import sync_names, sync_stream, sync_tree
from yolocli.errors import OutputError, UsageError

LOCK = ".lock"
PARTIAL = ".partial"
"""Sub-folder for files being written; on the same file system, so that a rename publishes them."""
MAX_NAME_BYTES = 255
REFUSED_NAMES = frozenset({errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ})
"""What file systems answer to a name that they cannot hold: too long, characters of their own, no UTF-8."""
MAX_PATH = 800
"""Characters of a path in the records that the output folder takes as it is; systems stop at 1,024 or 4,096 bytes."""


class OutputFolder:
    """A folder for results.

    Attributes:
        root: Its path.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._made: set[Path] = set()
        self._real = ""
        self._partial = os.path.join(root, PARTIAL, "file")

    def create(self) -> None:
        """Makes the folder and clears what a killed run left half-written.

        Raises:
            OutputError: If it cannot be made or written.
        """
        with self.writing(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            partial = self.root / PARTIAL
            if partial.is_symlink():
                partial.unlink()
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(exist_ok=True)
            self._real = os.path.realpath(self.root)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Makes the folder this process's own in the block, by a lock that the system drops when its process dies.

        Raises:
            UsageError: If another run has it.
            OutputError: If it cannot be written.
        """
        path = self.root / LOCK
        lock = FileLock(path)
        with self.writing(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
        with self.writing(path):
            try:
                lock.acquire(timeout=0)
            except Timeout:
                raise UsageError(f"{self.root}: another run is writing here; wait for it or use --output") from None
        try:
            self.create()
            try:
                yield
            finally:
                self.close()
        finally:
            lock.release()

    def in_place(self, name: str) -> Path:
        """Returns the path of a file that is written to where it lies.

        Raises:
            OutputError: If it is a link.
        """
        path = self.root / name
        with self.writing(path):
            if path.is_symlink():
                raise OSError(f"it is a link, to {os.path.realpath(path)}")
        return path

    def write(self, path: Path, data: bytes) -> None:
        """Writes a file as a whole.

        Args:
            path: Relative to the folder.
            data: Its content.

        Raises:
            OutputError: If it cannot be written.
        """
        target = self.root / path
        partial = self._partial
        try:
            self._make(target.parent)
            # one open, one write, one rename: this is done for every image
            file = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o644)
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(file, rest) :]
            finally:
                os.close(file)
            os.replace(partial, target)
        except OSError as error:
            raise _cannot_write(target, error) from error

    def write_image(self, folder: str, path: str, suffix: str, data: bytes) -> None:
        """Writes the file of an image, under a plainer name if the disk cannot hold that of the image.

        Args:
            folder: See `per_image`.
            path: See `per_image`.
            suffix: See `per_image`.
            data: Its content.

        Raises:
            OutputError: If it cannot be written.
        """
        usual, plain = places(folder, path, suffix)
        try:
            self.write(usual, data)
        except OutputError as error:
            if not isinstance(error.__cause__, OSError) or error.__cause__.errno not in REFUSED_NAMES:
                raise
            self.write(plain, data)

    def has_image(self, folder: str, path: str, suffix: str) -> bool:
        """Tells whether the file of an image is there, and holds something; see `write_image`."""
        for place in places(folder, path, suffix):
            with suppress(OSError, ValueError):
                if os.lstat(self.root / place).st_size > 0:
                    return True
        return False

    @contextmanager
    def open(self, path: Path) -> Iterator[IO[bytes]]:
        """Opens a file that appears, whole, when the block ends well.

        Args:
            path: Relative to the folder.

        Raises:
            OutputError: If it cannot be written.
        """
        target = self.root / path
        partial = self.root / PARTIAL / hashlib.blake2b(os.fsencode(path), digest_size=16).hexdigest()
        with self.writing(target):
            self._make(target.parent)
            try:
                with open(partial, "wb") as stream:
                    yield stream
                os.replace(partial, target)
            except OSError:
                partial.unlink(missing_ok=True)
                raise

    def write_json(self, name: str, content: Mapping[str, Any], *, durable: bool = False) -> None:
        """Writes an object as JSON.

        Args:
            name: Of the file.
            content: The object.
            durable: When this returns, it outlives a power cut, and so do the names of all files beside it.

        Raises:
            OutputError: If it cannot be written.
        """
        with self.open(Path(name)) as stream:
            stream.write(_json(content))
            if durable:  # before it takes the place of another
                sync_stream(stream)
        if durable:
            self.sync_names()

    def conclude(self, files: Mapping[str, Mapping[str, Any]]) -> None:
        """Makes all that was written outlive a power cut; only then puts the files in place that say so.

        Args:
            files: Objects to be written as JSON, by name.

        Raises:
            OutputError: If that cannot be done.
        """
        with ExitStack() as stack:
            for name, content in files.items():
                stream = stack.enter_context(self.open(Path(name)))
                stream.write(_json(content))
                stream.flush()
            with self.writing(self.root):
                sync_tree(self.root)
        self.sync_names()

    def sync_names(self) -> None:
        """Makes durable which files lie in the folder itself.

        Raises:
            OutputError: If the disk does not take it.
        """
        with self.writing(self.root):
            sync_names(self.root)

    def sync(self) -> None:
        """Makes all that was written to the file system durable.

        Raises:
            OutputError: If the disk does not take it.
        """
        with self.writing(self.root):
            sync_tree(self.root)

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Returns an object written before, None when there is none or it is no JSON object."""
        try:
            content = json.loads((self.root / name).read_bytes())
        except (OSError, ValueError):
            return None
        return content if isinstance(content, dict) else None

    def remove(self, *names: str) -> None:
        """Removes files and sub-folders, if they are there.

        Raises:
            OutputError: If one cannot be removed.
        """
        for name in names:
            target = self.root / name
            with self.writing(target):
                if target.is_dir() and not target.is_symlink():
                    shutil.rmtree(target)
                else:
                    target.unlink(missing_ok=True)
        self._made.clear()

    def remove_images(self, paths: Iterable[Path]) -> None:
        """Removes files of an image, and the sub-folders that are left empty.

        Args:
            paths: Relative to the folder; what lies outside it, behind a link, is left.

        Raises:
            OutputError: If one cannot be removed.
        """
        for path in paths:
            target = self.root / path
            if not os.path.isfile(target) or not self._holds(os.path.realpath(target.parent)):
                continue
            with self.writing(target):
                target.unlink()
            with suppress(OSError):  # the sub-folder holds more
                for folder in itertools.takewhile(lambda parent: parent != self.root, target.parents):
                    folder.rmdir()
        self._made.clear()

    def close(self) -> None:
        """Removes the sub-folder for files being written."""
        shutil.rmtree(self.root / PARTIAL, ignore_errors=True)

    @contextmanager
    def writing(self, target: Path) -> Iterator[None]:
        """Turns an error of the file system into one that says what could not be written, and what to do.

        Raises:
            OutputError: In place of an OSError.
        """
        try:
            yield
        except OSError as error:
            raise _cannot_write(target, error) from error

    def _make(self, folder: Path) -> None:
        if folder in self._made:
            return
        real = os.path.realpath(folder)  # before it is made, too, as links may lead there
        if not self._holds(real):
            raise OSError(f"it leads out of the output folder, to {real}")
        folder.mkdir(parents=True, exist_ok=True)
        self._made.add(folder)

    def _holds(self, real: str) -> bool:
        return real == self._real or real.startswith(self._real + os.sep)


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, indent=2).encode() + b"\n"


def _cannot_write(target: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{target}: cannot be written: {error.strerror or error}. Put that right and run the same command again; "
        "what was done is kept"
    )


def places(folder: str, path: str, suffix: str) -> tuple[Path, Path]:
    """Returns where the file for an image lies: see `per_image`; and where, if the disk cannot hold that name."""
    digest = hashlib.blake2b(os.fsencode(path), digest_size=16).hexdigest()
    return per_image(folder, path, suffix), Path(folder, f"~{digest}{suffix}")


def per_image(folder: str, path: str, suffix: str) -> Path:
    """Returns where the file for an image lies: below `folder`, by the image's path in the records.

    A name that would be longer than file systems allow is shortened, and told apart by a hash of the whole. So is a
    path that no file can have, such as a listed name with a NUL byte: its record says so, and has its file, too.

    Args:
        folder: Sub-folder of the output folder.
        path: '/'-separated path from the record.
        suffix: Put after the whole name, so that a.jpg and a.png stay apart.
    """
    *parents, name = [part for part in path.split("/") if part not in {"", ".", ".."}] or ["~"]
    # a folder called x.jpg.json must not stand where the file for x.jpg goes
    parents = [part + "~" if part.rstrip("~").endswith(suffix) else part for part in parents]
    encoded, whole = os.fsencode(name), os.fsencode(name)
    impossible = (
        "\0" in path or len(path) > MAX_PATH or any(len(os.fsencode(part)) > MAX_NAME_BYTES for part in parents)
    )
    if impossible:
        parents, encoded, whole = [], encoded.replace(b"\0", b"~"), os.fsencode(path)
    if impossible or len(encoded) + len(suffix) > MAX_NAME_BYTES:
        digest = hashlib.blake2b(whole, digest_size=8).hexdigest()
        kept = encoded[: MAX_NAME_BYTES - len(suffix) - len(digest) - 1]
        name = os.fsdecode(kept.decode("utf-8", "ignore").encode() or b"") + "~" + digest
    return Path(folder, *parents, name + suffix)
