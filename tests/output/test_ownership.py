"""Nothing that yolocli did not write is ever replaced or removed, whatever folder it is told to write into."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import FakeDetector
from tests.support import records, result, run, run_config, write_image, yolocli
from yolocli.errors import UsageError
from yolocli.output.extract import Choice, extract
from yolocli.output.folder import OutputFolder
from yolocli.output.formats import FORMATS
from yolocli.output.journal import Journal
from yolocli.output.ownership import JOURNAL, JOURNAL_FILE, SETTINGS_FILE, is_output_folder, refuse_foreign
from yolocli.output.projection import rebuild
from yolocli.pipeline import Run

ALL = tuple(FORMATS)
PLACES = (
    "run.json",
    "results.jsonl",
    "summary.json",
    "results.damaged.jsonl",
    "failures.jsonl",
    "detections.csv",
    "images.csv",
    "json/a.png.json",
    "json/deep/er/x.png.json",
    "csv/a.png.csv",
)


@pytest.fixture
def pictures(tmp_path: Path, fake_detectors: list[FakeDetector]) -> Path:
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png"):
        write_image(tmp_path / "in" / name)
    (tmp_path / "in/bad.png").write_text("no image")
    return tmp_path / "in"


def snapshot(folder: Path) -> dict[str, bytes | str]:
    return {
        str(path.relative_to(folder)): os.readlink(path)
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else "folder"
        for path in sorted(folder.rglob("*"))
    }


def put(path: Path, content: bytes = b"mine, and no line of yolocli's\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def refused(folder: Path, name: str, **options: Any) -> None:
    """Asserts that a run says which file stands in its way, and leaves the folder as it is."""
    before = snapshot(folder)
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="wrote") as caught:
            run(folder.parent / "in", output=folder, workers=1, overwrite=overwrite, formats=ALL, **options)
        assert name in str(caught.value)
        assert snapshot(folder) == before


# A folder that no run has written into


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("content", [b"mine\n", b""])
def test_a_file_of_somebody_else_is_not_replaced(name: str, content: bytes, pictures: Path) -> None:
    put(pictures.parent / "out" / name, content)
    refused(pictures.parent / "out", name)


@pytest.mark.parametrize("name", PLACES)
def test_nor_a_link_in_its_place(name: str, pictures: Path) -> None:
    victim = put(pictures.parent / "victim")
    link = pictures.parent / "out" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(victim)
    refused(pictures.parent / "out", name)


@pytest.mark.parametrize("name", PLACES[:7])
def test_nor_a_folder_in_its_place(name: str, pictures: Path) -> None:
    put(pictures.parent / "out" / name / "mine")
    refused(pictures.parent / "out", name)


def test_a_lock_of_somebody_else_is_not_cut(pictures: Path) -> None:
    put(pictures.parent / "out/.lock")
    refused(pictures.parent / "out", ".lock")


def test_many_files_in_the_way_are_told_in_a_line(pictures: Path) -> None:
    for number in range(300):
        put(pictures.parent / f"out/json/{number}.json")
    with pytest.raises(UsageError) as caught:
        run(pictures, output=pictures.parent / "out")
    assert "and more" in str(caught.value)
    assert len(str(caught.value)) < 300 + len(str(pictures.parent))


def test_files_that_are_not_in_the_way_disturb_nobody(pictures: Path) -> None:
    output = pictures.parent / "out"
    mine = [put(output / name) for name in ("notes.txt", "json/notes.txt", "images.csv", "csv/x.csv", ".partial/mine")]
    for overwrite in (False, True, True):
        run(pictures, output=output, workers=1, overwrite=overwrite, formats=("json",))
        assert all(path.read_bytes() == b"mine, and no line of yolocli's\n" for path in mine)
    assert len(list((output / "json").glob("*.json"))) == 3


def test_the_results_of_another_program_beside_the_pictures(tmp_path: Path) -> None:
    """The command, told to write where the folder of the pictures is."""
    (tmp_path / "pics").mkdir()
    write_image(tmp_path / "pics/a.png")
    for name in ("images.csv", "detections.csv", "summary.json", "run.json", "json/a.png.json"):
        put(tmp_path / name)
    before = snapshot(tmp_path)
    for options in ([], ["--overwrite"]):
        answer = yolocli("detect", "pics", "-o", ".", "-m", "builtin", "--no-progress", *options, cwd=tmp_path)
        assert (answer.returncode, answer.stdout) == (2, b""), answer.stderr
        assert b"run.json, summary.json" in answer.stderr
        assert answer.stderr.count(b"yolocli: ") == 1
        assert snapshot(tmp_path) == before


@pytest.mark.parametrize("content", [b"sixteen bytes...", b'{"loss": 1}\n{"loss"', b"\n\n", b'{"schema": 1}\n'])
def test_export_leaves_a_folder_that_is_no_output_folder(content: bytes, tmp_path: Path) -> None:
    put(tmp_path / "results.jsonl", content)
    for name in ("images.csv", ".partial/mine", ".partial/file"):
        put(tmp_path / name)
    before = snapshot(tmp_path)
    answer = yolocli("export", tmp_path)
    assert answer.returncode == 2, answer.stderr
    assert answer.stderr.count(b"\n") == 1
    assert b"results.jsonl" in answer.stderr
    with pytest.raises(UsageError, match=r"results\.jsonl"):
        extract(tmp_path, tmp_path / "new", ("csv",), Choice(0.5))
    assert snapshot(tmp_path) == before


# An output folder


@pytest.fixture
def output(pictures: Path) -> Path:
    """An output folder with JSON files alone."""
    run(pictures, output=pictures.parent / "out", workers=1, formats=("json",))
    return pictures.parent / "out"


@pytest.mark.parametrize(
    "name", ["images.csv", "detections.csv", "failures.jsonl", "results.damaged.jsonl", "summary.json"]
)
def test_a_table_of_somebody_else_in_an_output_folder_stays(name: str, output: Path) -> None:
    put(output / name, b"name,price\napple,1\n")
    refused(output, name)
    with pytest.raises(UsageError, match=name) if name != "summary.json" else pytest.raises(ZeroDivisionError):
        rebuild(output, ("csv",)) and 1 / 0
    assert (output / name).read_bytes() == b"name,price\napple,1\n"


@pytest.mark.parametrize(("name", "kind"), [("json/new.png.json", "json"), ("csv/new.png.csv", "csv-per-image")])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_in_the_place_of_a_new_image_stays(name: str, kind: str, overwrite: bool, output: Path) -> None:
    mine = put(output / name, b'{"mine": 1}\n')
    write_image(output.parent / "in/new.png")
    with pytest.raises(UsageError, match=name):
        run(output.parent / "in", output=output, workers=1, formats=(kind,), overwrite=overwrite)
    assert mine.read_bytes() == b'{"mine": 1}\n'
    mine.unlink()
    run(output.parent / "in", output=output, workers=1, formats=(kind,))
    assert (output / name).exists()


@pytest.mark.parametrize(("name", "kind"), [("json/a.png.json", "json"), ("csv/a.png.csv", "csv-per-image")])
def test_a_file_in_the_place_of_an_image_done_before_stays(name: str, kind: str, output: Path) -> None:
    mine = put(output / name, b'{"mine": 1}\n')
    with pytest.raises(UsageError, match=name):
        run(output.parent / "in", output=output, workers=1, formats=(kind,), overwrite=True)
    assert len(records(output / JOURNAL)) == 3, "nor are the records lost"
    with pytest.raises(UsageError, match=name):
        rebuild(output, (kind,))
    assert mine.read_bytes() == b'{"mine": 1}\n'


def test_prune_and_overwrite_leave_what_somebody_put_in_the_place_of_an_image(output: Path) -> None:
    mine = [put(output / name) for name in ("json/a.png.json", "csv/a.png.csv", "images.csv")]
    (output.parent / "in/a.png").unlink()
    run(output.parent / "in", output=output, workers=1, formats=("json",), prune=True)
    run(output.parent / "in", output=output, workers=1, formats=("json",), overwrite=True)
    assert all(path.read_bytes() == b"mine, and no line of yolocli's\n" for path in mine)


def test_a_table_that_comes_during_the_run_stays(pictures: Path) -> None:
    walk = iter(Run(run_config(pictures, output=pictures.parent / "out", workers=1)))
    next(walk)
    mine = put(pictures.parent / "out/images.csv")
    with pytest.raises(UsageError, match=r"images\.csv"):
        list(walk)
    assert mine.read_bytes() == b"mine, and no line of yolocli's\n"
    mine.unlink()
    _, this = run(pictures, output=pictures.parent / "out", workers=1)
    assert this.summary.skipped == 2


def test_all_of_it_is_made_again_over_what_is_there(output: Path) -> None:
    for _ in range(2):
        rebuild(output, ALL)
        run(output.parent / "in", output=output, workers=1, formats=ALL)
        run(output.parent / "in", output=output, workers=1, formats=ALL, overwrite=True)
    assert len(records(output / JOURNAL)) == 3


@pytest.mark.parametrize("damage", [b"", bytes(300), b"torn"])
@pytest.mark.parametrize("name", ["images.csv", "summary.json", "json/bad.png.json", "failures.jsonl"])
def test_what_a_power_cut_spoiled_is_made_again(name: str, damage: bytes, output: Path) -> None:
    run(output.parent / "in", output=output, workers=1, formats=("json", "csv"))
    whole = (output / name).read_bytes()
    (output / name).write_bytes(whole[:5] if damage == b"torn" else damage)
    run(output.parent / "in", output=output, workers=1, formats=("json", "csv"))
    rebuild(output, ("json", "csv"))
    assert (output / name).read_bytes() == whole or name == "summary.json"


@pytest.mark.parametrize("name", ["run.json", "results.jsonl"])
def test_what_the_folder_is_known_by_may_be_damaged(name: str, output: Path) -> None:
    """As long as it is known by the other: what becomes of the damage is said by whoever reads it."""
    (output / name).write_bytes(b"}{" + (output / name).read_bytes()[2:90])
    refuse_foreign(output, [SETTINGS_FILE, JOURNAL_FILE], [])
    (output / ("results.jsonl" if name == "run.json" else "run.json")).unlink()
    with pytest.raises(UsageError, match=name):
        refuse_foreign(output, [SETTINGS_FILE, JOURNAL_FILE], [])


def test_settings_of_another_program_beside_a_journal_stay(output: Path) -> None:
    put(output / "run.json", b'{"lr": 0.1}')
    refused(output, "run.json")


# What a killed run left


def _half_done(output: Path, moment: str) -> None:
    """Leaves of an output folder what a run that was killed at that moment would have."""
    (output / ".partial").mkdir()
    (output / ".partial/yolocli-").write_bytes(b'{\n  "finger')
    (output / ".lock").touch()
    for name in ("summary.json", "failures.jsonl", "images.csv", "detections.csv"):
        (output / name).unlink(missing_ok=True)
    journal = (output / JOURNAL).read_bytes()
    if moment == "before run.json":
        shutil.rmtree(output / "json")
        (output / "run.json").unlink()
        (output / JOURNAL).unlink()
    elif moment == "before the journal":
        shutil.rmtree(output / "json")
        (output / JOURNAL).unlink()
    elif moment == "before the first line":
        (output / JOURNAL).write_bytes(b"")
    elif moment == "in the first line":
        (output / JOURNAL).write_bytes(journal[:9])
    else:  # JSON files of images that are not in the journal yet
        (output / JOURNAL).write_bytes(journal.splitlines(keepends=True)[0] + b'{"sch')


@pytest.mark.parametrize(
    "moment",
    ["before run.json", "before the journal", "before the first line", "in the first line", "in the second line"],
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_killed_run_goes_on(moment: str, overwrite: bool, output: Path) -> None:
    run(output.parent / "in", output=output.parent / "whole", workers=1)
    _half_done(output, moment)
    _, this = run(output.parent / "in", output=output, workers=1, overwrite=overwrite)
    assert this.summary.folder == {"images": 2, "failures": 1, "detections": 2}
    assert {entry.name for entry in output.iterdir()} - {".lock"} == {
        entry.name for entry in (output.parent / "whole").iterdir()
    } - {".lock"}


# How an output folder is known


@pytest.fixture
def journals(tmp_path: Path) -> Iterator[Path]:
    folder = OutputFolder(tmp_path / "out")
    with folder.held():
        journal = Journal(folder)
        for name in ("a.jpg", "b.jpg"):
            journal.append(result(name))
        journal.close()
        yield folder.root


def test_by_its_journal(journals: Path) -> None:
    assert is_output_folder(journals)
    whole = (journals / JOURNAL).read_bytes()
    for content, ours in ((whole[:-3], True), (b"\0" * 40 + b"\n" + whole, True), (b"", False), (b"\0" * 9, False)):
        (journals / JOURNAL).write_bytes(content)
        assert is_output_folder(journals) is ours, content


def test_by_its_settings(tmp_path: Path) -> None:
    for content, ours in (({"fingerprint": {"runtime": "torch"}}, True), ({"name": "mine", "fingerprint": 1}, False)):
        (tmp_path / "run.json").write_text(json.dumps(content, indent=2))
        assert is_output_folder(tmp_path) is ours
    assert not is_output_folder(tmp_path / "nothing")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFO on this system")
@pytest.mark.parametrize("name", ["run.json", "results.jsonl", "images.csv", "json/a.png.json", ".lock"])
def test_a_fifo_does_not_hang_it(name: str, pictures: Path) -> None:
    (pictures.parent / "out" / name).parent.mkdir(parents=True)
    os.mkfifo(pictures.parent / "out" / name)
    with pytest.raises(UsageError, match=os.path.basename(name)):
        run(pictures, output=pictures.parent / "out", workers=1)
    assert subprocess.run(["test", "-p", str(pictures.parent / "out" / name)], check=False).returncode == 0
