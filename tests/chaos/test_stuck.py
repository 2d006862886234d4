"""No more processes, or ones that are stopped: an error at once, no hang that SIGTERM does not end, no time lost."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.chaos.harness import (
    Launcher,
    Running,
    assert_equal,
    assert_whole,
    lines_in,
    parent_of,
    wait_for_lines,
    wait_until,
)

SOON = 60.0
"""Seconds that a busy machine may take for what takes ten."""
PIDS = (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup"))
"""Where groups of processes are limited, in version 1 and 2."""


@contextlib.contextmanager
def limited(processes: int) -> Iterator[Sequence[str]]:
    """Makes a group that can have so many processes and threads; yields what to put before a command to start it there.

    It skips the test where that cannot be.
    """
    group = next(filter(None, (_group(root, processes) for root in PIDS)), None)
    if group is None:
        pytest.skip("no right to limit the processes of a group")
    try:
        yield ("sh", "-c", 'echo $$ > "$0/cgroup.procs"; exec "$@"', str(group))
    finally:
        while left := (group / "cgroup.procs").read_text().split():
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            time.sleep(0.1)
        group.rmdir()


def _group(root: Path, processes: int) -> Path | None:
    group = root / f"yolocli-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        return None
    try:
        (group / "pids.max").write_text(str(processes))
    except OSError:
        group.rmdir()
        return None
    return group


def server_of(run: Running) -> int | None:
    """Returns what forks the workers of a run."""
    for pid in run.pids():
        with contextlib.suppress(OSError):
            if parent_of(pid) == run.process.pid and b"forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
    return None


@pytest.mark.parametrize("processes", [3, 5, 8])
def test_no_more_processes_is_the_error_of_the_run(processes: int, photos: Path, launcher: Launcher) -> None:
    with limited(processes) as prefix:
        run = launcher.start(photos, mode="process", options=["-q"], prefix=prefix)
        assert run.wait(2 * SOON) == 4, run.stderr
        run.assert_tidy()
        (line,) = run.stderr.splitlines()
        assert line.startswith("yolocli: ")
        assert "raise the limit of processes and threads" in line


def test_sigterm_ends_a_run_whose_workers_do_not_answer(
    photos: Path, photos_baseline: dict[str, bytes], launcher: Launcher
) -> None:
    run = launcher.start(photos, mode="process", delay=0.2)
    assert wait_for_lines(run, 3)
    for pid in run.workers():
        os.kill(pid, signal.SIGSTOP)
    run.signal(signal.SIGTERM)
    assert run.wait(SOON) == 143, run.stderr
    run.assert_tidy()
    assert_whole(run.output)
    code, run = launcher.run(photos, mode="process")
    assert code == 0, run.stderr
    assert_equal(run.output, photos_baseline)


def test_sigterm_ends_a_run_that_waits_for_a_worker_to_start(photos: Path, launcher: Launcher) -> None:
    run = launcher.start(photos, mode="process")
    assert wait_until(lambda: server_of(run), run)
    server = server_of(run)
    assert server is not None
    os.kill(server, signal.SIGSTOP)
    try:
        time.sleep(1)
        run.signal(signal.SIGTERM)
        assert run.wait(SOON) == 143, run.stderr
    finally:
        os.kill(server, signal.SIGCONT)
    run.assert_tidy()


def test_time_in_which_a_run_is_stopped_is_no_images(
    photos: Path, photos_baseline: dict[str, bytes], launcher: Launcher
) -> None:
    """Ctrl-Z and fg; a shell stops the whole group."""
    run = launcher.start(photos, mode="process", delay=0.5, options=["--timeout", "3s"])
    for done in (2, 6):
        assert wait_for_lines(run, done)
        run.signal_group(signal.SIGSTOP)
        time.sleep(4)
        run.signal_group(signal.SIGCONT)
    assert run.wait() == 0, run.stderr
    run.assert_tidy()
    assert lines_in(run.output / "results.jsonl") == sum(1 for name in photos_baseline if name.startswith("json/"))
    assert_equal(run.output, photos_baseline)
