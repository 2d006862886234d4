"""What the files of images are called on disk: every image has one, whatever its name, and no two have the same."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from yolocli.output.sink import ImageFiles

MAX_NAME_BYTES = 255
MAX_PATH = 800
"""Characters of a path in the records that the output folder takes as it is; systems stop at 1,024 or 4,096 bytes."""
MAX_CLASS_BYTES = 100
"""Of the name of a class; what is below its folder needs room, too."""
NOTHING_FOUND = "nothing-found"
"""No class has a folder of this name."""
_DIGESTED = re.compile(r"(^~[0-9a-f]{32}|~[0-9a-f]{16})$")
"""Names that others have whose own cannot be."""
_UNSAFE = re.compile(r'[\0-\x1f\x7f-\x9f"%*/:<>?\\|~\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]|^[. ]')
"""What Windows refuses, this encoding itself is made of, turns text around, or is no UTF-8; and what hides a folder."""
_RESERVED = re.compile(rf"(?i)(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?|{NOTHING_FOUND}")
"""Devices of Windows, whatever is behind a dot."""


def places(files: ImageFiles, path: str) -> Iterator[Path]:
    """Yields where the file for an image lies: see `per_image`; and where, if the disk cannot hold that name."""
    yield per_image(files, path)
    digest = hashlib.blake2b(os.fsencode(path), digest_size=16).hexdigest()
    yield Path(files.folder, f"~{digest}{files.suffix}")


def per_image(files: ImageFiles, path: str) -> Path:
    """Returns where the file for an image lies: in a sub-folder, by the image's path in the records.

    A name that would be longer than file systems allow is shortened, and told apart by a hash of the whole. So is a
    path that no file can have, such as a listed name with a NUL byte: its record says so, and has its file, too. And
    so is a name that looks as if all of that had been done.

    Args:
        files: Which of its files.
        path: '/'-separated path from the record.
    """
    suffix = files.suffix
    *parents, name = [part for part in path.split("/") if part not in {"", ".", ".."}] or ["~"]
    # a folder called x.jpg.json must not stand where the file for x.jpg goes, whatever number stands before .json
    last = suffix[suffix.rfind(".") :]
    parents = [part + "~" if part.rstrip("~").endswith(last) else part for part in parents]
    encoded, whole = os.fsencode(name), os.fsencode(name)
    impossible = (
        path.split("/")[-1] == "."
        or "\0" in path
        or _DIGESTED.search(path) is not None
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


class ClassFolders:
    """What the folders of classes are called: as the class, as far as any disk can have it, and no two the same.

    Classes of one name, or of names that some disks take for one, have their index behind it; so have names that no
    folder can have whole. Nothing else has a `~`.
    """

    def __init__(self, names: Mapping[int, str]) -> None:
        """Takes all classes of a model, by index."""
        self._times = Counter(map(_alike, names.values()))

    def name(self, index: int, name: str) -> str:
        """Returns what the folder of a class is called: characters that not every disk takes are percent-encoded."""
        plain = _UNSAFE.sub(lambda found: "".join(f"%{byte:02X}" for byte in _bytes(found[0])), name)
        short = plain.encode()[:MAX_CLASS_BYTES].decode("utf-8", "ignore").rstrip(". ")
        if _RESERVED.fullmatch(short):
            return f"{short.replace('.', '%2E')}~{index}"
        if short != plain or not plain or self._times[_alike(name)] > 1:
            return f"{short}~{index}"
        return plain


def _alike(name: str) -> str:
    """Returns what is the same for names that macOS or Windows take for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
