"""What tests of the benchmark and of optimize share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos.harness import Running


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts a command whose temporary files go to `tmp_path / "tmp"`; nothing is left of it after the test."""
    if not sys.platform.startswith("linux"):
        pytest.skip("looks for processes in /proc")
    (tmp_path / "tmp").mkdir()
    runs: list[Running] = []

    def start(*arguments: str, **variables: str) -> Running:
        env = {"TMPDIR": str(tmp_path / "tmp"), **variables}
        runs.append(Running(arguments, tmp_path / "out", tmp_path / "log", env=env))
        return runs[-1]

    yield start
    for run in runs:
        run.end()
