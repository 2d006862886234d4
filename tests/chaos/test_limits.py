"""Limits that end a run, and the walls of the output folder."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.chaos.harness import (
    Launcher,
    assert_equal,
    assert_whole,
    lines_in,
    skip_unless,
    summary,
    table,
    wait_for_lines,
)
from tests.support import records, write_image


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A folder of 130 files that fail, and one that does not, the last."""
    folder = tmp_path / "broken"
    folder.mkdir()
    for number in range(130):
        (folder / f"{number:03}.jpg").write_bytes(b"no image")
    write_image(folder / "last.png")
    return folder


@pytest.mark.parametrize(
    ("options", "least", "most"),
    [(["--fail-fast"], 1, 20), (["--max-failures", "7"], 8, 28), (["--max-failures", "50%"], 100, 120)],
)
def test_too_many_failures_stop_the_run(
    options: list[str], least: int, most: int, broken: Path, launcher: Launcher
) -> None:
    code, run = launcher.run(broken, options=options)
    assert code == 1, run.stderr
    run.assert_tidy()
    assert least <= lines_in(run.output / "results.jsonl") <= most  # what was in flight is finished
    assert summary(run.output)["complete"] is False
    assert "stopped: " in run.stderr
    assert "To go on without what failed: " in run.stderr


def test_few_failures_do_not_stop_the_run(album: Path, baseline: dict[str, bytes], launcher: Launcher) -> None:
    code, run = launcher.run(album, options=["--max-failures", "4", "--max-pixels", "100000000"])
    assert code == 1, run.stderr
    assert summary(run.output)["complete"] is True
    assert_equal(run.output, baseline)


def test_max_runtime_stops_well_and_the_same_command_goes_on(
    photos: Path, photos_baseline: dict[str, bytes], launcher: Launcher
) -> None:
    codes = []
    for options in (["--max-runtime", "3s"], ["--max-runtime", "1s", "--fail-incomplete"]):
        code, run = launcher.run(photos, delay=0.4, options=options)
        codes.append(code)
        run.assert_tidy()
        figures = summary(run.output)
        assert (figures["complete"], figures["exit_code"]) == (False, code)
        assert "To go on: " in run.stderr
    assert codes == [0, 1]
    assert 0 < lines_in(run.output / "results.jsonl") < 40
    code, run = launcher.run(photos)
    assert code == 0, run.stderr
    assert_equal(run.output, photos_baseline)


def test_max_pixels(launcher: Launcher, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    write_image(folder / "small.png", 40, 50)
    write_image(folder / "large.png", 41, 50)
    code, run = launcher.run(folder, options=["--max-pixels", "2000"])
    assert code == 1
    rows = {row["path"]: (row["status"], row["error"]) for row in table(run.output / "images.csv")}
    assert rows == {"small.png": ("ok", ""), "large.png": ("failed", "TooManyPixels")}


@pytest.mark.parametrize("mode", ["thread", "process"])
def test_the_lock_of_an_output_folder_dies_with_its_process(
    mode: str, photos: Path, photos_baseline: dict[str, bytes], launcher: Launcher, long_form: bool
) -> None:
    skip_unless(long_form or mode == "process")
    first = launcher.start(photos, mode=mode, delay=0.2)
    assert wait_for_lines(first, 2)
    code, second = launcher.run(photos, mode=mode)
    assert code == 2, second.stderr
    assert str(second.output) in second.stderr
    assert second.stderr.count("\n") == 1
    assert first.process.poll() is None
    first.signal(signal.SIGKILL)
    first.wait()
    code, third = launcher.run(photos, mode=mode)  # at once, perhaps before the workers of the first have ended
    assert code == 0, third.stderr
    third.assert_tidy()
    assert_equal(third.output, photos_baseline)
    first.assert_gone()


def test_outputs_never_leave_the_output_folder(photographs: list[Path], launcher: Launcher, tmp_path: Path) -> None:
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    data = photographs[0].read_bytes()
    for name in ("one.jpg", "=1+1.jpg", "@cmd.jpg", "-2.jpg", "+3.jpg", "\t4.jpg"):
        (inside / name).write_bytes(data)
    (tmp_path / "outside.jpg").write_bytes(data)
    (inside / "link.jpg").symlink_to(tmp_path / "outside.jpg")
    (inside / "folder").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "behind.jpg").write_bytes(data)
    listed = ["../../outside.jpg", str(tmp_path / "outside.jpg"), "../b/../b/one.jpg", "folder/behind.jpg", "./-2.jpg"]
    (tmp_path / "list").write_text("\n".join(listed))
    before = {path for path in tmp_path.rglob("*") if not path.name.startswith("log-")}
    output = inside / "out"
    options = ["--files-from", str(tmp_path / "list"), "--follow-symlinks", "--format", "json", "--format", "csv"]
    options += ["--format", "csv-per-image"]
    code, run = launcher.run(".", "../..", output=output, options=options, cwd=inside)
    assert code == 0, run.stderr
    after = {path for path in tmp_path.rglob("*") if not path.name.startswith("log-")}
    assert all(output in path.parents or path == output for path in after - before)
    paths = [line["path"] for line in records(output / "results.jsonl")]
    assert len(paths) == len(set(paths))
    assert not any(path.startswith("/") or ".." in path.split("/") for path in paths)
    assert sum(1 for _ in (output / "json").rglob("*.json")) == len(paths)
    assert sum(1 for _ in (output / "csv").rglob("*.csv")) == len(paths)
    code, run = launcher.run(".", output=tmp_path / "inside", options=["--exclude", "out"], cwd=inside)
    assert code == 0, run.stderr
    for name in ("images.csv", "detections.csv"):
        for row in table(run.output / name):
            assert not row["path"].startswith(("=", "+", "-", "@", "\t", "\r"))
    assert {row["path"] for row in table(run.output / "images.csv")} >= {"'=1+1.jpg", "'@cmd.jpg", "'+3.jpg", "'-2.jpg"}


