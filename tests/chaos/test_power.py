"""Power cuts, disks that take nothing, and signals at the very end: what a run says it did lies on the disk."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import struct
import subprocess
from collections.abc import Iterator
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
    wait_for_lines,
    wait_until,
)

FILE_SYSTEMS = {"ext4": ("mkfs.ext4", "-q", "-F"), "xfs": ("mkfs.xfs", "-q", "-f")}
DISK_BYTES = 400 << 20
"""XFS wants 300 MiB at least; the file has holes."""
SHUTDOWN, AT_ONCE = 0x8004587D, 2
"""FS_IOC_SHUTDOWN and FS_SHUTDOWN_FLAGS_NOLOGFLUSH: no more is written, not even what lies in memory."""
FORMATS = ("--format", "json", "--format", "csv", "--format", "csv-per-image")


class Disk:
    """A disk in a file, whose power can be cut."""

    def __init__(self, image: Path, folder: Path) -> None:
        self.folder = folder
        self._image = image

    def mount(self) -> None:
        done = subprocess.run(["mount", "-o", "loop", self._image, self.folder], capture_output=True, check=False)
        if done.returncode:
            pytest.skip(f"a disk in a file cannot be mounted: {done.stderr.decode().strip()}")

    def unmount(self) -> None:
        subprocess.run(["umount", self.folder], check=True)

    def cut_power(self) -> None:
        """Loses all that is not on the disk, and starts it again."""
        file = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(file, SHUTDOWN, struct.pack("I", AT_ONCE))
        finally:
            os.close(file)
        self.unmount()
        self.mount()


@pytest.fixture(params=FILE_SYSTEMS)
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    make = FILE_SYSTEMS[request.param]
    if os.geteuid() != 0:
        pytest.skip("only root can mount a disk in a file")
    if shutil.which(make[0]) is None:
        pytest.skip(f"there is no {make[0]}")
    image, folder = tmp_path / "image", tmp_path / "disk"
    with open(image, "wb") as stream:
        stream.truncate(DISK_BYTES)
    subprocess.run([*make, image], check=True, capture_output=True)
    folder.mkdir()
    disk = Disk(image, folder)
    disk.mount()
    try:
        yield disk
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            disk.unmount()


def test_what_a_run_did_outlives_a_power_cut(disk: Disk, album: Path, launcher: Launcher, tmp_path: Path) -> None:
    images = sum(1 for file in album.rglob("*.*") if file.is_file())
    output = disk.folder / "out"
    code, run = launcher.run(album, output=output, options=FORMATS)
    assert code == 1, run.stderr
    before = {file.relative_to(output): file.read_bytes() for file in output.rglob("*") if file.is_file()}
    disk.cut_power()
    assert {file.relative_to(output): file.read_bytes() for file in output.rglob("*") if file.is_file()} == before
    assert json.loads(before[Path("summary.json")])["complete"] is True
    assert len(before) == 2 * images + len(
        {"run", "results", "summary", "images", "detections", "failures", "lock", "marker"}
    )
    code, run = launcher.run(album, output=output, options=FORMATS)
    assert code == 1, run.stderr
    assert_done_once(output, images)


def test_what_an_export_made_outlives_a_power_cut(
    disk: Disk, photos: Path, photos_baseline: dict[str, bytes], launcher: Launcher
) -> None:
    code, run = launcher.run(photos, output=disk.folder / "out")
    assert code == 0, run.stderr
    for name, choice in (("made", []), ("chosen", ["--conf", "0.5"])):
        run = Running(
            ["export", str(disk.folder / "out"), *choice, "-o", str(disk.folder / name)],
            disk.folder / name,
            launcher.folder / name,
            env={},
        )
        assert run.wait() == 0, run.stderr
        before = {file: file.read_bytes() for file in (disk.folder / name).rglob("*") if file.is_file()}
        disk.cut_power()
        assert {file: file.read_bytes() for file in (disk.folder / name).rglob("*") if file.is_file()} == before
    assert_whole(disk.folder / "made")


@pytest.mark.parametrize("after", [1, 15, 30])
def test_a_run_that_a_power_cut_ends_goes_on(
    after: int, disk: Disk, album: Path, baseline: dict[str, bytes], launcher: Launcher, long_form: bool
) -> None:
    skip_unless(long_form or after == 15)
    output = disk.folder / "out"
    run = launcher.start(album, output=output, delay=0.02)
    assert wait_for_lines(run, after)
    if after > 1:  # the journal happens to be on the disk, and what it speaks of is not
        subprocess.run(["sync", output / "results.jsonl"], check=True)
    run.signal(signal.SIGKILL)
    run.wait()
    disk.cut_power()
    assert json.loads((output / "run.json").read_bytes())["finished"] is None
    code, run = launcher.run(album, output=output)
    assert code == 1, run.stderr
    run.assert_tidy()
    assert_equal(output, baseline)
    assert_done_once(output, sum(1 for name in baseline if name.startswith("json/")))


def test_a_disk_that_takes_no_more_is_no_complete_run(photos: Path, launcher: Launcher) -> None:
    run = launcher.start(photos, env={"CHAOS_BAD_DISK": "results.jsonl"})
    assert run.wait() == 4, run.stderr
    run.assert_tidy()
    assert "results.jsonl: cannot be written: Input/output error" in run.stderr
    assert not (run.output / "summary.json").exists()
    assert json.loads((run.output / "run.json").read_bytes())["finished"] is None
    code, run = launcher.run(photos)
    assert code == 0, run.stderr
    assert summary(run.output)["complete"] is True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize("mode", MODES)
def test_a_signal_after_the_last_image_changes_nothing(
    number: signal.Signals,
    mode: str,
    photos: Path,
    photos_baseline: dict[str, bytes],
    launcher: Launcher,
    tmp_path: Path,
    long_form: bool,
) -> None:
    skip_unless(long_form or (number, mode) in {(signal.SIGINT, "thread"), (signal.SIGTERM, "process")})
    pause = tmp_path / "detections.csv"
    run = launcher.start(photos, mode=mode, env={"CHAOS_PAUSE": str(pause)})
    assert wait_until(lambda: pause.with_name("detections.csv.paused").exists(), run)
    assert lines_in(run.output / "results.jsonl") == sum(1 for name in photos_baseline if name.startswith("json/"))
    run.signal_group(number)
    assert run.wait() == 0, run.stderr
    run.assert_tidy()
    figures = summary(run.output)
    assert (figures["complete"], figures["exit_code"]) == (True, 0)
    assert_equal(run.output, photos_baseline)
