"""What is freed is used again. Page faults are counted, not seconds."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from tests.support import clean_environment

FAULTS = """
import resource, sys
import numpy as np
from yolocli.memory import keep_freed_memory
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
