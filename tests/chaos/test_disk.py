"""Full, read-only and vanished disks: exit 4, one line that names the path, nothing torn, and it goes on later."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.harness import (
    MODES,
    Launcher,
    Running,
    assert_equal,
    assert_whole,
    lines_in,
    skip_unless,
    tmpfs,
    wait_for_lines,
    wait_until,
)
from tests.support import NOBODY


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk on which little fits."""
    try:
        with tmpfs(tmp_path / "disk", "size=96k,nr_inodes=2000") as folder:
            yield folder
    except (PermissionError, FileNotFoundError) as error:
        pytest.skip(f"a tmpfs cannot be mounted: {error}")


def assert_refused(run: Running, folder: Path) -> None:
    """Asserts that a run ended with one line that says where it could not write."""
    assert run.wait() == 4, run.stderr
    run.assert_tidy()
    complaints = [line for line in run.stderr.splitlines() if line.startswith("yolocli: ")]
    assert len(complaints) == 1, run.stderr
    assert str(folder) in complaints[0]


@pytest.mark.parametrize("mode", MODES)
def test_a_full_disk(
    mode: str, album: Path, baseline: dict[str, bytes], launcher: Launcher, small_disk: Path, long_form: bool
) -> None:
    skip_unless(long_form or mode == "thread")
    output = small_disk / "out"
    run = launcher.start(album, output=output, mode=mode, options=["--format", "json", "--format", "csv"])
    assert_refused(run, output)
    assert "space" in run.stderr
    assert_whole(output)
    done = lines_in(output / "results.jsonl")
    assert 0 < done < sum(1 for name in baseline if name.startswith("json/"))
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    code, run = launcher.run(album, output=output, mode=mode)
    assert code == 1, run.stderr
    assert_equal(output, baseline)


def test_a_disk_without_room_for_another_file(
    album: Path, baseline: dict[str, bytes], launcher: Launcher, tmp_path: Path
) -> None:
    try:
        with tmpfs(tmp_path / "disk", "size=64m,nr_inodes=30") as disk:
            run = launcher.start(album, output=disk / "out")
            assert_refused(run, disk / "out")
            assert_whole(disk / "out")
            subprocess.run(["mount", "-o", "remount,nr_inodes=3000", str(disk)], check=True)
            code, run = launcher.run(album, output=disk / "out")
            assert code == 1, run.stderr
            assert_equal(disk / "out", baseline)
    except (PermissionError, FileNotFoundError) as error:
        pytest.skip(f"a tmpfs cannot be mounted: {error}")


def test_a_disk_without_room_for_the_tables(
    album: Path, baseline: dict[str, bytes], launcher: Launcher, small_disk: Path
) -> None:
    subprocess.run(["mount", "-o", "remount,size=2m,nr_inodes=200", str(small_disk)], check=True)
    output = small_disk / "out"
    code, run = launcher.run(album, output=output)
    assert code == 1, run.stderr
    # by number, as a tmpfs counts files exactly and bytes roughly; a folder for one file at a time still fits
    left = 2 + (not (output / ".lock").exists())
    for number in range(os.statvfs(small_disk).f_ffree - left):
        (small_disk / f"other-{number}").touch()
    run = launcher.start(album, output=output, options=["--no-retry-failed"])
    assert_refused(run, output)
    assert_whole(output)
    for name in ("detections.csv", "images.csv", "failures.jsonl"):
        assert (output / name).read_bytes() == baseline[name], "a table that cannot be made anew stays as it was"
    for other in small_disk.glob("other-*"):
        other.unlink()
    code, run = launcher.run(album, output=output)
    assert code == 1, run.stderr
    assert_equal(output, baseline)


def test_a_read_only_disk(album: Path, launcher: Launcher, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert_refused(launcher.start(album, output=small_disk / "out"), small_disk / "out")


@pytest.mark.skipif(not shutil.which("setpriv"), reason="needs setpriv, so that permissions stop root, too")
def test_a_folder_of_another_user(photos: Path, launcher: Launcher, tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.mkdir(mode=0o755)
    prefix = []
    if os.geteuid() == 0:
        os.chown(output, NOBODY, NOBODY)
        prefix = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search,-fowner"]
    else:
        output.chmod(0o555)
    assert_refused(launcher.start(photos, output=output, prefix=prefix), output)
    assert list(output.iterdir()) == []


@pytest.mark.parametrize("mode", MODES)
def test_an_output_folder_that_vanishes(
    mode: str, album: Path, baseline: dict[str, bytes], launcher: Launcher, long_form: bool
) -> None:
    skip_unless(long_form or mode == "process")
    run = launcher.start(album, mode=mode, delay=0.05)
    assert wait_for_lines(run, 3)
    gone = launcher.folder / "gone"
    run.output.rename(gone)
    wait_until(lambda: run.process.poll() is not None, run)
    assert_refused(run, run.output)
    assert_whole(gone)
    assert not run.output.exists() or not any(run.output.rglob("*.json"))
    shutil.rmtree(run.output, ignore_errors=True)
    gone.rename(run.output)
    code, run = launcher.run(album, mode=mode)
    assert code == 1, run.stderr
    assert_equal(run.output, baseline)
