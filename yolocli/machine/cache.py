"""The per-user cache: downloaded weights, converted models, the settings file that Ultralytics insists on.

A model in it decides what a run finds, so a place counts only if nobody but the user and root can have written to it.
"""

from __future__ import annotations

import atexit
import os
import shutil
import stat
import tempfile
from pathlib import Path

from yolocli.errors import OutputError

CACHE_VARIABLE = "YOLOCLI_CACHE_DIR"


def cache_folder(*parts: str) -> Path:
    """Returns a folder of the cache, made if need be; a temporary one where the user has no writable home.

    Raises:
        OutputError: If there is no folder that can be written to.
    """
    root = _root()
    try:
        return _made(root, parts)
    except OSError as first:
        try:
            return _made(_temporary(), parts)
        except OSError as error:
            raise OutputError(
                f"{root}: the cache cannot be written: {first.strerror or first}, and there is no temporary folder in "
                f"its place; give one that can with {CACHE_VARIABLE}"
            ) from error


def find_cached(*parts: str) -> Path | None:
    """Returns a file or folder of the cache, which may be one that others have filled and the user can only read."""
    root = _root()
    for place in (root,) if _can_be_written(root) else (root, _temporary_name()):
        path = place.joinpath(*parts)
        if os.path.exists(path) and distrust(path) is None:
            return path
    return None


def why_unused() -> str | None:
    """Returns why a cache that exists is not used, in a line; None if it is, or if there is none."""
    root = _root()
    reason = distrust(root) if os.path.exists(root) else None
    return None if reason is None else f"{root}: this cache is not used: {reason}"


def distrust(path: Path) -> str | None:
    """Returns who else could have written a file or folder, or have put another in its place; None if nobody could."""
    if not hasattr(os, "getuid"):  # Windows has no such bits; a home there is its user's own
        return None
    real = Path(os.path.realpath(path))
    inside = sorted(real.iterdir()) if os.path.isdir(real) and os.access(real, os.R_OK) else []
    lexical = Path(os.path.abspath(path))
    for step in [*reversed(lexical.parents), lexical, *reversed(real.parents), real, *inside]:
        try:
            reason = _distrusted(os.lstat(step))
        except FileNotFoundError as error:
            if step in inside:  # a lock or a work folder of another run, gone since it was listed
                continue
            reason = error.strerror
        except OSError as error:
            reason = error.strerror or str(error)
        if reason is not None:
            return f"{step} {reason}"
    return None


def _distrusted(status: os.stat_result) -> str | None:
    if status.st_uid not in {0, os.getuid()}:
        return f"belongs to another user ({status.st_uid})"
    if stat.S_ISLNK(status.st_mode) or status.st_mode & stat.S_ISVTX:
        return None
    # on many systems a user's files are open to a group of that user alone
    others = status.st_mode & stat.S_IWOTH or (status.st_mode & stat.S_IWGRP and status.st_gid not in {0, os.getgid()})
    return "can be written by other users" if others else None


def _can_be_written(folder: Path) -> bool:
    """Tells whether a folder, or the nearest above it that is there, takes new files."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    return os.access(there, os.W_OK)


def _root() -> Path:
    import platformdirs

    return Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_path("yolocli"))


def _temporary_name() -> Path:
    return Path(tempfile.gettempdir()) / f"yolocli-{os.getuid() if hasattr(os, 'getuid') else 'user'}"


def _temporary() -> Path:
    """Returns a folder for the time that the system keeps it; for this process alone if the name has been taken.

    Raises:
        OSError: If there can be none.
    """
    folder = _temporary_name()
    folder.mkdir(mode=0o700, exist_ok=True)
    if _is_own(folder):
        return folder
    private = tempfile.mkdtemp(prefix="yolocli-")
    atexit.register(shutil.rmtree, private, ignore_errors=True)
    os.environ[CACHE_VARIABLE] = private  # so that it is one for this process and its children
    return Path(private)


def _made(root: Path, parts: tuple[str, ...]) -> Path:
    folder = root.joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not _is_own(folder):
        raise PermissionError(f"{folder} is not writable")
    return folder


def _is_own(folder: Path) -> bool:
    own = not hasattr(os, "getuid") or os.stat(folder).st_uid == os.getuid()
    return own and os.access(folder, os.W_OK) and distrust(folder) is None
