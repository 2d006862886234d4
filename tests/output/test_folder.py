from __future__ import annotations

import contextlib
import gc
import hashlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import run, without_privileges, write_image
from yolocli.errors import OutputError
from yolocli.output.folder import OutputFolder
from yolocli.output.formats.json_files import FILES as JSON
from yolocli.output.places import MAX_NAME_BYTES, per_image, places
from yolocli.output.run_file import read_json, write_json
from yolocli.output.sink import ImageFiles
from yolocli.sources.outputs import MARKER


@pytest.fixture
def folder(tmp_path: Path) -> OutputFolder:
    made = OutputFolder(tmp_path / "out")
    made.root.mkdir()
    made.create()
    return made


# Names

_parts = st.one_of(
    st.sampled_from(["..", ".", "", "~", "a", "x.jpg", "x.jpg.json", "x.jpg.json~", "x" * 251 + ".jpg"]),
    st.binary(min_size=1, max_size=12).map(lambda raw: os.fsdecode(raw.replace(b"/", b"_").replace(b"\0", b"_"))),
    st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=90),
)
_paths = st.lists(_parts, min_size=1, max_size=4).map("/".join)


@given(path=_paths)
def test_a_file_for_an_image_never_lies_outside(path: str) -> None:
    place = per_image(JSON, path)
    assert place.parts[0] == "json"
    assert len(place.parts) >= 2
    assert ".." not in place.parts
    assert not os.path.isabs(place)
    assert os.path.normpath(place) == str(place)
    assert len(os.fsencode(place.name)) <= MAX_NAME_BYTES
    assert place.name.endswith(".json")


def _is_record_path(path: str) -> bool:
    """As discovery makes them: of a file that can exist, without dots and empty parts."""
    return all(part not in {"", ".", ".."} and len(os.fsencode(part)) <= 255 for part in path.split("/"))


@settings(max_examples=200)
@given(paths=st.lists(_paths.filter(_is_record_path), min_size=2, max_size=6, unique=True))
def test_different_images_have_different_files_that_can_all_exist(paths: list[str]) -> None:
    with tempfile.TemporaryDirectory() as tree, tempfile.TemporaryDirectory() as out:
        there = []
        for path in paths:  # only what can be images side by side in one tree
            try:
                os.makedirs(os.path.dirname(os.path.join(tree, path)), exist_ok=True)
                with open(os.path.join(tree, path), "xb"):
                    there.append(path)
            except OSError:
                continue
        for path in there:
            place = os.path.join(out, per_image(JSON, path))
            os.makedirs(os.path.dirname(place), exist_ok=True)
            with open(place, "xb"):  # x: fails where another image's file or folder stands
                pass
        assert len([name for _, _, names in os.walk(out) for name in names]) == len(there)


def test_removing_follows_no_link_out_of_the_folder(folder: OutputFolder) -> None:
    beside = folder.root.with_name(folder.root.name + "-old")  # its path begins like the folder's own
    beside.mkdir()
    (beside / "a.jpg.json").write_text("keep")
    (folder.root / "json").symlink_to(beside)
    folder.remove_images([JSON], "a.jpg")
    assert (beside / "a.jpg.json").exists()


@pytest.mark.parametrize("suffix", [".json", ".csv"])
def test_names_of_255_bytes_have_files_too(folder: OutputFolder, suffix: str) -> None:
    longest = ["n" * 251 + ".jpg", "é" * 125 + ".jpg", os.fsdecode(b"\xff" * 251 + b".jpg"), "n" * 250 + "m.jpg"]
    for name in longest:
        folder.write(per_image(ImageFiles("json", suffix, b""), f"a/{name}"), name.encode("utf-8", "surrogateescape"))
    written = sorted(file.read_bytes() for file in (folder.root / "json/a").iterdir())
    assert written == sorted(os.fsencode(name) for name in longest)


