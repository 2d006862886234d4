"""What memory there is, and that what is freed is used again: page faults are counted, not seconds."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import REPOSITORY, clean_environment
from yolocli.machine.memory import available_memory

LARGE = 300 << 20

FAULTS = """
import resource, sys
import numpy as np
from yolocli.machine.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def image():
    np.empty((3000, 4000, 3), np.uint8).fill(1)
image()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    image()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators are left as they are")
def test_images_of_twelve_megapixels_use_the_same_memory_again() -> None:
    plain, kept = (
        int(subprocess.check_output([sys.executable, "-c", FAULTS, how], env=clean_environment()))
        for how in ("plain", "keep")
    )
    assert plain > 20
    assert kept < plain / 10


MEMINFO = (
    "MemTotal:       8000000 kB\nMemFree:         100000 kB\nMemAvailable:   4000000 kB\nHugePages_Total:       0\n"
)
MACHINE = 4_000_000 * 1024


def available(root: Path) -> int | None:
    """What a process whose own group is listed in a file of the folder may take."""
    return available_memory(root / "meminfo", root, root / "own")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    (tmp_path / "meminfo").write_text(MEMINFO)
    return tmp_path


def _limit(folder: Path, version: int, limit: object, used: int, cached: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = ("max", "current", "inactive_file")
    if version == 1:
        names = ("limit_in_bytes", "usage_in_bytes", "total_inactive_file")
    (folder / f"memory.{names[0]}").write_text(f"{limit}\n")
    (folder / f"memory.{names[1]}").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\n{names[2]} {cached}\n")


def test_without_a_group_there_is_what_the_machine_has(machine: Path) -> None:
    assert available(machine) == MACHINE


def test_a_system_that_does_not_say_what_it_has(tmp_path: Path) -> None:
    assert available(tmp_path) is None
    (tmp_path / "meminfo").write_text("nonsense\n")
    assert available(tmp_path) is None


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("limit", "used", "cached", "expected"),
    [
        (2_000_000_000, 500_000_000, 0, 1_500_000_000),
        (2_000_000_000, 500_000_000, 100_000_000, 1_600_000_000),
        (2_000_000_000, 2_000_000_001, 0, 0),
        (9_000_000_000, 500_000_000, 0, MACHINE),
        (9223372036854771712, 500_000_000, 0, MACHINE),
        ("max", 500_000_000, 0, MACHINE),
        ("nonsense", 500_000_000, 0, MACHINE),
    ],
)
def test_a_group_leaves_what_its_limit_says(
    machine: Path, version: int, limit: object, used: int, cached: int, expected: int
) -> None:
    _limit(machine / "memory" if version == 1 else machine, version, limit, used, cached)
    assert available(machine) == expected


@pytest.mark.parametrize("version", [1, 2])
def test_the_groups_above_limit_memory_too(machine: Path, version: int) -> None:
    hierarchy = machine / "memory" if version == 1 else machine
    _limit(hierarchy / "slice", version, 1_000_000_000, 700_000_000)
    _limit(hierarchy / "slice/unit", version, 900_000_000, 100_000_000)
    _limit(hierarchy / "slice/other", version, 100_000_000, 100_000_000)
    (machine / "own").write_text("4:cpu:/slice/other\n3:memory:/slice/unit\n" if version == 1 else "0::/slice/unit\n")
    assert available(machine) == 300_000_000


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="read from /proc")
def test_memory_is_looked_at_for_real() -> None:
    found = available_memory()
    assert found is not None
    assert found > 50 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="what Linux says")
def test_the_peak_is_this_processs_and_not_that_of_what_started_it() -> None:
    code = f"""
import subprocess, sys
large = b"x" * {LARGE}
own = "from yolocli.machine.memory import peak_memory; print(peak_memory())"
print(subprocess.run([sys.executable, "-c", own], capture_output=True, text=True, check=True).stdout)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert 0 < int(done.stdout) < LARGE
