"""Memory: what there is, this process's peak, and whether what is freed is kept for the next image."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from pathlib import Path

from yolocli.machine.cgroup import OWN, ROOT, folders
from yolocli.machine.cpus import usable_cpus

KEPT_BLOCK = 128 << 20
"""Blocks up to this size, in bytes, come from memory that is used again: an image of 42 megapixels is one."""
KEPT_MEMORY = 256 << 20
"""Free bytes at the end of the heap above which they go back to the system."""
OLDER_BLOCK = 32 << 20
"""The largest `KEPT_BLOCK` that older versions of glibc take."""
_PEAK = re.compile(rb"^VmHWM:\s*(\d+) kB", re.MULTILINE)
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h of glibc


def peak_memory() -> int:
    """Returns the largest resident size so far, in bytes; pages shared with other processes are counted in each."""
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    with suppress(OSError):  # Linux; what getrusage says begins with the size of the process that started this one
        if found := _PEAK.search(Path("/proc/self/status").read_bytes()):
            return int(found[1]) * 1024
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # macOS gives bytes, Linux kilobytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def available_memory(meminfo: Path = Path("/proc/meminfo"), root: Path = ROOT, own: Path = OWN) -> int | None:
    """Returns the bytes that may still be taken: of the machine, or what its cgroups leave this process, if less.

    None where the system does not say. What files keep in memory counts as free, if it has not been used lately.

    Args:
        meminfo: Linux's figures of the whole machine.
        root: See `cgroup.folders`.
        own: See `cgroup.folders`.
    """
    if sys.platform == "win32":
        import psutil

        return int(psutil.virtual_memory().available)
    try:
        machine = _figures(meminfo)["MemAvailable:"] * 1024
    except (OSError, KeyError):
        return None
    left = (_left(folder) for folder in folders("memory", root, own))
    return max(0, min([machine, *(limit for limit in left if limit is not None)]))


def _left(folder: Path) -> int | None:
    """Returns the bytes that a cgroup's limit leaves; None if there is no limit."""
    for limit, usage, cached in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            most, used = int((folder / limit).read_text()), int((folder / usage).read_text())
            return most - used + _figures(folder / "memory.stat").get(cached, 0)
        except (OSError, ValueError):  # not there, or "max"
            continue
    return None


def _figures(path: Path) -> dict[str, int]:
    """Returns the numbers of a file whose lines are a name, a number and perhaps a unit."""
    lines = (line.split() for line in path.read_text().splitlines())
    return {words[0]: int(words[1]) for words in lines if len(words) > 1 and words[1].isdecimal()}


def keep_freed_memory() -> None:
    """Makes glibc use again what an image took, where it would give it back to the system after each.

    To be given new pages for every image takes as long as decoding it. Other allocators are left as they are.
    """
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, KEPT_BLOCK) or mallopt(_M_MMAP_THRESHOLD, OLDER_BLOCK)
        mallopt(_M_TRIM_THRESHOLD, KEPT_MEMORY)
        mallopt(_M_ARENA_MAX, usable_cpus())  # more threads than that would each keep some for themselves
