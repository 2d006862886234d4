"""Where the limits of this process's cgroup are written, in version 1 and 2."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")


def folders(controller: str, root: Path = ROOT, own: Path = OWN) -> Iterator[Path]:
    """Yields the folders of the process's group and of those above it, all of which limit it, some twice.

    Args:
        controller: Of version 1, where each has a folder: `cpu` or `memory`.
        root: Where the hierarchy is mounted: version 2's, or the folder of version 1's controllers.
        own: Names the process's own group in it; inside a container that is often the root.
    """
    for hierarchy, group in _groups(controller, own):
        folder = root / hierarchy / group.lstrip("/")
        for place in (folder, *folder.parents):
            yield place
            if place == root:
                break


def _groups(controller: str, own: Path) -> list[tuple[str, str]]:
    """Returns (folder of the hierarchy, group) pairs to look at; the roots are always among them."""
    groups = [("", "/"), (controller, "/")]
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return groups
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if not controllers:
            groups.append(("", group))
        elif controller in controllers.split(","):
            groups.append((controller, group))
    return groups
