"""Broken, hostile and odd files: every one is accounted for, and none takes the run, the memory or the night."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.chaos import corpus
from tests.chaos.harness import MODES, Launcher, Running, assert_whole, table, wait_until
from tests.support import records
from yolocli.config import DEFAULT_MAX_PIXELS
from yolocli.errors import ImageError
from yolocli.images.decode import decode

MEMORY = 2 * 1000**3
STALL_SECONDS = 60.0


def write(folder: Path, files: Iterable[corpus.Named]) -> dict[str, bytes]:
    """Writes files into a folder and returns them."""
    folder.mkdir()
    written = dict(files)
    for name, data in written.items():
        (folder / name).write_bytes(data)
    return written


def run_and_watch(launcher: Launcher, folder: Path, mode: str) -> Running:
    """Runs to the end; fails when no image ends for a minute."""
    run = launcher.start(folder, mode=mode, options=["--imgsz", "64", "--quiet"], output=launcher.folder / mode)
    run.watch_memory()
    journal = run.output / "results.jsonl"
    seen = -1
    while run.process.poll() is None:
        size = journal.stat().st_size if journal.exists() else 0
        assert size != seen, f"nothing ended for {STALL_SECONDS} s after {size} bytes"
        seen = size
        wait_until(lambda: journal.exists() and journal.stat().st_size != seen, run, STALL_SECONDS)  # noqa: B023
    run.wait()
    return run


def assert_accounted_for(run: Running, files: Iterable[str]) -> None:
    """Asserts that each file is in the journal, in the tables and in json/ once, with a reason if it failed."""
    names = sorted(files)
    lines = records(run.output / "results.jsonl")
    assert sorted(line["path"] for line in lines) == names
    assert sorted(row["path"] for row in table(run.output / "images.csv")) == names
    assert sorted(file.name.removesuffix(".json") for file in (run.output / "json").iterdir()) == names
    for line in lines:
        assert line["status"] == "ok" or (line["stage"] in {"read", "decode"} and line["error"] and line["message"])
    assert_whole(run.output)


def assert_modest(run: Running) -> None:
    """Asserts that all processes together stayed below the limit.

    The summary's own figure is no measure of that: it adds the peak of each process, whenever it came.
    """
    assert 0 < run.peak_memory < MEMORY, run.peak_memory


def files_for(long_form: bool) -> Iterator[corpus.Named]:
    """Yields the files to try, and some that want much memory among them."""
    yield from corpus.corpus(int(os.environ.get("YOLOCLI_TEST_HOSTILE", "10000")) if long_form else 150, seed=4)
    for name, data in corpus.bombs():
        if long_form or name in {"hidden.png", "one-byte.png", "hollow.jpg", "16bit.tiff", "hollow.jp2", "scans.jpg"}:
            yield f"bomb-{name}", data


def test_hostile_files(launcher: Launcher, tmp_path: Path, long_form: bool) -> None:
    files = write(tmp_path / "files", files_for(long_form))
    found = {}
    for mode in MODES:
        run = run_and_watch(launcher, tmp_path / "files", mode)
        assert run.process.returncode == 1, run.stderr
        assert run.stderr.count("\n") == 1
        assert f" failed, see {run.output / 'failures.jsonl'}" in run.stderr
        assert run.stdout == b""
        run.assert_tidy()
        assert_accounted_for(run, files)
        assert_modest(run)
        found[mode] = (run.output / "images.csv").read_bytes()
    assert found["thread"] == found["locked"] == found["process"]


def test_every_orientation_is_turned_upright(tmp_path: Path) -> None:
    upright = dict(corpus.oriented())["1.jpg"]
    expected = decode(upright, ".jpg", max_pixels=10**6).pixels.shape
    for name, data in corpus.oriented():
        height, width, _ = decode(data, Path(name).suffix, max_pixels=10**6).pixels.shape
        turned = name.split(".")[0] in {"5", "6", "7", "8"} and name != "6.tiff"
        assert (width, height) == (expected[0], expected[1]) if turned else (expected[1], expected[0]), name


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_bytes_make_the_decoder_do_anything_but_decode_or_refuse(data: st.DataObject) -> None:
    name, healthy = data.draw(st.sampled_from([item for item in corpus.samples() if len(item[1]) < 100_000]))
    for how in data.draw(st.lists(st.sampled_from(corpus.MUTATIONS), min_size=1, max_size=3)):
        healthy = how(healthy, random.Random(data.draw(st.integers(0, 2**32)))) or b"\0"
    suffix = data.draw(st.sampled_from([Path(name).suffix, *(f".{suffix}" for suffix in corpus.SUFFIXES)]))
    channels = data.draw(st.sampled_from([1, 3]))
    try:
        pixels = decode(healthy, suffix, channels=channels, max_pixels=DEFAULT_MAX_PIXELS // 100).pixels
    except ImageError:
        pass
    else:
        assert pixels.dtype == "uint8"
        assert pixels.ndim == 3
        assert pixels.shape[2] == channels
        assert pixels.size
