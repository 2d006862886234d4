"""The per-user cache: downloaded weights, converted models, the settings file that Ultralytics insists on."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

CACHE_VARIABLE = "YOLOCLI_CACHE_DIR"


def cache_folder(*parts: str) -> Path:
    """Returns a folder of the cache, made if need be; a temporary one where the user has no writable home."""
    import platformdirs

    root = Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_path("yolocli"))
    try:
        return _made(root, parts)
    except OSError:
        user = os.getuid() if hasattr(os, "getuid") else "user"
        return _made(Path(tempfile.gettempdir()) / f"yolocli-{user}", parts)


def _made(root: Path, parts: tuple[str, ...]) -> Path:
    folder = root.joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not os.access(folder, os.W_OK) or (hasattr(os, "getuid") and folder.stat().st_uid != os.getuid()):
        raise PermissionError(f"{folder} is not writable")
    return folder
