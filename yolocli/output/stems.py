"""What files are called that take the place of an image's suffix with their own: 1.jpg has 1.txt, or 1.xml."""

from __future__ import annotations

import hashlib
import os
import re

from yolocli.output.places import MAX_PATH
from yolocli.sources.suffixes import IMAGE_SUFFIXES, suffix_of

MOST_BYTES = 240
"""Of a part of a name; systems stop at 255, and a suffix may be added."""
PLAIN_SUFFIX = ".jpg"
"""For the link to an image without a suffix: readers take none without one, and look at the content then."""
_SUFFIXES = tuple(sorted(IMAGE_SUFFIXES))
_GUARDED = (".txt", ".xml", *_SUFFIXES)
_BEHIND = "0"
"""Sorts behind all that begins with a dot, or with `/`, which input order has before everything else."""
_SWAPPED = "images"
"""Readers take a path with `labels` for the last `images` in it; a sub-folder of that name would mislead them."""
_UNREADABLE = re.compile(r"[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\\]|(^|/)(\.|/|$)|^~")
"""Line breaks and bytes that are no UTF-8, hidden names, no names at all, and what begins as `plainer` ones do."""


class Stems:
    """Names without suffixes, each given once.

    Of several images that differ by their suffix alone, the first in input order has the plain one, and the others keep
    their suffix in it: 1.jpg has 1, then 1.png has 1.png. As names that begin alike follow each other, only those are
    remembered that the current one begins with; and no longer than until what follows sorts behind any suffix.
    """

    def __init__(self) -> None:
        self._taken: list[str] = []

    def name(self, path: str, place: str = "") -> tuple[str, str]:
        """Returns what files about an image are called, without their suffix, and the suffix of the image.

        Args:
            path: Of the image, as in its record; to be given in input order.
            place: What they are named by in place of the path; its last part is that of the path.
        """
        suffix, place = usual_suffix(path), place or path
        if unusual(place, _UNREADABLE):
            return plainer(path), suffix
        whole = path.removesuffix(suffix)
        self._taken = [stem for stem in self._taken if path.startswith(stem) and path[len(stem) :] < _BEHIND]
        if whole in self._taken:
            whole = path
        self._taken.append(whole)
        *parents, last = place[: len(place) - len(path) + len(whole)].split("/")
        return "/".join([*map(_guarded, parents), last]), suffix if suffix_of(path) in IMAGE_SUFFIXES else PLAIN_SUFFIX


def plainer(path: str) -> str:
    """Returns a stem that every disk can hold, and no other image has."""
    return "~" + hashlib.blake2b(os.fsencode(path), digest_size=16).hexdigest()


def usual_suffix(path: str) -> str:
    """Returns the suffix of an image as it is written, with its dot; empty if it is none of an image."""
    return os.path.splitext(path)[1] if suffix_of(path) in IMAGE_SUFFIXES else ""


def unusual(path: str, wrong: re.Pattern[str]) -> bool:
    """Tells whether a path has what no file can have, or what is said to be wrong."""
    parts = path.split("/")
    return (
        wrong.search(path) is not None
        or len(path) > MAX_PATH
        or any(part in {"", os.curdir, os.pardir} or len(os.fsencode(part)) > MOST_BYTES for part in parts)
    )


def guarded(part: str, endings: tuple[str, ...] = _SUFFIXES) -> str:
    """Returns a folder's name, so that none stands where a file goes, or is taken for another folder.

    Args:
        part: The name as it is.
        endings: What names of files end with.
    """
    return part + "~" if part.rstrip("~").lower().endswith(endings) else part


def _guarded(part: str) -> str:
    return part + "~" if part.rstrip("~") == _SWAPPED else guarded(part, _GUARDED)
