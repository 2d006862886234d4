"""What earlier runs made is no input, wherever their folder lies."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.sources.support import find, named, paths, touch
from tests.support import run, write_image, yolocli
from yolocli.errors import UsageError
from yolocli.output.folder import OutputFolder
from yolocli.output.formats import every_format, files_of
from yolocli.output.projection import rebuild
from yolocli.output.sink import ImageFiles
from yolocli.sources.outputs import MARKER, made_in, marker

DRAWN = ImageFiles("drawn", ".jpg", b"\xff\xd8")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Photographs; a folder among them that a run wrote into, beside a photograph; and a link to that."""
    touch(tmp_path / "photos/a.jpg", tmp_path / "photos/out/own.jpg", tmp_path / "photos/out/more/own.jpg")
    folder = OutputFolder(tmp_path / "photos/out")
    with folder.held():
        folder.write_image(DRAWN, "a.jpg", b"\xff\xd8 drawn")
        folder.write_image(DRAWN, "deep/b.jpg", b"\xff\xd8 drawn")
    return tmp_path / "photos"


ORIGINALS = ["a.jpg", "out/more/own.jpg", "out/own.jpg"]
DRAWINGS = ["out/drawn/a.jpg.jpg", "out/drawn/deep/b.jpg.jpg"]


def test_a_walk_passes_by_what_a_run_made_and_nothing_else(photos: Path) -> None:
    notices: list[str] = []
    assert paths(photos, notices=notices) == ORIGINALS
    assert notices == [f"{photos}/out/drawn: made by earlier runs, not searched (use --include-outputs)"]
    assert paths(photos.parent, hidden=True) == ["photos/" + name for name in ORIGINALS]
    assert paths(photos, include_outputs=True) == sorted(ORIGINALS + DRAWINGS)


@pytest.mark.parametrize("pattern", ["**/*.jpg", "**", "*/*.jpg", "*/*/*.jpg", "*/*/*/*.jpg", "out/*", "*"])
def test_wildcards_do_not_match_it(pattern: str, photos: Path) -> None:
    with_all = {Path(item.source) for item in find(photos / pattern, include_outputs=True)}
    drawn = {path for path in with_all if path.is_relative_to(photos / "out/drawn")}
    assert {Path(item.source) for item in find(photos / pattern)} == with_all - drawn
    assert drawn or pattern == "*/*.jpg"


def test_what_is_named_is_taken(photos: Path) -> None:
    drawing = photos / "out/drawn/a.jpg.jpg"
    assert paths(photos / "out/drawn") == ["a.jpg.jpg", "deep/b.jpg.jpg"]
    assert paths(photos / "out/drawn/*.jpg") == ["a.jpg.jpg"]
    assert paths(drawing) == [named(drawing)]
    (photos.parent / "list").write_text(f"{photos}/out/drawn\n{drawing}\n")
    assert [item.source for item in find(files_from=str(photos.parent / "list"))] == [
        str(drawing),
        str(photos / "out/drawn/deep/b.jpg.jpg"),
    ]
    assert paths(photos / "out") == ["more/own.jpg", "own.jpg"]


def test_several_folders_are_told_of_in_one_line(photos: Path) -> None:
    for name in ("b", "c"):
        touch(photos / name / "drawn/x.jpg", photos / name / "crops/x.jpg")
        (photos / name / MARKER).write_bytes(marker(["crops", "drawn"]))
    notices: list[str] = []
    assert paths(photos, notices=notices) == ORIGINALS
    assert notices == [f"{photos}/b/crops and 4 more: made by earlier runs, not searched (use --include-outputs)"]