@pytest.mark.parametrize(
    "name", ["json", "json/roll 0", "detections.csv", "results.jsonl", "run.json", ".lock", ".partial"]
)
def test_a_link_in_the_output_folder_leads_nowhere(
    name: str,
    photos: Path,
    photos_baseline: dict[str, bytes],
    launcher: Launcher,
    tmp_path: Path,
    long_form: bool,
) -> None:
    skip_unless(long_form or name in {"json", "results.jsonl", ".partial"})
    elsewhere = tmp_path / "elsewhere"
    output = tmp_path / "out"
    link = output / name
    link.parent.mkdir(parents=True)
    is_file = "." in name and name != ".partial"
    elsewhere.write_bytes(b"mine\n") if is_file else elsewhere.mkdir()
    link.symlink_to(elsewhere)
    before = elsewhere.lstat().st_mtime_ns
    code, run = launcher.run(photos, output=output)
    assert elsewhere.lstat().st_mtime_ns == before, "something was written there"
    assert (elsewhere.read_bytes() == b"mine\n") if is_file else not list(elsewhere.iterdir())
    if code != 0:  # it may also put a file of its own in the place of the link
        assert code in {2, 4}, run.stderr
        assert str(output) in run.stderr.strip().splitlines()[-1]
        link.unlink()
        code, run = launcher.run(photos, output=output)
        assert code == 0, run.stderr
    assert_equal(output, photos_baseline)


def test_a_link_put_in_place_of_json_during_a_run(photos: Path, launcher: Launcher, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    run = launcher.start(photos, delay=0.1)
    assert wait_for_lines(run, 3)
    (run.output / "json").rename(tmp_path / "json")
    (run.output / "json").symlink_to(elsewhere)
    time.sleep(0.2)
    assert run.wait() == 4, run.stderr
    assert list(elsewhere.rglob("*")) == []
    assert_whole(run.output)


@pytest.mark.parametrize("name", ["json", "json/roll 1", ".partial"])
def test_links_put_in_the_way_during_a_run_take_nothing_elsewhere(
    name: str, photos: Path, photos_baseline: dict[str, bytes], launcher: Launcher, tmp_path: Path
) -> None:
    """Elsewhere looks like the folder itself, so that nothing but the link could stop a file."""
    elsewhere = tmp_path / "elsewhere"
    for roll in photos.iterdir():
        (elsewhere / roll.name).mkdir(parents=True)
    victim = elsewhere / "victim"
    victim.write_bytes(b"mine")
    run = launcher.start(photos, delay=0.1)
    assert wait_for_lines(run, 15)
    (run.output / name).rename(tmp_path / "away")
    (run.output / name).symlink_to(elsewhere)
    for planted in ("yolocli-", "file"):
        (elsewhere / planted).symlink_to(victim)
    assert run.wait() == 4, run.stderr
    run.assert_tidy()
    assert "leads out" in run.stderr
    assert victim.read_bytes() == b"mine"
    assert {path.name for path in elsewhere.rglob("*") if not path.is_dir()} == {"victim", "yolocli-", "file"}
    (run.output / name).unlink()
    (tmp_path / "away").rename(run.output / name)
    code, run = launcher.run(photos)
    assert code == 0, run.stderr
    assert_equal(run.output, photos_baseline)
