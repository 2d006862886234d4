"""Which files are images, by their names."""

from __future__ import annotations

import os

IMAGE_SUFFIXES = frozenset(
    (".avif", ".bmp", ".dng", ".heic", ".heif", ".jp2", ".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff", ".webp")
)
"""The image suffixes of Ultralytics 8.4 (`ultralytics.data.utils.IMG_FORMATS`), compared without case."""
VIDEO_SUFFIXES = frozenset((".asf", ".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv"))
"""The video suffixes of Ultralytics 8.4 (`ultralytics.data.utils.VID_FORMATS`), compared without case."""


def suffix_of(name: str) -> str:
    """Returns the suffix of a name or path, with its dot, in lower case; empty if there is none."""
    return os.path.splitext(name)[1].lower()


def is_image(name: str) -> bool:
    """Tells whether a name has the suffix of an image."""
    return suffix_of(name) in IMAGE_SUFFIXES
