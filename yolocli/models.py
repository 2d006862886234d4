"""From the name of a model to a file on this machine, and to its fingerprint."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Protocol

from yolocli.errors import ModelError
from yolocli.machine.cache import cache_folder, find_cached
from yolocli.stores import is_url
from yolocli.stores.base import StoreError
from yolocli.stores.download import download, fingerprint
from yolocli.stores.secrets import without_secrets

BUILTIN = "builtin"
OFFICIAL = re.compile(
    r"rtdetr-[lx]\.pt|yolo(v3|v5|v8|v9|v10|11|12|26|e-v8|e-11|e-26|_nas_)[a-z]?6?(u|-(spp|tiny)u|-"
    r"(cls|seg|seg-pf|sem|pose|pose-p6|obb|oiv7|depth|objv1-150|objv1-seg|distill|sem-ade20k|world|worldv2|grayscale|"
    r"reid))?\.pt"
)
"""Names of official detectors, and some that only look so; Ultralytics knows, but its import takes seconds."""


class Downloads(Protocol):
    """Where official models come from; asked only when one is not here."""

    def offers(self, name: str) -> bool:
        """Tells whether there is an official model of this name."""
        ...

    def fetch(self, target: Path) -> None:
        """Downloads the model of a file's name to it; raises whatever the network does."""
        ...


def resolve_model(name: str, downloads: Downloads) -> Path:
    """Returns the path of a model, absolute; an official one that is missing is downloaded once, into the cache.

    Args:
        name: A path, a URL, an official name such as `yolo11n.pt`, or `builtin`. A bare official name is never a file
            of the current folder, which has another owner, perhaps; `./yolo11n.pt` is.
        downloads: Fetches an official model.

    Raises:
        ModelError: If there is no such file, or it cannot be downloaded.
    """
    if name == BUILTIN:
        from yolocli.builtin import WEIGHTS

        return WEIGHTS
    if is_url(name):
        return _from_store(name)
    path = Path(name)
    official = OFFICIAL.fullmatch(name) is not None
    try:
        here = path.exists()
    except OSError as error:
        raise ModelError(f"{name}: {error.strerror or error}; check the path given to --model") from error
    if here and not official:
        return path.absolute()
    if path.name != name:
        raise ModelError(f"{name}: no such model; check the path given to --model")
    return find_cached("weights", name) or _download(cache_folder("weights").absolute() / name, path, downloads)


def sha256(path: Path) -> str:
    """Returns the hex digest of a model: of the file, or of all files of a folder with their names.

    Raises:
        ModelError: If it cannot be read.
    """
    digest = hashlib.sha256()
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    try:
        for file in files:
            if path.is_dir():
                digest.update(os.fsencode(file.relative_to(path)) + b"\0")
            with open(file, "rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    return digest.hexdigest()


def _from_store(url: str) -> Path:
    """Returns a copy, in the cache, of a model in a store: a file or a folder, as it is there now."""
    from filelock import FileLock

    try:
        folder = cache_folder("weights", "stores", fingerprint(url))
        target = folder.absolute() / url.rstrip("/").rpartition("/")[2]
        with FileLock(folder / ".lock"), tempfile.TemporaryDirectory(dir=folder) as partial:
            if not target.exists():
                download(url, Path(partial, target.name))
                os.rename(Path(partial, target.name), target)
    except StoreError as error:
        raise ModelError(f"--model {without_secrets(url)}: {error}") from None
    return target


def _download(target: Path, here: Path, downloads: Downloads) -> Path:
    """Downloads an official model; a file `here` that only looks like one is what was meant."""
    from filelock import FileLock

    offered = downloads.offers(target.name)
    ways = (
        f"Give the path of a file you have with --model (or in YOLOCLI_MODEL), or put it at {target}, "
        f"or use --model {BUILTIN}, which finds codes only"
    )
    if not offered and here.exists():
        return here.absolute()
    if here.exists():
        ways = f"The file of this name in the current folder is {os.path.join(os.curdir, here)}. {ways}"
    if not offered:
        raise ModelError(f"{target.name}: no such file, and no official model has this name. {ways}")
    with FileLock(target.with_suffix(".lock")), contextlib.redirect_stdout(sys.stderr):
        if target.exists():  # another process was faster
            return target
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            partial = Path(folder) / target.name
            try:
                downloads.fetch(partial)
                shutil.move(partial, target)
            except Exception as error:  # whatever the network does, the way out is the same
                reason = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
                raise ModelError(f"{target.name}: is not here and could not be downloaded{reason}. {ways}") from error
    return target
