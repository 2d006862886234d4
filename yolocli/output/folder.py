"""The output folder: every file in it is written whole or not at all, and none lies outside it."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout

from yolocli.errors import OutputError, UsageError
from yolocli.output.anchors import Anchors, Place
from yolocli.output.disk import cannot_write, longest_path, sync_names, sync_tree, writing
from yolocli.output.marker import Marker
from yolocli.output.ownership import LOCK, SHOWN, is_foreign, is_own_file, refusal
from yolocli.output.partial import BINARY, NO_LINK, Partial
from yolocli.output.places import per_image, places
from yolocli.output.sink import File, ImageFiles
from yolocli.output.tree_disk import TreeDisk

REFUSED_NAMES = frozenset({errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ})
"""What file systems answer to a name that they cannot hold: too long, characters of their own, no UTF-8."""


class OutputFolder:
    """A folder for results: a `Sink` on disk.

    Attributes:
        root: Its path.
        trees: What puts files of trees there.
        marker: What names the sub-folders that are no input.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders = Anchors(root)
        self._partial = Partial(root, self._folders)
        self.trees = TreeDisk(root, self._folders, self._partial, self._place)
        self.marker = Marker(root, self._folders, self._partial)
        self._longest = longest_path() - len(os.fsencode(os.path.abspath(root))) - 2

    def create(self) -> None:
        """Makes the folder and clears what a killed run left half-written.

        Raises:
            OutputError: If it cannot be made or written.
            UsageError: If a file that is not yolocli's stands where one must be.
        """
        with writing(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            self._folders.forget()
            self._partial.make()
            self.marker.name()

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

    def write_image(self, files: ImageFiles, path: str, data: bytes) -> str:
        """See `Sink.write_image`; if the disk cannot hold the name of the image, the file has a plainer one."""
        for place in places(files, path):
            try:
                self._check_own(place, files)
                self.write(place, data)
                return place.as_posix()
            except OutputError as error:
                refused = error
                if not isinstance(error.__cause__, OSError) or error.__cause__.errno not in REFUSED_NAMES:
                    break
        raise refused

    def has_image(self, files: ImageFiles, path: str) -> bool:
        """See `Sink.has_image`."""
        for place in places(files, path):
            with suppress(OSError, ValueError):
                if os.lstat(self.root / place).st_size > 0:
                    return True
        return False

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """See `Sink.open`."""
        with writing(self.root / name), self._partial.open(Path(name), self._place) as stream:
            yield stream

    @contextmanager
    def add_to(self, name: str) -> Iterator[IO[bytes]]:
        """See `Sink.add_to`."""
        with writing(self.root / name), open(self.open_in_place(name, os.O_RDWR | os.O_CREAT), "r+b") as stream:
            yield stream

    @contextmanager
    def spool(self) -> Iterator[IO[bytes]]:
        """See `Sink.spool`; it lies on the disk of the folder, as the place for temporary files may be small."""
        with writing(self.root), self._partial.spool() as stream:
            yield stream

    @contextmanager
    def build(self, file: File) -> Iterator[Path]:
        """See `Sink.build`."""
        with writing(self.root / file.name), self._partial.build(file, self._place) as path:
            yield path

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

    def remove_own(self, files: Iterable[File]) -> None:
        """Removes those of the files that a run wrote.

        Raises:
            OutputError: If one cannot be removed.
        """
        with writing(self.root):
            self.remove(*(file.name for file in files if is_own_file(self._folders.at(""), file.name, file)))

    def remove_images(self, images: Iterable[ImageFiles], path: str) -> None:
        """Removes the files of an image that are yolocli's, and the sub-folders that are left empty.

        Args:
            images: Which of its files.
            path: Of the image, as in its record; what lies outside the folder, behind a link, is left.

        Raises:
            OutputError: If one cannot be removed.
        """
        for files in images:
            for one in reversed(self._grouped(files, path)) if files.grouped else [files]:
                for file in places(one, path):
                    with suppress(OSError):  # not there, or no such name can be
                        place, name = self._place(file, make=False)
                        if not is_own_file(place, name, one):
                            continue
                        with writing(self.root / file):
                            os.unlink(place.at(name), dir_fd=place.fd)
                        self._folders.remove_empty(file.parts[:-1])

    def _grouped(self, files: ImageFiles, path: str) -> list[ImageFiles]:
        """Returns which of the files that an image may have any number of are there.

        In each sub-folder they are numbered without a gap; the last must go first, or a kill would leave one.
        """
        found: list[ImageFiles] = []
        with suppress(OSError):
            for group in sorted(os.listdir(self.root / files.folder)):
                numbered = map(partial(files.one_of, group), itertools.count(1))
                found += itertools.takewhile(lambda one: self.has_image(one, path), numbered)
        return found

    def refuse_foreign_images(self, paths: Iterable[str], images: Collection[ImageFiles]) -> None:
        """Makes sure that no file of somebody else stands where files of images are to be written.

        Args:
            paths: Of the images.
            images: Which of their files.

        Raises:
            UsageError: With the names of some of them.
        """
        wanted = ((per_image(files, path), files) for path in paths for files in images if not files.grouped)
        found = (os.fspath(file) for file, files in wanted if self._is_foreign(file, files))
        if some := list(itertools.islice(found, SHOWN + 1)):
            raise UsageError(refusal(self.root, some))

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
        if make and len(path.parts) > 1:
            self.marker.name(path.parts[0])
        return self._folders.at(_name_of(path), make), path.name

    def _check_own(self, path: Path, files: ImageFiles) -> None:
        """Refuses to replace a file of an image that is not yolocli's.

        Raises:
            UsageError: If it is not.
        """
        if not self._folders.is_new(_name_of(path)) and self._is_foreign(path, files):
            raise UsageError(refusal(self.root, [os.fspath(path)]))

    def _is_foreign(self, path: Path, files: ImageFiles) -> bool:
        with suppress(OSError):  # no such folder, or no such name can be; else it will be said when it is written
            return is_foreign(*self._place(path, make=False), files)
        return False


def _name_of(path: Path) -> str:
    """Returns what `Anchors` call the folder of a file."""
    return os.path.dirname(os.fspath(path)).replace(os.sep, "/")
