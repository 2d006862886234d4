"""What people give in place of images, named as what it is."""

from __future__ import annotations

import os
import re

VIDEO_SUFFIXES = frozenset((".asf", ".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv"))
"""The video suffixes of Ultralytics 8.4 (`ultralytics.data.utils.VID_FORMATS`), compared without case."""

_URL = re.compile(r"(^|[\\/])(https?|ftp|rtsp|s3|gs):[\\/]", re.IGNORECASE)
"""At the beginning, or behind the folder that a name was made absolute with."""


def foreign(name: str) -> str | None:
    """Returns what a name stands for that yolocli does not read, and what to do; None if it may be a file to read."""
    if _URL.search(name):
        return "is a URL; yolocli reads files: download it first"
    if os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES:
        return "is a video; yolocli reads images: take frames out of it first"
    return None
