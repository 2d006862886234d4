"""kill -9 of the run at random moments: nothing is lost, nothing is done twice, and the end is the same."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

from tests.chaos.harness import (
    MODES,
    Launcher,
    Running,
    assert_done_once,
    assert_equal,
    assert_whole,
    lines_in,
    wait_for_lines,
    wait_until,
)
from yolocli.output.folder import OutputFolder
from yolocli.output.journal import recover

DELAY = 0.02


def wait_for_a_moment(run: Running, images: int, randomness: random.Random) -> None:
    """Waits for a random moment: while models load, between two images, or while projections are written."""
    kind = randomness.choice(("load", "image", "image", "image", "end"))
    if kind == "load":
        time.sleep(randomness.uniform(0.05, 2.5))
    elif kind == "image":
        done = lines_in(run.output / "results.jsonl")
        wait_for_lines(run, done + randomness.randrange(1, max(2, images // 4)))
        time.sleep(randomness.uniform(0, DELAY))
    else:
        wait_for_lines(run, images)
        wait_until(lambda: (run.output / "summary.json").exists(), run) if randomness.random() < 0.3 else None
        time.sleep(randomness.uniform(0, 0.02))


@pytest.mark.parametrize("mode", MODES)
def test_a_run_that_is_killed_again_and_again_ends_like_one_that_is_not(
    mode: str, album: Path, baseline: dict[str, bytes], launcher: Launcher, long_form: bool
) -> None:
    images = sum(1 for name in baseline if name.startswith("json/"))
    randomness = random.Random(f"kill {mode}")
    for _ in range(20 if long_form else 2):
        run = launcher.start(album, mode=mode, delay=DELAY)
        wait_for_a_moment(run, images, randomness)
        run.signal(signal.SIGKILL)
        run.wait()
        run.assert_gone()
        if (run.output / "results.jsonl").exists():
            recover(OutputFolder(run.output))
            assert_whole(run.output)
    code, run = launcher.run(album, mode=mode)
    assert code == 1, run.stderr
    run.assert_tidy()
    assert_equal(run.output, baseline)
    assert_done_once(run.output, images)
