"""Where formats write: what they declare of their files, and what they need of a place to put them."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
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
    """

    name: str
    start: Start
    any_line: bool = False


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """A sub-folder of the output folder, with a file for each image.

    Attributes:
        folder: Its name.
        suffix: Put after the whole name of the image, so that a.jpg and a.png stay apart.
        start: What the files begin with.
    """

    folder: str
    suffix: str
    start: Start


class Sink(Protocol):
    """A place for results: a folder on disk, or what stands for one."""

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

    def remove(self, *names: str) -> None:
        """Removes files, if they are there.

        Raises:
            OutputError: If one cannot be removed.
        """
        ...
