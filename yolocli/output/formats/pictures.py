"""Pictures of what was found, drawn and cut out: made of an image's pixels and its record."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from yolocli.executors.pictures import CROPS, DRAWN, Pictures, crop_of
from yolocli.images.jpeg import END, HEAD
from yolocli.output.folder import OutputFolder
from yolocli.output.formats.base import Format
from yolocli.output.places import ClassFolders, places
from yolocli.output.sink import ImageFiles
from yolocli.results import ImageResult, Outcome

DRAWN_FILES = ImageFiles(DRAWN, ".jpg", HEAD)
CROP_FILES = ImageFiles(CROPS, ".jpg", HEAD, grouped=True)
IMAGES, OF_BOXES = Format(images=(DRAWN_FILES,)), Format(images=(CROP_FILES,))
"""For the lists of what is yolocli's."""


def formats_of(wanted: Pictures) -> tuple[Format, ...]:
    """Returns what stands for the pictures that are wanted."""
    return (IMAGES,) * wanted.images + (OF_BOXES,) * wanted.crops


class PictureFiles:
    """The pictures in an output folder.

    Attributes:
        wanted: Which are.
        earlier: There may be some of earlier runs.
        missing: Images whose pictures were to be kept and some of which were not there, so far.
    """

    def __init__(self, folder: OutputFolder, wanted: Pictures, names: Mapping[int, str], earlier: bool = True) -> None:
        """Takes what is needed to find them.

        Args:
            folder: Where they are.
            wanted: Which to keep.
            names: Of all classes, by index.
            earlier: There may be some of earlier runs.
        """
        self._folder = folder
        self._classes = ClassFolders(names)
        self.earlier = earlier
        self.wanted = wanted
        self.missing = 0

    def keep(self, outcome: Outcome, *, redone: bool = True) -> Outcome:
        """Writes the pictures of an image, in place of earlier ones.

        Args:
            outcome: Of the image, with its pictures.
            redone: Its record is new, too, so that earlier pictures that are not wanted any more are not true.

        Returns:
            The outcome without its pictures.

        Raises:
            OutputError: If one cannot be written.
            UsageError: If a file that is not yolocli's stands there.
        """
        wanted = self._wanted_of(outcome)
        files = dict(outcome.files) if isinstance(outcome, ImageResult) else {}
        if self.earlier:
            old = [CROP_FILES] if redone or self.wanted.crops else []
            replaced = DRAWN in files.keys() & wanted.keys()
            old += [DRAWN_FILES] if (redone or self.wanted.images) and not replaced else []
            self._folder.remove_images(old, outcome.path)
        self.missing += not wanted.keys() <= files.keys()
        for name, kind in wanted.items():
            if name in files:
                self._folder.write_image(kind, outcome.path, files.pop(name))
        return replace(outcome, files=files) if isinstance(outcome, ImageResult) else outcome

    def lacks(self, outcome: Outcome) -> bool:
        """Tells whether an image should have pictures, and one is gone or was cut off."""
        return not all(self._is_whole(files, outcome.path) for files in self._wanted_of(outcome).values())

    def _wanted_of(self, outcome: Outcome) -> dict[str, ImageFiles]:
        """Returns which pictures of an image are wanted, by what they are called in its files."""
        if not isinstance(outcome, ImageResult):
            return {}
        wanted = {DRAWN: DRAWN_FILES} if self.wanted.images else {}
        numbers: Counter[str] = Counter()
        for index, record in enumerate(outcome.detections if self.wanted.crops else ()):
            if crop_of(record, outcome.width, outcome.height) is not None:
                group = self._classes.name(record.class_id, record.name)
                numbers[group] += 1
                wanted[f"{CROPS}/{index}"] = CROP_FILES.one_of(group, numbers[group])
        return wanted

    def _is_whole(self, files: ImageFiles, path: str) -> bool:
        for place in places(files, path):
            with suppress(OSError, ValueError), open(self._folder.root / place, "rb") as stream:
                stream.seek(-len(END), os.SEEK_END)
                return stream.read() == END
        return False
