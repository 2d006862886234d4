"""The programs that results are written for, each asked what it reads: they live in an environment of their own.

`make readers` makes it; YOLOCLI_TEST_READERS names the Python of another one.
"""

from __future__ import annotations

import json
import os
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.support import REPOSITORY

READERS = Path(os.environ.get("YOLOCLI_TEST_READERS") or REPOSITORY / ".readers" / "bin" / "python")


def read_with_reader(code: str, *arguments: str | os.PathLike[str]) -> Any:
    """Runs code in the readers' environment, and returns what it printed last, which is JSON.

    Args:
        code: Imports what it needs; its arguments are in `sys.argv[1:]`.
        arguments: File names, mostly.
    """
    if not READERS.exists():
        pytest.skip("the readers of other tools are not installed: make readers")
    command = [os.fspath(READERS), "-c", textwrap.dedent(code), *map(os.fspath, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