def test_a_marker_that_is_none_hides_nothing(tmp_path: Path) -> None:
    touch(tmp_path / "drawn/x.jpg")
    for content in (b"", b"drawn\n", b"\xff" * 100, marker(["drawn"]) + b"x" * (1 << 16)):
        (tmp_path / MARKER).write_bytes(content)
        assert paths(tmp_path) == ["drawn/x.jpg"]
    (tmp_path / MARKER).unlink()
    os.mkfifo(tmp_path / MARKER)
    assert paths(tmp_path) == ["drawn/x.jpg"]
    (tmp_path / MARKER).unlink()
    (tmp_path / MARKER).write_bytes(marker(["drawn", "../drawn", "x.jpg"]))
    touch(tmp_path / "x.jpg")
    assert paths(tmp_path) == ["x.jpg"]


def test_every_output_folder_has_one_and_it_names_what_is_there(tmp_path: Path, fake_detectors: object) -> None:
    write_image(tmp_path / "a.png")
    run(tmp_path / "a.png", output=tmp_path / "tables", formats=("csv",))
    assert made_in(tmp_path / "tables", [MARKER]) == frozenset()
    run(tmp_path / "a.png", output=tmp_path / "out", formats=("json",))
    assert made_in(tmp_path / "out", [MARKER]) == {"json"}
    rebuild(tmp_path / "out", ["csv-per-image"])
    assert made_in(tmp_path / "out", [MARKER]) == {"csv", "json"}
    run(tmp_path / "a.png", output=tmp_path / "out", overwrite=True, formats=("csv",))
    assert made_in(tmp_path / "out", [MARKER]) == frozenset()
    (tmp_path / "out/json").mkdir()
    write_image(tmp_path / "out/json/mine.png")
    assert paths(tmp_path / "out") == ["json/mine.png"]


@pytest.mark.parametrize("files", files_of(every_format())[1], ids=lambda files: files.folder)
def test_it_names_a_folder_before_there_is_a_file_in_it(
    files: ImageFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = OutputFolder(tmp_path / "out")
    with folder.held():
        monkeypatch.setattr("yolocli.output.partial.Partial.write", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            folder.write_image(files, "a.jpg", b"data")
        assert made_in(folder.root, [MARKER]) == {files.folder}


def test_an_older_folder_keeps_its_maps_hidden_when_it_gets_a_marker(tmp_path: Path) -> None:
    touch(tmp_path / "out/maps/a.png")
    for name in ("run.json", "results.jsonl"):
        (tmp_path / "out" / name).write_text("{}")
    assert find(tmp_path) == []
    with OutputFolder(tmp_path / "out").held():
        pass
    assert (tmp_path / "out" / MARKER).read_bytes() == marker(["maps"])
    assert find(tmp_path) == []


def test_a_marker_of_somebody_else_is_not_replaced(tmp_path: Path, fake_detectors: object) -> None:
    write_image(tmp_path / "a.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / MARKER).write_text("mine\n")
    with pytest.raises(UsageError, match=r"out: \.yolocli-output is no file that yolocli wrote"):
        run(tmp_path / "a.png", output=tmp_path / "out")


def test_the_command_says_what_it_did_not_search(photos: Path) -> None:
    listed = yolocli("detect", photos, "--dry-run")
    assert listed.stdout.splitlines() == [os.fsencode(photos / name) for name in ORIGINALS]
    assert b"made by earlier runs, not searched (use --include-outputs)" in listed.stderr
    everything = yolocli("detect", photos, "--dry-run", "--include-outputs")
    assert everything.stdout.count(b"\n") == len(ORIGINALS + DRAWINGS)


def test_a_run_in_the_folder_of_its_photographs_goes_on_finding_them(tmp_path: Path, fake_detectors: object) -> None:
    """An output folder that holds the input is walked into where it is, but for what is its own."""
    (tmp_path / "photos").mkdir()
    write_image(tmp_path / "photos/a.png")
    for _ in range(2):
        _, this = run(tmp_path / "photos", output=tmp_path)
        assert this.summary.images + this.summary.skipped == 1
    assert json.loads((tmp_path / "summary.json").read_bytes())["folder"]["images"] == 1
