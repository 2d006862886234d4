"""The maps of images as files: not projections of the journal, as only who has an image's pixels can make one."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from yolocli.images.png import END, HEADER_BYTES, SIGNATURE, SOFTWARE
from yolocli.output.folder import OutputFolder
from yolocli.output.formats.base import Format
from yolocli.output.past import Past
from yolocli.output.sink import ImageFiles
from yolocli.results import ImageResult, Outcome
from yolocli.tasks.whole import MAP, MAPS

_BEFORE_SOFTWARE = HEADER_BYTES + 4
_TORN = b"[%b]{0,%d}\\Z" % (SIGNATURE, len(SIGNATURE) - 1)
_AFTER_SIGNATURE = b".{%d}%b|.{0,%d}\\Z" % (_BEFORE_SOFTWARE, SOFTWARE, _BEFORE_SOFTWARE + len(SOFTWARE) - 1)
START = re.compile(b"(?s)%b|%b(?:%b)" % (_TORN, SIGNATURE, _AFTER_SIGNATURE))
FILES = ImageFiles(MAPS, ".png", START)
FORMAT = Format(images=(FILES,))
"""For the lists of what is yolocli's."""


class Maps:
    """The maps in an output folder.

    Attributes:
        formats: What is written: `FORMAT`, if maps are wanted.
    """

    def __init__(self, folder: OutputFolder, wanted: bool) -> None:
        self._folder = folder
        self.formats = (FORMAT,) if wanted else ()

    def keep(self, outcome: Outcome) -> Outcome:
        """Writes the map of an image, in place of an earlier one.

        Returns:
            The outcome, with the name of the file and without its content.

        Raises:
            OutputError: If it cannot be written.
            UsageError: If a file that is not yolocli's stands there.
        """
        if not self.formats:
            return outcome
        if not isinstance(outcome, ImageResult) or MAPS not in outcome.files:
            self._folder.remove_images((FILES,), outcome.path)
            return outcome
        file = self._folder.write_image(FILES, outcome.path, outcome.files[MAPS])
        others = {name: data for name, data in outcome.files.items() if name != MAPS}
        return replace(outcome, more={**outcome.more, MAP: {"file": file, **outcome.more[MAP]}}, files=others)

    def has_lost(self, past: Past, path: str) -> bool:
        """Tells, if maps are wanted, whether an image that was done has one, and its file is gone or was cut off."""
        outcome = past.outcome(path) if self.formats else None
        named = outcome.more.get(MAP) if isinstance(outcome, ImageResult) else None
        if named is None:
            return False
        with suppress(OSError), open(self._folder.root / named["file"], "rb") as stream:
            stream.seek(-len(END), os.SEEK_END)
            return stream.read() != END
        return True


def without_map(more: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of a record for a folder that has no maps."""
    return {name: value for name, value in more.items() if name != MAP}
