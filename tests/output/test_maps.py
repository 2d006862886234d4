"""Maps of images as files: the record names them, and they come, go and are made again with it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests import fakes
from tests.support import REPOSITORY, clean_environment, records, run, write_image
from yolocli.config import SourceConfig
from yolocli.errors import UsageError
from yolocli.images.letterbox import Canvas
from yolocli.images.png import png
from yolocli.output.extract import Choice, extract
from yolocli.output.formats.maps import FILES, START
from yolocli.results import Detection, Findings, ImageFailure, ImageResult
from yolocli.runtimes.plan import Prepared
from yolocli.sources.discover import discover
from yolocli.tasks.base import Raw
from yolocli.tasks.whole import MAP, MAPS

FORMATS = ("json",)
EMPTY = 249
"""An image that ends with this value has no map."""


class Mapper(fakes.FakeDetector):
    """Gives the last value of an image as a map of 2 x 3 pixels."""

    def finish(self, found: Sequence[Raw], canvases: Sequence[Canvas]) -> Findings:
        value = int(canvases[0].pixels[-1, -1, 0])
        if value == EMPTY:
            return Findings()
        return Findings(
            (Detection("thing", 0, 0.5, (0.0, 0.0, 1.0, 1.0)),),
            {MAP: {"ignored": 255}},
            {MAPS: png(np.full((2, 3), value, np.uint8))},
        )


class Loader(fakes.FakeLoader):
    def load(self, prepared: Prepared) -> Any:
        self.made.append(Mapper(prepared.asked, self.delay))
        return self.made[-1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in/a").mkdir(parents=True)
    write_image(tmp_path / "in/a/1.png", value=10)
    write_image(tmp_path / "in/a/1.bmp", value=20)
    write_image(tmp_path / "in/2.png", value=30)
    return tmp_path


def mapped(folder: Path, **options: Any) -> tuple[list[Any], Any]:
    options = {"output": folder / "out", "save_maps": True, "formats": FORMATS, "workers": 1} | options
    return run(folder / "in", loader=Loader(), **options)


def maps(output: Path) -> dict[str, int]:
    """The value that each map holds, by its path."""
    return {
        file.relative_to(output).as_posix(): int(cv2.imread(str(file), cv2.IMREAD_UNCHANGED)[0, 0])
        for file in sorted((output / "maps").rglob("*.png"))
    }


def named(output: Path) -> dict[str, str]:
    """The file that the last line of each image names."""
    return {line["path"]: line[MAP]["file"] for line in records(output / "results.jsonl") if MAP in line}


ALL = {"maps/2.png.png": 30, "maps/a/1.bmp.png": 20, "maps/a/1.png.png": 10}


def test_each_record_names_its_file(folder: Path) -> None:
    outcomes, _ = mapped(folder)
    assert maps(folder / "out") == ALL
    assert named(folder / "out") == {
        "2.png": "maps/2.png.png",
        **{f"a/1.{s}": f"maps/a/1.{s}.png" for s in ("bmp", "png")},
    }
    for outcome in outcomes:
        assert outcome.more == {MAP: {"file": f"maps/{outcome.path}.png", "ignored": 255}}
        assert outcome.files == {}, "it would be held in memory with the outcome"
        record = json.loads((folder / f"out/json/{outcome.path}.json").read_bytes())
        assert record[MAP] == outcome.more[MAP]


def test_without_an_output_folder_the_outcome_holds_it(folder: Path) -> None:
    outcomes, _ = mapped(folder, output=None)
    for outcome in outcomes:
        assert outcome.more == {MAP: {"ignored": 255}}
        pixels = cv2.imdecode(np.frombuffer(outcome.files[MAPS], np.uint8), cv2.IMREAD_UNCHANGED)
        assert pixels.shape == (2, 3)
    assert len(outcomes) == 3


def test_a_second_run_makes_those_again_that_are_gone_or_cut_off(folder: Path) -> None:
    mapped(folder)
    assert mapped(folder)[1].summary.skipped == 3
    (folder / "out/maps/2.png.png").unlink()
    cut = folder / "out/maps/a/1.bmp.png"
    cut.write_bytes(cut.read_bytes()[:-5])
    outcomes, again = mapped(folder)
    assert ({outcome.path for outcome in outcomes}, again.summary.skipped) == ({"2.png", "a/1.bmp"}, 1)
    assert maps(folder / "out") == ALL
    assert mapped(folder)[1].summary.skipped == 3


def test_an_image_without_a_map_is_done_once(folder: Path) -> None:
    write_image(folder / "in/2.png", value=EMPTY)
    mapped(folder)
    assert "2.png" not in named(folder / "out")
    assert mapped(folder)[1].summary.skipped == 3


def test_the_map_of_an_image_that_has_none_any_more_goes(folder: Path) -> None:
    mapped(folder)
    (folder / "in/2.png").write_bytes(b"no image")
    write_image(folder / "in/a/1.bmp", value=EMPTY)
    mapped(folder)
    assert maps(folder / "out") == {"maps/a/1.png.png": 10}


def test_prune_takes_the_map_with_the_record(folder: Path) -> None:
    mapped(folder)
    shutil.rmtree(folder / "in/a")
    mapped(folder, prune=True)
    assert maps(folder / "out") == {"maps/2.png.png": 30}
    assert not (folder / "out/maps/a").exists()


def test_overwrite_removes_them_and_nothing_of_others(folder: Path) -> None:
    mapped(folder)
    mine = folder / "out/maps/a/mine.png"
    mine.write_bytes(cv2.imencode(".png", np.zeros((9, 9), np.uint8))[1].tobytes())
    mapped(folder, overwrite=True, save_maps=False)
    assert [file for file in (folder / "out/maps").rglob("*") if file.is_file()] == [mine]


def test_a_picture_of_somebody_else_is_not_replaced(folder: Path) -> None:
    theirs = cv2.imencode(".png", np.zeros((9, 9), np.uint8))[1].tobytes()
    (folder / "out/maps/a").mkdir(parents=True)
    (folder / "out/maps/a/1.png.png").write_bytes(theirs)
    with pytest.raises(UsageError, match=r"maps/a/1\.png\.png is no file that yolocli wrote"):
        mapped(folder)
    mapped(folder, save_maps=False)  # which writes none
    with pytest.raises(UsageError, match=r"maps/a/1\.png\.png is no file that yolocli wrote"):
        mapped(folder, overwrite=True)
    assert (folder / "out/maps/a/1.png.png").read_bytes() == theirs


def test_our_own_are_told_from_others_whole_and_torn() -> None:
    for pixels in (np.zeros((1, 1), np.uint8), np.full((500, 300), 40000, np.uint16)):
        data = png(pixels)
        np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED), pixels)
        assert all(START.match(data[:end]) for end in range(1, 65))
        plain = cv2.imencode(".png", pixels)[1].tobytes()
        assert START.match(plain[:64]) is None
    assert FILES.folder == MAPS


@pytest.mark.parametrize("name", ["x" * 251 + ".png", "a\nb.png", os.fsdecode(b"\xff\xfe.png")])
def test_the_record_names_the_place_that_was_written(name: str, folder: Path) -> None:
    shutil.copyfile(folder / "in/2.png", folder / "in" / name)
    outcomes, _ = mapped(folder)
    assert len(outcomes) == 4
    assert {outcome.path for outcome in outcomes} >= {name}
    for outcome in outcomes:
        assert isinstance(outcome, ImageResult)
        assert os.path.isfile(folder / "out" / outcome.more[MAP]["file"])
    assert mapped(folder)[1].summary.skipped == 4


def test_a_name_that_the_disk_refuses_is_a_plainer_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from yolocli.output.folder import OutputFolder

    plain = OutputFolder.write

    def picky(self: OutputFolder, path: Path, data: bytes) -> None:
        if "~" not in path.name and path.parts[0] == MAPS:
            from yolocli.errors import OutputError

            raise OutputError("no such name") from OSError(36, "File name too long")
        plain(self, path, data)

    monkeypatch.setattr(OutputFolder, "write", picky)
    mapped(folder)
    assert all("/~" in file and (folder / "out" / file).is_file() for file in named(folder / "out").values())
    assert mapped(folder)[1].summary.skipped == 3


def test_export_into_a_new_folder_names_none(folder: Path) -> None:
    mapped(folder)
    extract(folder / "out", folder / "new", FORMATS, Choice(confidence=0.4))
    assert len(records(folder / "new/results.jsonl")) == 3
    assert named(folder / "new") == {}
    assert not any(b'"map"' in file.read_bytes() for file in (folder / "new").rglob("*") if file.is_file())
    assert maps(folder / "out") == ALL


@pytest.mark.slow
def test_a_killed_run_leaves_a_map_for_each_line(folder: Path) -> None:
    for number in range(300):
        write_image(folder / f"in/{number:03}.png", value=number % 200)
    code = """
