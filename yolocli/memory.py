"""Memory of this process: its peak, and whether what is freed is kept for the next image."""

from __future__ import annotations

import sys

from yolocli.cpus import usable_cpus

KEPT_BLOCK = 128 << 20
"""Blocks up to this size, in bytes, come from memory that is used again: an image of 42 megapixels is one."""
KEPT_MEMORY = 256 << 20
"""Free bytes at the end of the heap above which they go back to the system."""
OLDER_BLOCK = 32 << 20
"""The largest `KEPT_BLOCK` that older versions of glibc take."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h of glibc


def peak_memory() -> int:
    """Returns the largest resident size so far, in bytes; pages shared with other processes are counted in each."""
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # macOS gives bytes, Linux kilobytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


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
