"""Peak memory of this process."""

from __future__ import annotations

import sys


def peak_memory() -> int:
    """Returns the largest resident size so far, in bytes; pages shared with other processes are counted in each."""
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # macOS gives bytes, Linux kilobytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
