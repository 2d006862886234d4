"""Small pictures of the originals: made in several threads, given back in order, a bounded number at a time."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

from yolocli.errors import ImageError
from yolocli.images.header import check_header
from yolocli.images.picture import UPRIGHT
from yolocli.images.thumbnail import START, thumbnail
from yolocli.machine.cpus import usable_cpus
from yolocli.report.shown import FILE, address
from yolocli.results import ImageResult, Outcome
from yolocli.sources import read

SIDE = 320
"""Of a small picture, in pixels: sharp at the size of a tile."""
LARGE_SIDE = 1600
"""Of the picture that stands in for an original that browsers do not show."""
SHOWN_BY_BROWSERS = frozenset({".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp"})
TURNED_BY_BROWSERS = frozenset({"JPEG", "MPO"})
"""Formats whose EXIF all of them heed, and turn the image upright."""
MOST_THREADS = 8
END = b"\xff\xd9"
"""Of a JPEG that is whole."""
AHEAD = 4
"""Images in work for each thread."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """What a page shows of an image.

    Attributes:
        name: What their files are called.
        small: A JPEG; None where there is none.
        large: A larger one, if browsers do not show the original, or cannot open it without a network, if at all.
        missing: Why there is none, in words; empty for failures, whose records say it.
    """

    name: str = ""
    small: bytes | None = None
    large: bytes | None = None
    missing: str = ""


Make: TypeAlias = Callable[[Outcome], Pictures]


def pictures_of(outcome: Outcome, before: Path | None = None) -> Pictures:
    """Gives the pictures of an image; of one that failed none, as it may well fail again, and worse.

    Args:
        outcome: Of the image.
        before: Folder of what the page before shows; its pictures of the same version are taken as they are.
    """
    if not isinstance(outcome, ImageResult):
        return Pictures()
    if not outcome.ref.source:
        return Pictures(missing="It is not known where the original lies.")
    name = _name_of(outcome)
    if before is not None and outcome.ref.version:
        small, large = (_whole(before / size / f"{name}.jpg") for size in ("small", "large"))
        if small is not None:
            return Pictures(name, small, large)
    return _made(outcome, name)


def _name_of(outcome: ImageResult) -> str:
    """Returns what the pictures of an image are called: another one makes other names, in folders of a few."""
    parts = (outcome.ref.source, outcome.ref.version, str(outcome.width), str(outcome.height))
    name = hashlib.blake2b(os.fsencode("\0".join(parts)), digest_size=12).hexdigest()
    return f"{name[:2]}/{name}"


def _whole(file: Path) -> bytes | None:
    """Returns a picture that was made here; None if it is not there, or torn."""
    with suppress(OSError):
        data = file.read_bytes()
        return data if START.match(data) and data.endswith(END) else None
    return None


def _made(outcome: ImageResult, name: str) -> Pictures:
    source = outcome.ref.source
    suffix = os.path.splitext(source)[1].lower()
    pixels = outcome.width * outcome.height  # no more than the run has decoded
    try:
        data = read(source)
        small = thumbnail(data, suffix, SIDE, max_pixels=pixels)
        if (small.width, small.height) != (outcome.width, outcome.height):
            return Pictures(missing="The original has changed since the run.")
        large = None
        if not _shown_by_browsers(data, suffix, pixels) or not address(source).startswith(FILE):
            large = thumbnail(data, suffix, LARGE_SIDE, max_pixels=pixels).jpeg
    except FileNotFoundError:
        return Pictures(missing="The original is gone.")
    except OSError as error:
        return Pictures(missing=f"The original cannot be read: {error.strerror or error}.")
    except ImageError:
        return Pictures(missing="The original has changed since the run.")
    except Exception as error:  # whatever a decoder does, it is one picture of many
        return Pictures(missing=f"The original cannot be shown: {type(error).__name__}.")
    return Pictures(name, small.jpeg, large)


def _shown_by_browsers(data: bytes, suffix: str, max_pixels: int) -> bool:
    """Tells whether browsers show an original, and as upright as its boxes are."""
    header = check_header(data, max_pixels)
    upright = header.orientation == UPRIGHT or header.format in TURNED_BY_BROWSERS
    return suffix in SHOWN_BY_BROWSERS and upright


def with_pictures(outcomes: Iterable[Outcome], before: Path | None) -> Iterator[tuple[Outcome, Pictures]]:
    """Yields each outcome with its pictures, in the same order.

    Args:
        outcomes: What to make pictures of.
        before: See `pictures_of`.
    """
    make: Make = partial(pictures_of, before=before)
    threads = min(usable_cpus(), MOST_THREADS)
    with ThreadPoolExecutor(threads, "yolocli-pictures") as pool:
        waiting: deque[tuple[Outcome, Future[Pictures]]] = deque()
        try:
            for outcome in outcomes:
                waiting.append((outcome, pool.submit(make, outcome)))
                if len(waiting) > threads * AHEAD:
                    first, pictures = waiting.popleft()
                    yield first, pictures.result()
            while waiting:
                first, pictures = waiting.popleft()
                yield first, pictures.result()
        finally:
            for _, pictures in waiting:
                pictures.cancel()
