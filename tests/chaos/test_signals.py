"""Ctrl-C, kill and storms of both: what is in flight is finished, all is written, and the same command goes on."""

from __future__ import annotations

import os
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
    skip_unless,
    summary,
    table,
    wait_for_lines,
    wait_until,
)

DELAY = 0.05
EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
SOON = 3.0
"""Seconds within which a run ends after its last image; the machine may be busy, so the tests give it thrice that."""
DEAF_TO_CTRL_C = ("sh", "-c", "trap '' INT; exec \"$@\"", "sh")
"""Starts a command as `&` in a script does."""


def assert_ended_well(run: Running, number: signal.Signals) -> None:
    """Asserts that a run that was stopped while it worked left everything that resuming needs."""
    assert run.process.returncode == EXIT_CODES[number], run.stderr
    run.assert_tidy()
    assert "To go on: " in run.stderr
    assert_whole(run.output)
    figures = summary(run.output)
    assert figures["complete"] is False
    assert figures["exit_code"] == EXIT_CODES[number]
    done = lines_in(run.output / "results.jsonl")
    assert len(table(run.output / "images.csv")) == done
    assert figures["images"] + figures["failures"] == done


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("number", EXIT_CODES, ids=lambda number: number.name)
def test_a_signal_stops_the_run_and_the_same_command_ends_it(
    number: signal.Signals,
    mode: str,
    photos: Path,
    photos_baseline: dict[str, bytes],
    launcher: Launcher,
    long_form: bool,
) -> None:
    short = {(signal.SIGINT, "thread"), (signal.SIGTERM, "locked"), (signal.SIGTERM, "process")}
    skip_unless(long_form or (number, mode) in short)
    run = launcher.start(photos, mode=mode, delay=DELAY, options=["--verbose"])
    assert wait_for_lines(run, 5)
    stopped = time.monotonic()
    # a terminal sends Ctrl-C to all processes of a run, and so may a supervisor its SIGTERM
    run.signal_group(number)
    run.wait()
    assert time.monotonic() - stopped < 3 * SOON
    assert_ended_well(run, number)
    images = sum(1 for name in photos_baseline if name.startswith("json/"))
    assert lines_in(run.output / "results.jsonl") < images
    code, run = launcher.run(photos, mode=mode, options=["--verbose"])
    assert code == 0, run.stderr
    run.assert_tidy()
    assert_equal(run.output, photos_baseline)
    assert_done_once(run.output, images)


@pytest.mark.parametrize("mode", MODES)
def test_a_second_signal_ends_the_run_at_once(mode: str, photos: Path, launcher: Launcher, long_form: bool) -> None:
    skip_unless(long_form or mode != "locked")
    run = launcher.start(photos, mode=mode, delay=2.0, options=["--verbose"])
    assert wait_for_lines(run, 1)
    run.signal_group(signal.SIGINT)
    assert wait_until(lambda: "once more" in run.stderr, run)
    time.sleep(0.2)
    stopped = time.monotonic()
    run.signal_group(signal.SIGINT)
    assert run.wait() == 130
    assert time.monotonic() - stopped < 1.5
    run.assert_tidy()
    assert_whole(run.output)
    assert_done_once(run.output, lines_in(run.output / "results.jsonl"))


@pytest.mark.parametrize("mode", MODES)
def test_a_storm_of_signals_tears_nothing(
    mode: str, photos: Path, photos_baseline: dict[str, bytes], launcher: Launcher, long_form: bool
) -> None:
    skip_unless(long_form or mode != "locked")
    for storm in range(5 if long_form else 1):
        run = launcher.start(photos, mode=mode, delay=DELAY)
        if not wait_for_lines(run, lines_in(run.output / "results.jsonl") + 3 + storm):
            break  # it was done before
        while run.process.poll() is None:
            run.signal_group(signal.SIGTERM)
            time.sleep(0.003)
        assert run.wait() in {143, 0}, run.stderr
        run.assert_tidy()
        assert_whole(run.output)
    code, run = launcher.run(photos, mode=mode)
    assert code == 0, run.stderr
    assert_equal(run.output, photos_baseline)


@pytest.mark.parametrize("mode", MODES)
def test_a_signal_while_models_load(
    mode: str, photos: Path, photos_baseline: dict[str, bytes], launcher: Launcher, long_form: bool
) -> None:
    skip_unless(long_form or mode != "locked")
    for tenths in range(2, 30, 2) if long_form else (6 if mode == "process" else 4,):
        output = launcher.folder / f"out-{tenths}"
        run = launcher.start(photos, mode=mode, options=["--verbose"], output=output, delay=10 * DELAY)
        time.sleep(tenths / 10)
        run.signal_group(signal.SIGINT)
        started = time.monotonic()
        # Python itself takes a moment before it can give an exit code; a shell calls both 130
        assert run.wait() in {130, -signal.SIGINT}, run.stderr
        assert time.monotonic() - started < 5 * SOON  # a model that is half loaded is loaded first
        run.assert_tidy()
    code, run = launcher.run(photos, mode=mode, output=output)
    assert code == 0, run.stderr
    assert_equal(run.output, photos_baseline)


@pytest.mark.parametrize("mode", MODES)
def test_a_signal_while_a_list_on_stdin_is_silent(mode: str, photos: Path, launcher: Launcher) -> None:
    reader, writer = os.pipe()
    try:
        options = ["--files-from", "-", "--verbose"]
        run = launcher.start(mode=mode, options=options, stdin=reader)
        names = sorted(photos.rglob("*.jpg"))[:3]
        os.write(writer, b"".join(os.fsencode(name) + b"\n" for name in names))
        assert wait_for_lines(run, 3)
        time.sleep(0.3)
        stopped = time.monotonic()
        run.signal_group(signal.SIGINT)
        run.wait()
        assert time.monotonic() - stopped < SOON
        assert_ended_well(run, signal.SIGINT)
        assert len(table(run.output / "images.csv")) == 3
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize("mode", MODES)
def test_ctrl_c_that_was_ignored_at_the_start_stays_so_and_sigterm_stops_the_run(
    mode: str, photos: Path, launcher: Launcher
) -> None:
    run = launcher.start(photos, mode=mode, delay=4 * DELAY, options=["--verbose"], prefix=DEAF_TO_CTRL_C)
    assert wait_until(lambda: run.stderr, run)  # it loads
    run.signal_group(signal.SIGINT)
    for done in (1, 3, 5):
        assert wait_for_lines(run, done), run.stderr
        run.signal_group(signal.SIGINT)
    assert wait_for_lines(run, 9), run.stderr
    assert "once more" not in run.stderr
    run.signal_group(signal.SIGTERM)
    run.wait()
    assert_ended_well(run, signal.SIGTERM)
