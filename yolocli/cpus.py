"""How many CPUs this process may really use, and how to share them between workers."""

from __future__ import annotations

import math
import os
from pathlib import Path

from yolocli.config import Mode


def usable_cpus() -> int:
    """Returns the CPUs left by the affinity mask and the cgroup's quota, at least 1."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(available, _cgroup_quota() or available))


def share_cpus(mode: Mode, workers: int, threads: int, cpus: int) -> tuple[int, int]:
    """Returns (workers, threads of each detector) that never ask for more than the CPUs there are, unless told to.

    One detector a worker gets an equal share of the cores. The locked mode has one detector, which gets all of
    them, and one worker more than cores, so that decoding goes on while the network runs.

    Args:
        mode: Who owns the detector.
        workers: What the user asked for; 0 to choose.
        threads: What the user asked for; 0 to choose.
        cpus: CPUs that may be used.
    """
    if mode is Mode.locked:
        return workers or cpus + 1, threads or cpus
    if not workers:
        workers = max(1, cpus // threads) if threads else cpus
    return workers, threads or max(1, cpus // workers)


def _cgroup_quota(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int | None:
    """Returns the whole CPUs that the bandwidth limits of the process's cgroup and its parents allow, None without.

    Args:
        root: Where the hierarchy is mounted: v2's, or the folder of v1's controllers.
        own: Names the process's own group in it; inside a container that is often the root.
    """
    limits = []
    for controller, group in _groups(own):
        folder = root / controller / group.lstrip("/")
        for place in (folder, *folder.parents):
            limits.append(_quota(place))
            if place == root:
                break
    return min((limit for limit in limits if limit is not None), default=None)


def _groups(own: Path) -> list[tuple[str, str]]:
    """Returns (folder of the controller, group) pairs to look at; the roots are always among them."""
    groups = [("", "/"), ("cpu", "/")]
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return groups
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if not controllers:
            groups.append(("", group))
        elif "cpu" in controllers.split(","):
            groups.append(("cpu", group))
    return groups


def _quota(folder: Path) -> int | None:
    for files in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            quota, period = " ".join((folder / name).read_text() for name in files).split()
            if quota in {"max", "-1"}:
                return None
            return max(1, math.ceil(int(quota) / int(period)))
        except (OSError, ValueError, ZeroDivisionError):  # not there, or nothing that can be understood
            continue
    return None