import sys
from pathlib import Path
from tests.output.test_maps import Loader
from tests.support import run
folder = Path(sys.argv[1])
run(folder / "in", loader=Loader(delay=0.005), output=folder / "out", save_maps=True, formats=("json",), workers=2)
"""
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", code, str(folder)], cwd=REPOSITORY, env=clean_environment())
        journal = folder / "out/results.jsonl"
        before, deadline = journal.stat().st_size if journal.exists() else 0, time.monotonic() + 60
        while (not journal.exists() or journal.stat().st_size < before + 5000) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        lines = journal.read_bytes().splitlines()[:-1]
        assert len(lines) > 10
        for line in map(json.loads, lines):
            assert (folder / "out" / line[MAP]["file"]).stat().st_size > 50
    outcomes, _ = mapped(folder)
    assert 0 < len(outcomes) < 303
    assert len(maps(folder / "out")) == 303


def test_maps_of_another_run_are_no_input(tmp_path: Path) -> None:
    for name in ("photos/a.png", "photos/out/maps/a.png.png", "photos/out/own.png", "photos/maps/b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(tmp_path / name)
    for name in ("run.json", "results.jsonl"):
        (tmp_path / "photos/out" / name).write_text("{}")
    found = discover(SourceConfig((str(tmp_path / "photos"),)))
    assert [item.ref.path if isinstance(item, ImageFailure) else item.path for item in found] == [
        "a.png",
        "maps/b.png",
        "out/own.png",
    ]
