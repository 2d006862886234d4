"""The output folder: every file in it is written whole or not at all, and none lies outside it."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout

from yolocli.errors import OutputError, UsageError
from yolocli.output.anchors import Anchors, Place
from yolocli.output.disk import cannot_write, longest_path, sync_names, sync_tree, writing
from yolocli.output.ownership import LOCK, SHOWN, is_foreign, is_own_file, refusal
from yolocli.output.partial import BINARY, NO_LINK, Partial
from yolocli.output.places import per_image, places

REFUSED_NAMES = frozenset({errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ})
"""What file systems answer to a name that they cannot hold: too long, characters of their own, no UTF-8."""


class OutputFolder:
    """A folder for results.

    Attributes:
        root: Its path.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders = Anchors(root)
        self._partial = Partial(root, self._folders)
        self._longest = longest_path() - len(os.fsencode(os.path.abspath(root))) - 2

    def create(self) -> None:
        """Makes the folder and clears what a killed run left half-written.

        Raises:
            OutputError: If it cannot be made or written.
        """
        with writing(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            self._folders.forget()
            self._partial.make()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Makes the folder this process's own in the block, by a lock that the system drops when its process dies.

        Raises:
            UsageError: If another run has it.
            OutputError: If it cannot be written.
        """
        path = self.root / LOCK
        lock = FileLock(path)
        with writing(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
        with writing(path):
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
        with writing(path):
            if path.is_symlink():
                raise OSError(f"it is a link, to {os.path.realpath(path)}")
        return path

    def open_in_place(self, name: str, flags: int) -> int:
        """Opens a file that is written to where it lies; see `os.open`.

        Raises:
            OutputError: If it is a link, or cannot be opened.
        """
        with writing(self.in_place(name)):
            root = self._folders.at("")
            return os.open(root.at(name), flags | NO_LINK | BINARY, 0o644, dir_fd=root.fd)

    def write(self, path: Path, data: bytes) -> None:
        """Writes a file as a whole.

        Args:
            path: Relative to the folder.
            data: Its content.

        Raises:
            OutputError: If it cannot be written.
        """
        try:
            self._partial.write(data, *self._place(path))
        except OSError as error:
            raise cannot_write(self.root / path, error) from error

    def write_image(self, folder: str, path: str, suffix: str, data: bytes) -> None:
        """Writes the file of an image, under a plainer name if the disk cannot hold that of the image.

        Args:
            folder: See `per_image`.
            path: See `per_image`.
            suffix: See `per_image`.
            data: Its content.

        Raises:
            OutputError: If it cannot be written.
            UsageError: If a file that is not yolocli's stands there.
        """
        for place in places(folder, path, suffix):
            try:
                self._check_own(place)
                self.write(place, data)
                return
            except OutputError as error:
                refused = error
                if not isinstance(error.__cause__, OSError) or error.__cause__.errno not in REFUSED_NAMES:
                    break
        raise refused

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
        with writing(self.root / path), self._partial.open(path, self._place) as stream:
            yield stream

    def sync_names(self) -> None:
        """Makes durable which files lie in the folder itself.

        Raises:
            OutputError: If the disk does not take it.
        """
        with writing(self.root):
            sync_names(self.root)

    def sync(self) -> None:
        """Makes all that was written to the file system durable.

        Raises:
            OutputError: If the disk does not take it.
        """
        with writing(self.root):
            sync_tree(self.root)

    def remove(self, *names: str) -> None:
        """Removes files, if they are there, and what leads elsewhere; no folder.

        Raises:
            OutputError: If one cannot be removed.
        """
        for name in names:
            with writing(self.root / name):
                root = self._folders.at("")
                with suppress(FileNotFoundError):
                    os.unlink(root.at(name), dir_fd=root.fd)

    def remove_own(self, *names: str) -> None:
        """Removes those of the files that a run wrote.

        Raises:
            OutputError: If one cannot be removed.
        """
        with writing(self.root):
            self.remove(*(name for name in names if is_own_file(self._folders.at(""), name, name)))

    def remove_images(self, paths: Iterable[Path]) -> None:
        """Removes files of an image that are yolocli's, and the sub-folders that are left empty.

        Args:
            paths: Relative to the folder; what lies outside it, behind a link, is left.

        Raises:
            OutputError: If one cannot be removed.
        """
        for path in paths:
            with suppress(OSError):  # not there, or no such name can be
                place, name = self._place(path, make=False)
                if not is_own_file(place, name, path.parts[0]):
                    continue
                with writing(self.root / path):
                    os.unlink(place.at(name), dir_fd=place.fd)
                self._folders.remove_empty(path.parts[:-1])

    def refuse_foreign_images(self, paths: Iterable[str], sub_folders: Mapping[str, str]) -> None:
        """Makes sure that no file of somebody else stands where files of images are to be written.

        Args:
            paths: Of the images.
            sub_folders: See `refuse_foreign`.

        Raises:
            UsageError: With the names of some of them.
        """
        files = (per_image(folder, path, suffix) for path in paths for folder, suffix in sub_folders.items())
        found = [os.fspath(file) for file in itertools.islice(filter(self._is_foreign, files), SHOWN + 1)]
        if found:
            raise UsageError(refusal(self.root, found))

    def check(self) -> None:
        """Makes sure that all folders written to are still in their places.

        Raises:
            OutputError: If another program moved or replaced one, so that files may be missing.
        """
        with writing(self.root):
            self._folders.check()

    def close(self) -> None:
        """Removes the sub-folder for files being written, and lets go of all."""
        with suppress(OSError):
            self._partial.clear()
        self._folders.close()

    def _place(self, path: Path, make: bool = True) -> tuple[Place, str]:
        """Returns where a file goes: the folder, and its name there.

        Raises:
            OSError: As `Anchors.at`, and if programs could not open the file by its path.
        """
        if len(os.fsencode(path)) > self._longest:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        return self._folders.at(_name_of(path), make), path.name

    def _check_own(self, path: Path) -> None:
        """Refuses to replace a file of an image that is not yolocli's.

        Raises:
            UsageError: If it is not.
        """
        if not self._folders.is_new(_name_of(path)) and self._is_foreign(path):
            raise UsageError(refusal(self.root, [os.fspath(path)]))

    def _is_foreign(self, path: Path) -> bool:
        try:
            place, name = self._place(path, make=False)
            return is_foreign(place, name, path.parts[0])
        except OSError:  # no such folder, or no such name can be; else it will be said when it is written
            return False


def _name_of(path: Path) -> str:
    """Returns what `Anchors` call the folder of a file."""
    return os.path.dirname(os.fspath(path)).replace(os.sep, "/")