@pytest.mark.parametrize(
    "path",
    [
        "nul\0name.jpg",
        "nul\0folder/x.jpg",
        "n" * 300 + ".jpg",
        "n" * 300 + "/x.jpg",
        "n" * 250 + ".json/x.jpg",
        "deep/" * 900 + "x.jpg",
        "é/" * 2000 + "x.jpg",
    ],
)
def test_a_path_that_no_file_can_have_has_a_file_for_its_record(folder: OutputFolder, path: str) -> None:
    others = ["y" + path, path + "y"]
    for name in (path, *others):
        folder.write(per_image(JSON, name), name.encode())
    files = [file for file in (folder.root / "json").rglob("*") if file.is_file()]
    assert sorted(file.read_bytes() for file in files) == sorted(name.encode() for name in (path, *others))


def test_a_name_that_the_disk_cannot_hold_costs_the_name_and_not_the_run(
    tmp_path: Path, fake_detectors: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The output folder lies so deep that the path of the image below it is longer than the system takes."""
    image = "/".join("x" * 200 for _ in range(3)) + "/a.png"
    (tmp_path / "in" / image).parent.mkdir(parents=True)
    write_image(tmp_path / "in" / image)
    write_image(tmp_path / "in/b.png")
    deep = tmp_path
    while len(str(deep)) < 3600:
        deep /= "y" * 100
    deep.mkdir(parents=True)
    output = deep / "out"
    for done in (2, 0):
        outcomes, this = run(tmp_path / "in", output=output)
        assert (len(outcomes), this.summary.exit_code) == (done, 0)
    written = [json.loads(file.read_bytes())["path"] for file in (output / "json").iterdir()]
    assert sorted(written) == ["b.png", image]
    (tmp_path / "in" / image).unlink()
    run(tmp_path / "in", output=output, prune=True)
    assert len(list((output / "json").iterdir())) == 1


def test_the_suffix_of_the_image_is_kept() -> None:
    assert per_image(JSON, "a/1.jpg") == Path("json/a/1.jpg.json")
    assert per_image(ImageFiles("csv", ".csv", b""), "a/1.png") == Path("csv/a/1.png.csv")


@pytest.mark.parametrize("path", ["n" * 255, "a\0b", "a.jpg"])
def test_no_name_is_that_of_a_file_whose_image_is_called_otherwise(path: str) -> None:
    for place in places(JSON, path):
        assert per_image(JSON, place.name.removesuffix(".json")) != place or place == Path("json", f"{path}.json")


# Writing


def test_a_file_is_written_whole(folder: OutputFolder) -> None:
    folder.write(Path("a/b/c.json"), b"one")
    folder.write(Path("a/b/c.json"), b"two")
    assert (folder.root / "a/b/c.json").read_bytes() == b"two"


def test_a_file_that_is_being_written_is_not_seen(folder: OutputFolder) -> None:
    folder.write(Path("x.csv"), b"old")
    with folder.open("x.csv") as stream:
        stream.write(b"new")
        stream.flush()
        assert (folder.root / "x.csv").read_bytes() == b"old"
    assert (folder.root / "x.csv").read_bytes() == b"new"


def test_a_block_that_fails_leaves_the_old_file(folder: OutputFolder) -> None:
    folder.write(Path("x.csv"), b"old")
    with contextlib.suppress(ZeroDivisionError), folder.open("x.csv") as stream:
        stream.write(b"half")
        raise ZeroDivisionError
    assert (folder.root / "x.csv").read_bytes() == b"old"
    folder.close()
    assert {file.name for file in folder.root.iterdir()} == {MARKER, "x.csv"}


def test_what_a_killed_run_left_half_written_goes(folder: OutputFolder) -> None:
    with contextlib.suppress(ZeroDivisionError), folder.open("x.csv") as stream:
        stream.write(b"half")
        raise ZeroDivisionError
    assert list((folder.root / ".partial").iterdir())
    OutputFolder(folder.root).create()
    assert not list((folder.root / ".partial").iterdir())


def test_what_somebody_else_keeps_among_the_unfinished_files_stays(folder: OutputFolder) -> None:
    (folder.root / ".partial/file").write_bytes(b"mine")
    again = OutputFolder(folder.root)
    again.create()
    again.write(Path("x.csv"), b"new")
    again.close()
    assert (folder.root / ".partial/file").read_bytes() == b"mine"
    assert [entry.name for entry in (folder.root / ".partial").iterdir()] == ["file"]


def test_what_a_killed_run_of_an_earlier_version_left_half_written_goes(folder: OutputFolder) -> None:
    write_json(folder, "run.json", {"fingerprint": {}})
    (folder.root / ".partial/file").write_bytes(b"half")
    (folder.root / ".partial" / ("0" * 32)).write_bytes(b"half")
    OutputFolder(folder.root).create()
    assert not list((folder.root / ".partial").iterdir())


def test_a_link_inside_does_not_lead_out(folder: OutputFolder, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (folder.root / "json").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    with pytest.raises(OutputError, match="leads out"):
        folder.write(Path("json/x.json"), b"{}")
    with pytest.raises(OutputError, match="leads out"):
        folder.write(Path("json/deep/er/x.json"), b"{}")
    assert [*(tmp_path / "elsewhere").rglob("*.json")] == []


def test_a_link_in_a_files_place_is_replaced_not_followed(folder: OutputFolder, tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"keep")
    (folder.root / "images.csv").symlink_to(tmp_path / "precious")
    folder.write(Path("images.csv"), b"new")
    assert (tmp_path / "precious").read_bytes() == b"keep"
    assert (folder.root / "images.csv").read_bytes() == b"new"


# What is put in the way during a run


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder that looks like the one that a link may take the place of."""
    (tmp_path / "elsewhere/sub").mkdir(parents=True)
    return tmp_path / "elsewhere"


@pytest.mark.parametrize("name", ["json", "json/sub", ".partial"])
@pytest.mark.parametrize("soon", [True, False])
def test_a_link_put_in_place_of_a_folder_takes_no_file_elsewhere(
    name: str, soon: bool, folder: OutputFolder, elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write(Path("json/sub/a.json"), b"{}")
    (folder.root / name).rename(tmp_path / "away")
    (folder.root / name).symlink_to(elsewhere)
    if soon:  # it goes on where it was, and what has become of that is seen at the end
        with contextlib.suppress(OutputError):
            folder.write(Path("json/sub/b.json"), b"{}")
    else:
        monkeypatch.setattr("yolocli.output.anchors.TRUSTED_SECONDS", 0)
        time.sleep(0.6)
        with pytest.raises(OutputError, match="leads out"):
            folder.write(Path("json/sub/b.json"), b"{}")
    with pytest.raises(OutputError, match="leads out"):
        folder.check()
    folder.close()
    assert [path for path in elsewhere.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("again", [True, False])
def test_a_folder_that_was_moved_away_is_missed(again: bool, folder: OutputFolder, tmp_path: Path) -> None:
    folder.write(Path("json/sub/a.json"), b"{}")
    folder.check()
    (folder.root / "json").rename(tmp_path / "away")
    if again:
        (folder.root / "json/sub").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"json was replaced|No such file"):
        folder.check()


def test_an_output_folder_that_was_moved_away_is_missed(folder: OutputFolder, tmp_path: Path) -> None:
    folder.write(Path("json/a.json"), b"{}")
    folder.root.rename(tmp_path / "away")
    with pytest.raises(OutputError):
        folder.check()
    folder.root.mkdir()
    with pytest.raises(OutputError, match="replaced"):
        folder.check()


@pytest.mark.parametrize("kind", ["link", "hard link", "file"])
def test_a_file_planted_among_the_unfinished_ones_is_not_written_to(
    kind: str, folder: OutputFolder, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"keep")
    table = hashlib.blake2b(b"images.csv", digest_size=16).hexdigest()
    for name in ("file", "yolocli-", table, "yolocli-" + table):
        planted = folder.root / ".partial" / name
        if kind == "link":
            planted.symlink_to(victim)
        elif kind == "hard link":
            os.link(victim, planted)
        else:
            planted.write_bytes(b"x" * 99)
    folder.write(Path("json/a.json"), b"{}")
    with folder.open("images.csv") as stream:
        stream.write(b"path")
    assert victim.read_bytes() == b"keep"
    for name, content in (("json/a.json", b"{}"), ("images.csv", b"path")):
        assert (folder.root / name).read_bytes() == content
        assert not (folder.root / name).is_symlink()


SWAP = """
import os, sys
root, elsewhere, name = sys.argv[1:]
ours, away = os.path.join(root, name), os.path.join(root, "away")
print(flush=True)
while True:
    try:
        os.rename(ours, away)
        os.symlink(elsewhere, ours)
        os.unlink(ours)
        os.rename(away, ours)
    except OSError:
        if os.path.islink(ours):
            os.unlink(ours)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs links")
@pytest.mark.parametrize("name", ["json", "json/sub", ".partial"])
def test_links_swapped_in_and_out_take_no_file_elsewhere(
    name: str, folder: OutputFolder, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yolocli.output.anchors.TRUSTED_SECONDS", 0.0005)
    folder.write(Path("json/sub/0.json"), b"{}")
    command = [sys.executable, "-c", SWAP, str(folder.root), str(elsewhere), name]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as swapping:
        try:
            assert swapping.stdout is not None
            swapping.stdout.readline()
            refused = written = 0
            deadline = time.monotonic() + 30
            for number in itertools.count():
                if number >= 3000 and ((refused and written) or time.monotonic() > deadline):
                    break
                try:
                    folder.write(Path(f"json/sub/{number}.json"), b"{}")
                    written += 1
                except OutputError:
                    refused += 1
        finally:
            swapping.kill()
    assert refused, "it was never in the way"
    assert written
    assert [path for path in elsewhere.rglob("*") if path.is_file()] == []


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="no /proc")
def test_few_folders_are_open_at_a_time(folder: OutputFolder) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for number in range(300):
        folder.write(Path(f"json/{number}/a.json"), b"{}")
    assert len(os.listdir("/proc/self/fd")) <= before + 33
    folder.check()
    folder.close()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_a_system_that_works_by_paths_alone(folder: OutputFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yolocli.output.anchors.HOLDS_FOLDERS", False)
    again = OutputFolder(folder.root)
    again.create()
    for _ in range(2):
        again.write_image(JSON, "a/b/c.jpg", b'{\n  "schema": 1,\n  "path": "')
        with again.open("images.csv") as stream:
            stream.write(b"path")
    again.check()
    again.remove_images([JSON], "a/b/c.jpg")
    assert not (folder.root / "json").exists()
    (folder.root / "json").symlink_to(folder.root.parent)
    with pytest.raises(OutputError, match="leads out"):
        again.write(Path("json/x.json"), b"{}")
    again.close()
    assert {entry.name for entry in folder.root.iterdir()} == {MARKER, "images.csv", "json"}


def test_a_folder_that_cannot_be_written_is_said_in_one_line(open_folder: Path) -> None:
    with without_privileges(), pytest.raises(OutputError) as caught:
        OutputFolder(open_folder / "out").create()
    assert str(open_folder / "out") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_remove_takes_files_and_links_but_not_what_links_lead_to(folder: OutputFolder, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far/precious").touch()
    folder.write(Path("images.csv"), b"")
    (folder.root / "csv").symlink_to(tmp_path / "far", target_is_directory=True)
    folder.remove("csv", "images.csv", "nothing.csv")
    assert {path.name for path in folder.root.iterdir()} == {MARKER, ".partial"}
    assert (tmp_path / "far/precious").exists()


def test_remove_takes_no_folder(folder: OutputFolder) -> None:
    (folder.root / "images.csv").mkdir()
    (folder.root / "images.csv/mine").touch()
    with pytest.raises(OutputError, match=r"images\.csv"):
        folder.remove("images.csv")
    assert (folder.root / "images.csv/mine").exists()


def test_json_objects_come_back(folder: OutputFolder) -> None:
    write_json(folder, "run.json", {"a": [1, None]})
    assert read_json(folder, "run.json") == {"a": [1, None]}
    (folder.root / "bad.json").write_bytes(b"\xff{")
    (folder.root / "list.json").write_bytes(b"[]")
    assert [read_json(folder, name) for name in ("gone.json", "bad.json", "list.json")] == [None] * 3


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="no /proc on this system")
def test_a_folder_that_nobody_closes_leaves_no_number_open(tmp_path: Path) -> None:
    def use() -> None:
        folder = OutputFolder(tmp_path / "out")
        folder.create()
        folder.write(Path("a.json"), b"{}")

    use()
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        use()
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before
