"""Workers that are killed, crash or hang: the other images go on."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.chaos.harness import (
    Launcher,
    assert_done_once,
    assert_equal,
    assert_whole,
    lines_in,
    parent_of,
    summary,
    table,
    wait_until,
)
from tests.support import records

POISONS: Mapping[str, str] = {
    "#segfault#": "WorkerDied",
    "#abort#": "WorkerDied",
    "#out-of-memory#": "WorkerDied",
    "#hang#": "Timeout",
}


def test_a_worker_or_what_forks_it_is_killed_every_second(
    photos: Path, photos_baseline: dict[str, bytes], launcher: Launcher, long_form: bool
) -> None:
    randomness = random.Random("workers")
    kills = 0
    run = launcher.start(photos, mode="process", delay=0.5 if long_form else 0.2)
    while run.process.poll() is None:
        time.sleep(1)
        victims = run.workers()
        # loading takes longer than a second on a busy machine: none that has not had a chance to work yet
        if victims and lines_in(run.output / "results.jsonl"):
            victim = randomness.choice(victims)
            with contextlib.suppress(ProcessLookupError):
                os.kill(parent_of(victim) if kills == 1 else victim, signal.SIGKILL)
                kills += 1
    assert run.wait() == 0, run.stderr
    assert kills >= 2
    run.assert_tidy()
    assert_equal(run.output, photos_baseline)
    assert_done_once(run.output, sum(1 for name in photos_baseline if name.startswith("json/")))


def test_images_that_end_their_worker_are_failures_of_the_worker(
    photographs: list[Path], launcher: Launcher, tmp_path: Path
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    data = photographs[0].read_bytes()
    for number in range(12):
        (folder / f"{number:02}.jpg").write_bytes(data)
    for number, marker in enumerate(POISONS):
        (folder / f"{number * 3:02}-poison.jpg").write_bytes(data + marker.encode())
    code, run = launcher.run(folder, mode="process", options=["--timeout", "2s", "--summary-json"])
    assert code == 1, run.stderr
    run.assert_tidy()
    assert_whole(run.output)
    rows = {row["path"]: row for row in table(run.output / "images.csv")}
    assert len(rows) == 12 + len(POISONS)
    assert len(records(run.output / "results.jsonl")) == len(rows)
    for number, error in enumerate(POISONS.values()):
        row = rows.pop(f"{number * 3:02}-poison.jpg")
        assert (row["status"], row["stage"], row["error"]) == ("failed", "worker", error)
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert len({(row["width"], row["detections"]) for row in rows.values()}) == 1
    assert summary(run.output)["failures"] == len(POISONS)


def test_busy_workers_do_not_outlive_a_run_that_is_killed(photos: Path, launcher: Launcher) -> None:
    run = launcher.start(photos, mode="process", delay=600)
    assert wait_until(lambda: len(run.workers()) == 2, run)
    time.sleep(2)
    run.signal(signal.SIGKILL)
    run.wait()
    run.assert_gone()


@pytest.mark.parametrize("mode", ["thread", "locked"])
def test_a_timeout_that_cannot_be_kept_is_refused(mode: str, photos: Path, launcher: Launcher) -> None:
    code, run = launcher.run(photos, mode=mode, options=["--timeout", "5s"])
    assert code == 2
    assert run.stderr.count("\n") == 1
    assert "thread" in run.stderr
    assert "cannot be killed" in run.stderr
    assert "--mode process" in run.stderr
    assert not run.output.exists()
