"""Where formats write: what they declare of their files, and what they need of a place to put them."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, TypeAlias

Start: TypeAlias = bytes | re.Pattern[bytes]
"""What a file of yolocli begins with, in this version and those before it, so that no other is ever replaced.

A pattern, where beginnings vary, must match the first bytes of a file that was torn, too.
"""


@dataclass(frozen=True, slots=True)
class File:
    """A file in the output folder.

    Attributes:
        name: Its name.
        start: What it begins with.
        any_line: A line that begins so may come after others, as those may have been damaged.
        end: What its last kilobyte matches, too, whole or torn, where many programs write files that begin alike.
        in_use: Names of files that programs keep beside it while they have it open, and that would spoil another one.
    """

    name: str
    start: Start
    any_line: bool = False
    end: re.Pattern[bytes] | None = None
    in_use: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """A sub-folder of the output folder, with a file for each image.

    Attributes:
        folder: Its name.
        suffix: Put after the whole name of the image, so that a.jpg and a.png stay apart.
        start: What the files begin with.
        grouped: There are any number of files for each image, in sub-folders of this one: those of `one_of`.
    """

    folder: str
    suffix: str
    start: Start
    grouped: bool = False

    def one_of(self, group: str, number: int) -> ImageFiles:
        """Returns what stands for one of the files of each image.

        Args:
            group: A sub-folder.
            number: Of the image's files in it, from 1 on.
        """
        return ImageFiles(f"{self.folder}/{group}", f".{number}{self.suffix}", self.start)


@dataclass(frozen=True, slots=True)
class Tree:
    """Sub-folders of the output folder whose files only all images together can name.

    A list says which files are yolocli's, as they may hold anything: see `yolocli.output.trees`.

    Attributes:
        folders: Their names.
        list: The file with a line for each of their files.
        beside: The one of them that the images may lie in themselves; empty if there is none.
    """

    folders: tuple[str, ...]
    list: File
    beside: str = ""


class Original(str, enum.Enum):
    """How the file of an image gets into the output folder. It is never moved or changed."""

    link = "link"
    copy = "copy"


@dataclass(frozen=True, slots=True)
class Link:
    """A link to a file.

    Attributes:
        target: Its absolute path.
    """

    target: str


class TreePlace(Protocol):
    """Where files of trees are put."""

    def put(self, name: str, content: bytes | Link, over: str = "", modified_ns: int | None = None) -> None:
        """Puts a file where it goes, whole.

        Args:
            name: '/'-separated.
            content: Of the file; or what it is a link to.
            over: Mark of the file that it takes the place of; empty if there should be none.
            modified_ns: When it was changed last, in nanoseconds; None for now.

        Raises:
            OutputError: If that cannot be done.
            UsageError: If another file stands there.
        """
        ...

    def mark(self, name: str) -> str:
        """Returns what tells a file from others: see `mark_of`, `mark_of_link`. Empty if there is none."""
        ...

    def is_at(self, name: str, source: str) -> bool:
        """Tells whether a file on disk lies there itself, be it a link, and not behind a link to it."""
        ...

    def place_in(self, folder: str, source: str) -> str:
        """Returns where a file on disk lies itself below a sub-folder, '/'-separated; empty if it does not."""
        ...

    def strange_pictures(self, folder: str) -> Iterator[str]:
        """Yields the names of the pictures in a sub-folder, and below it; none if a run made the sub-folder."""
        ...

    def take_away(self, name: str, mark: str) -> None:
        """Removes a file, if it has the mark, and the sub-folders that are left empty.

        Raises:
            OutputError: If it cannot be removed.
        """
        ...


class Sink(Protocol):
    """A place for results: a folder on disk, or what stands for one.

    Attributes:
        trees: What puts files of trees there.
    """

    @property
    def trees(self) -> TreePlace:  # noqa: D102
        ...

    def write_image(self, files: ImageFiles, path: str, data: bytes) -> str:
        """Writes the file of an image, in place of what a run wrote there before.

        Args:
            files: Which of its files.
            path: Of the image, as in its record.
            data: The content.

        Returns:
            Its path in the place for results, '/'-separated.

        Raises:
            OutputError: If it cannot be written.
            UsageError: If a file that is not yolocli's stands there.
        """
        ...

    def has_image(self, files: ImageFiles, path: str) -> bool:
        """Tells whether the file of an image is there, and holds something; see `write_image`."""
        ...

    def open(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """Opens a file that appears, whole, when the block ends well.

        Raises:
            OutputError: If it cannot be written.
        """
        ...

    def spool(self) -> AbstractContextManager[IO[bytes]]:
        """Opens a file for what is to be read back once all of it is known; it never appears, and goes with the block.

        Raises:
            OutputError: If it cannot be written.
        """
        ...

    def build(self, file: File) -> AbstractContextManager[Path]:
        """Gives the path of an empty file that appears, as it is then, when the block ends well.

        For what is no stream, such as a database; an OSError in the block is raised as what it means.

        Raises:
            OutputError: If it cannot be written, or another program has open what it would take the place of.
        """
        ...

    def remove(self, *names: str) -> None:
        """Removes files, if they are there.

        Raises:
            OutputError: If one cannot be removed.
        """
        ...

    def add_to(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """Opens a file that is read, added to and cut where it lies; it is made if it is not there.

        Raises:
            OutputError: If it cannot be written.
        """
        ...

    def sync(self) -> None:
        """Makes all that was written durable.

        Raises:
            OutputError: If that cannot be done.
        """
        ...
