"""What a page loads as it is needed: an index of all images that it shows, their records in parts, their pictures."""

from __future__ import annotations

import base64
import math
import sys
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

from yolocli.images.colours import class_colour, css
from yolocli.output.folder import OutputFolder
from yolocli.output.formats.page import CALL, DATA, PICTURES
from yolocli.report.figures import Class
from yolocli.report.pictures import Pictures
from yolocli.report.sample import kind_of
from yolocli.report.shown import readable, shown, to_script
from yolocli.results import Outcome
from yolocli.tasks.base import Task

PART_IMAGES, PART_BYTES = 500, 1 << 19
"""Images of a part, and bytes after which it ends."""
NO_SCORE = 255
"""In the index, of what has no confidence."""


class Parts:
    """Writes what a page loads.

    Attributes:
        images: How many it shows.
        missing: How many of them have no picture, though they did not fail.
    """

    def __init__(self, folder: OutputFolder, name: str, task: Task, classes: Sequence[Class]) -> None:
        """Begins to write.

        Args:
            folder: The output folder.
            name: Of the sub-folder for all of it.
            task: Of the model.
            classes: All that are met, in the order in which the page lists them.
        """
        self._folder, self._name, self._task = folder, name, task
        self._classes: Mapping[Class, int] = {one: place for place, one in enumerate(classes)}
        self._part: list[str] = []
        self._bytes = 0
        self._starts = array("I")
        self._kinds, self._percents, self._states = array("H"), bytearray(), bytearray()
        self._counts = array("I")
        self.images = self.missing = 0

    def add(self, outcome: Outcome, pictures: Pictures) -> None:
        """Takes the next image.

        Raises:
            OutputError: If something cannot be written.
            UsageError: If a file that is not yolocli's is in the way.
        """
        entry = shown(outcome, self._task, self._classes)
        for size, jpeg in (("small", pictures.small), ("large", pictures.large)):
            if jpeg is not None:
                entry[size] = self._folder.write_image(PICTURES, f"{self._name}/{size}/{pictures.name}", jpeg)
        if pictures.missing:
            self.missing += 1
            entry["missing"] = readable(pictures.missing)
        self._to_index(outcome, entry)
        line = to_script(entry)
        if not self._part:
            self._starts.append(self.images)
        self._part.append(line)
        self._bytes += len(line)
        self.images += 1
        if len(self._part) == PART_IMAGES or self._bytes >= PART_BYTES:
            self._end_part()

    def close(self, more: Mapping[str, Any]) -> None:
        """Writes the rest, and the index.

        Args:
            more: What else the page is to know at its start.

        Raises:
            OutputError: As `add`.
            UsageError: As `add`.
        """
        self._end_part()
        index = {
            **more,
            "images": self.images,
            "classes": [{"name": readable(name), "colour": css(class_colour(index))} for index, name in self._classes],
            "starts": _packed(self._starts),
            "states": _packed(self._states),
            "counts": _packed(self._counts),
            "kinds": _packed(self._kinds),
            "percents": _packed(self._percents),
        }
        self._write("index", f"{CALL}index({to_script(index)});\n")

    def _to_index(self, outcome: Outcome, entry: Mapping[str, Any]) -> None:
        """Notes what filters need: the classes, each with the whole percents of its confidences."""
        self._states.append(kind_of(outcome))
        found = sorted({(thing["kind"], percent(thing.get("score"))) for thing in entry.get("things", ())})
        self._counts.append(len(found))
        self._kinds.extend(kind for kind, _ in found)
        self._percents.extend(share for _, share in found)

    def _end_part(self) -> None:
        if self._part:
            number = len(self._starts) - 1
            self._write(f"part-{number:04}", f"{CALL}part({number},[\n" + ",\n".join(self._part) + "\n]);\n")
        self._part, self._bytes = [], 0

    def _write(self, name: str, script: str) -> None:
        self._folder.write_image(DATA, f"{self._name}/{name}", script.encode("ascii"))


def percent(score: float | None) -> int:
    """Returns the whole percents of a confidence: not less than a threshold of whole percents if and only if it is."""
    return NO_SCORE if score is None else math.floor(round(score * 100, 6))


def _packed(values: array[int] | bytearray) -> str:
    """Returns numbers as base64 of their bytes, the least significant first."""
    if isinstance(values, array) and sys.byteorder == "big":
        values = array(values.typecode, values)
        values.byteswap()
    return base64.b64encode(values).decode()
