"""The per-user cache: downloaded weights, converted models, the settings file that Ultralytics insists on."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from yolocli.errors import OutputError

CACHE_VARIABLE = "YOLOCLI_CACHE_DIR"


def cache_folder(*parts: str) -> Path:
    """Returns a folder of the cache, made if need be; a temporary one where the user has no writable home.

    Raises:
        OutputError: If there is no folder that can be written to.
    """
    import platformdirs

    root = Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_path("yolocli"))
    try:
        return _made(root, parts)
    except OSError as first:
        user = os.getuid() if hasattr(os, "getuid") else "user"
        try:
            return _made(Path(tempfile.gettempdir()) / f"yolocli-{user}", parts)
        except OSError as error:
            raise OutputError(
                f"{root}: the cache cannot be written: {first.strerror or first}, and there is no temporary folder in "
                f"its place; give one that can with {CACHE_VARIABLE}"
            ) from error


def _made(root: Path, parts: tuple[str, ...]) -> Path:
    folder = root.joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not os.access(folder, os.W_OK) or (hasattr(os, "getuid") and folder.stat().st_uid != os.getuid()):
        raise PermissionError(f"{folder} is not writable")
    return folder
