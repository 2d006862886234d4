"""What the files of images are called on disk: every image has one, whatever its name, and no two have the same."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from yolocli.output.sink import ImageFiles

MAX_NAME_BYTES = 255
MAX_PATH = 800
"""Characters of a path in the records that the output folder takes as it is; systems stop at 1,024 or 4,096 bytes."""


def places(files: ImageFiles, path: str) -> Iterator[Path]:
    """Yields where the file for an image lies: see `per_image`; and where, if the disk cannot hold that name."""
    yield per_image(files, path)
    digest = hashlib.blake2b(os.fsencode(path), digest_size=16).hexdigest()
    yield Path(files.folder, f"~{digest}{files.suffix}")


def per_image(files: ImageFiles, path: str) -> Path:
    """Returns where the file for an image lies: in a sub-folder, by the image's path in the records.

    A name that would be longer than file systems allow is shortened, and told apart by a hash of the whole. So is a
    path that no file can have, such as a listed name with a NUL byte: its record says so, and has its file, too.

    Args:
        files: Which of its files.
        path: '/'-separated path from the record.
    """
    suffix = files.suffix
    *parents, name = [part for part in path.split("/") if part not in {"", ".", ".."}] or ["~"]
    # a folder called x.jpg.json must not stand where the file for x.jpg goes
    parents = [part + "~" if part.rstrip("~").endswith(suffix) else part for part in parents]
    encoded, whole = os.fsencode(name), os.fsencode(name)
    impossible = (
        path.split("/")[-1] == "."
        or "\0" in path
        or len(path) > MAX_PATH
        or any(len(os.fsencode(part)) > MAX_NAME_BYTES for part in parents)
    )
    if impossible:
        parents, encoded, whole = [], encoded.replace(b"\0", b"~"), os.fsencode(path)
    if impossible or len(encoded) + len(suffix) > MAX_NAME_BYTES:
        digest = hashlib.blake2b(whole, digest_size=8).hexdigest()
        kept = encoded[: MAX_NAME_BYTES - len(suffix) - len(digest) - 1]
        name = os.fsdecode(kept.decode("utf-8", "ignore").encode() or b"") + "~" + digest
    return Path(files.folder, *parents, name + suffix)
