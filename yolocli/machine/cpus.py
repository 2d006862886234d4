"""How many CPUs this process may really use, and how to share them between workers."""

from __future__ import annotations

import math
import os
from pathlib import Path

from yolocli.machine.cgroup import OWN, ROOT, folders

WORKERS_PER_GPU = 4
"""A photograph takes some 6 ms of a core to be read, decoded and letterboxed, and 1 or 2 ms of a GPU: four workers keep
one busy. Each has a model and a batch in its memory, so as many as a large machine has cores would only crowd it."""


def usable_cpus() -> int:
    """Returns the CPUs left by the affinity mask and the cgroup's quota, at least 1."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(available, _cgroup_quota() or available))


def share_cpus(shared: bool, workers: int, threads: int, cpus: int, gpus: int = 0) -> tuple[int, int]:
    """Returns (workers, threads of each detector) that never ask for more than the CPUs there are, unless told to.

    One detector a worker gets an equal share of the cores. One that all share gets all of them, and
    there is one worker more than cores, so that decoding goes on while the network runs.

    Args:
        shared: All workers share one detector.
        workers: What the user asked for; 0 to choose.
        threads: What the user asked for; 0 to choose.
        cpus: CPUs that may be used.
        gpus: GPUs that networks run on; 0 where they run on the CPUs.
    """
    if shared:
        return workers or cpus + 1, threads or cpus
    if not workers:
        workers = max(1, cpus // threads) if threads else cpus
        workers = min(workers, WORKERS_PER_GPU * gpus) if gpus else workers
    return workers, threads or max(1, cpus // workers)


def _cgroup_quota(root: Path = ROOT, own: Path = OWN) -> int | None:
    """Returns the whole CPUs that the bandwidth limits of the process's cgroups allow, None without; see `folders`."""
    limits = (_quota(folder) for folder in folders("cpu", root, own))
    return min((limit for limit in limits if limit is not None), default=None)


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
