"""What people give in place of images, named as what it is."""

from __future__ import annotations

import re

from yolocli.sources.suffixes import VIDEO_SUFFIXES, suffix_of

_URL = re.compile(r"^[a-z][a-z0-9+.-]+://|(^|[\\/])(https?|ftp|rtsp|s3|gs|az|hf):[\\/]", re.IGNORECASE)
"""At the beginning, or behind the folder that a name was made absolute with."""


def foreign(name: str) -> str | None:
    """Returns what a name stands for that yolocli does not read, and what to do; None if it may be a file to read."""
    if _URL.search(name):
        return "is a URL; yolocli reads files: download it first"
    if suffix_of(name) in VIDEO_SUFFIXES:
        return "is a video; yolocli reads images: take frames out of it first"
    return None
