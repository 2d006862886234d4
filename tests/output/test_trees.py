"""Folders of links, copies and labels: nothing of anybody else's is touched, and what is not made any more goes."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import FakeDetector
from tests.support import box, ref, result, run, write_image
from yolocli.config import SORTINGS, SourceConfig
from yolocli.errors import UsageError
from yolocli.output.beside import besides
from yolocli.output.disk import cannot_write
from yolocli.output.folder import OutputFolder
from yolocli.output.formats import find_formats, trees_of
from yolocli.output.journal import Journal
from yolocli.output.overwrite import clear
from yolocli.output.partial import Partial
from yolocli.output.past import sort_key
from yolocli.output.projection import project_all, rebuild
from yolocli.output.run_file import write_json
from yolocli.output.sink import Original
from yolocli.output.stems import Stems, plainer
from yolocli.output.tree_disk import TreeDisk
from yolocli.results import Detection, ImageFailure, ImageRef, Outcome, file_version
from yolocli.sources.outputs import MARKER, made_in
from yolocli.sources.suffixes import IMAGE_SUFFIXES

CAT, DOG = box("cat", 0), box("dog", 1)


class Output:
    """An output folder, and pictures beside it."""

    def __init__(self, root: Path) -> None:
        self.pictures, self.root = root / "in", root / "out"
        self.root.mkdir()
        self.folder = OutputFolder(self.root)
        self.folder.create()
        write_json(self.folder, "run.json", {"fingerprint": {}, "names": {"0": "cat", "1": "dog"}, "finished": "now"})

    def picture(self, path: str, content: bytes = b"") -> ImageRef:
        file = self.pictures / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content or f"picture {path}".encode("utf-8", "surrogateescape"))
        status = file.stat()
        return ImageRef(path, str(file), file_version(status.st_size, status.st_mtime_ns))

    def found(self, path: str, *boxes: Detection, **options: Any) -> Outcome:
        return replace(result(path, boxes), ref=self.picture(path, **options))

    def note(self, *outcomes: Outcome) -> None:
        journal = Journal(self.folder)
        for outcome in outcomes:
            journal.append(outcome)
        journal.close()

    def make(self, *formats: str) -> None:
        project_all(self.folder, find_formats(formats).values(), timings=False)

    def files(self, *tops: str) -> list[str]:
        found = (path for top in tops for path in (self.root / top).rglob("*") if path.is_symlink() or path.is_file())
        return sorted(str(path.relative_to(self.root)) for path in found)


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return Output(tmp_path)


def snapshot(folder: Path) -> dict[str, Any]:
    return {
        str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


# Sorting


def test_ways_of_sorting_are_those_of_originals() -> None:
    assert list(SORTINGS) == list(Original)


@pytest.mark.parametrize("how", SORTINGS)
def test_each_picture_is_below_each_class_found_in_it(how: str, output: Output) -> None:
    output.note(
        output.found("a/1.jpg", CAT, DOG, CAT),
        output.found("b/1.jpg", CAT),
        output.found("b/2.jpg"),
        ImageFailure(ref("b/3.jpg"), "decode", "X", "x"),
    )
    before = snapshot(output.pictures)
    output.make(f"by-class:how={how}")
    names = ["cat/a/1.jpg", "cat/b/1.jpg", "dog/a/1.jpg", "nothing-found/b/2.jpg"]
    assert output.files("by-class") == [f"by-class/{name}" for name in names]
    for name in names:
        path = output.root / "by-class" / name
        original = output.pictures / name.split("/", 1)[1]
        assert path.is_symlink() is (how == "link")
        assert path.read_bytes() == original.read_bytes()
        assert path.stat().st_mtime_ns == original.stat().st_mtime_ns
        assert path.samefile(original) is (how == "link")
    assert snapshot(output.pictures) == before


def test_a_classifier_finds_its_best_class_alone(output: Output) -> None:
    write_json(output.folder, "run.json", {"fingerprint": {}, "task": "classify", "names": {"0": "cat", "1": "dog"}})
    likely = Detection("dog", 1, 0.9), Detection("cat", 0, 0.05)
    output.note(output.found("1.jpg", *likely), output.found("2.jpg"))
    output.make("by-class")
    assert output.files("by-class") == ["by-class/dog/1.jpg", "by-class/nothing-found/2.jpg"]


def test_classes_of_any_name_have_folders_of_their_own(output: Output) -> None:
    names = ["../../in", "a/b", "nothing-found", "", "Cat", "cat", "con", "\0", "x" * 300]
    boxes = [box(name, index) for index, name in enumerate(names)]
    write_json(output.folder, "run.json", {"fingerprint": {}, "names": dict(enumerate(names))})
    output.note(output.found("1.jpg", *boxes), output.found("2.jpg"))
    before = snapshot(output.pictures)
    output.make("by-class:how=copy")
    assert len(output.files("by-class")) == len(names) + 1
    assert snapshot(output.pictures) == before


@pytest.mark.parametrize("how", SORTINGS)
def test_a_picture_leaves_the_folder_of_a_class_that_is_not_found_any_more(how: str, output: Output) -> None:
    output.note(output.found("a/1.jpg", CAT), output.found("a/2.jpg", DOG), output.found("a/3.jpg", DOG))
    output.make(f"by-class:how={how}")
    output.note(output.found("a/1.jpg", DOG, content=b"another picture"), output.found("a/2.jpg"))
    Path(output.picture("a/3.jpg").source).unlink()
    output.make(f"by-class:how={how}")
    all_that_is_left = ["by-class/dog/a/3.jpg"] if how == "copy" else []
    assert output.files("by-class") == ["by-class/dog/a/1.jpg", *all_that_is_left, "by-class/nothing-found/a/2.jpg"]
    assert not (output.root / "by-class/cat").exists()
    assert (output.root / "by-class/dog/a/1.jpg").read_bytes() == b"another picture"


@pytest.mark.parametrize("how", SORTINGS)
def test_what_is_there_as_it_should_be_is_left_as_it_is(how: str, output: Output) -> None:
    output.note(output.found("a/1.jpg", CAT), output.found("a/2.jpg", DOG))
    formats = f"by-class:how={how}", "yolo", "voc"
    output.make(*formats)
    before = {path: path.lstat().st_ino for path in output.root.rglob("*/*")}
    output.make(*formats)
    assert {path: path.lstat().st_ino for path in output.root.rglob("*/*")} == before


def test_a_copy_takes_the_place_of_a_link_when_that_is_asked_for(output: Output) -> None:
    output.note(output.found("1.jpg", CAT))
    for how in ("link", "copy", "link"):
        output.make(f"by-class:how={how}")
        assert (output.root / "by-class/cat/1.jpg").is_symlink() is (how == "link")


def test_what_is_gone_or_no_file_is_counted_and_nothing_else(output: Output) -> None:
    gone = output.found("gone.jpg", CAT)
    Path(gone.ref.source).unlink()
    folder = result("folder.jpg", [CAT], source=str(output.pictures))
    nul = result("nul\0.jpg", [CAT], source="/nul\0.jpg")
    output.note(gone, folder, nul, output.found("1.jpg", CAT))
    for how in SORTINGS:
        told: list[str] = []
        rebuild_with(output, [f"by-class:how={how}"], told)
        assert output.files("by-class") == ["by-class/cat/1.jpg"]
        assert told == ["by-class/ has no place for pictures, gone or unreadable (3)"]


def rebuild_with(output: Output, formats: Sequence[str], told: list[str]) -> None:
    output.folder.close()
    rebuild(output.root, formats, notice=told.append)
    output.folder.create()


def test_where_there_are_no_links_there_are_copies(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(Partial, "link", refuse)
    output.note(output.found("1.jpg", CAT), output.found("2.jpg", CAT))
    for _ in range(2):
        output.make("by-class", "yolo")
        for name in ("by-class/cat/1.jpg", "by-class/cat/2.jpg", "images/1.jpg"):
            assert (output.root / name).read_bytes() == f"picture {name[-5:]}".encode()
            assert not (output.root / name).is_symlink()
    assert len((output.root / "by-class.jsonl").read_bytes().splitlines()) == 2


@pytest.mark.parametrize("refusal", [errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL])
def test_names_that_the_disk_cannot_hold_are_plainer(
    refusal: int, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = TreeDisk.put

    def put(self: TreeDisk, name: str, *more: Any) -> None:
        if ":" in name and name.endswith(".txt"):  # the second file of two
            error = OSError(refusal, os.strerror(refusal))
            raise cannot_write(Path(name), error) from error
        plain(self, name, *more)

    monkeypatch.setattr(TreeDisk, "put", put)
    output.note(output.found("a/1:2.jpg", CAT), output.found("a/3.jpg", CAT))
    output.make("yolo")
    (label,) = output.files("labels")[1:]
    assert label.startswith("labels/~")
    assert output.files("images") == ["images/a/3.jpg", f"images/{Path(label).stem}.jpg"]
    listed = [json.loads(line)["file"] for line in (output.root / "labels.jsonl").read_bytes().splitlines()]
    assert sorted(listed) == output.files("images", "labels")


@pytest.mark.parametrize("how", SORTINGS)
def test_no_copy_is_removed_that_is_all_that_is_left_of_a_picture(how: str, output: Output) -> None:
    gone = output.found("gone.jpg", CAT)
    output.note(gone, output.found("1.jpg", CAT))
    output.make(f"by-class:how={how}")
    Path(gone.ref.source).unlink()
    clear(output.folder, find_formats(["json"]).values())
    assert output.files("by-class") == (["by-class/cat/gone.jpg"] if how == "copy" else [])


# What somebody else put there


@pytest.mark.parametrize("name", ["labels/a/1.txt", "voc/a/1.xml", "by-class/cat/a/1.jpg", "images/a/1.jpg"])
@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_what_a_stranger_put_in_the_way_stays(name: str, kind: str, output: Output, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    path = output.root / name
    path.parent.mkdir(parents=True)
    if kind == "folder":
        (path / "mine").mkdir(parents=True)
    elif kind == "link":
        path.symlink_to(victim)
    else:
        path.write_bytes(b"mine")
    output.note(output.found("a/1.jpg", CAT))
    with pytest.raises(UsageError, match=name):
        output.make("yolo", "voc", "by-class")
    assert victim.read_bytes() == b"mine"
    assert path.is_dir() if kind == "folder" else path.read_bytes() == b"mine"
    assert path.is_symlink() is (kind == "link")


@pytest.mark.parametrize("name", ["labels", "voc/a", "by-class/cat"])
def test_nothing_is_put_behind_a_link_out_of_the_folder(name: str, output: Output, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (output.root / name).parent.mkdir(exist_ok=True)
    (output.root / name).symlink_to(outside)
    output.note(output.found("a/1.jpg", CAT))
    with pytest.raises(Exception, match="leads out of the output folder"):
        output.make("yolo", "voc", "by-class")
    assert list(outside.iterdir()) == []


def test_a_label_that_somebody_corrected_stays(output: Output) -> None:
    """Whatever is done next: to go on, to export, to start anew."""
    output.note(output.found("1.jpg", CAT), output.found("2.jpg", CAT), output.found("3.jpg", CAT))
    output.make("yolo")
    (output.root / "labels/1.txt").write_text("")  # there is nothing, says a person
    output.folder.close()
    with pytest.raises(UsageError, match=r"labels/1\.txt"):
        rebuild(output.root, ["yolo"])
    output.folder.create()
    with pytest.raises(UsageError, match=r"labels/1\.txt"):
        clear(output.folder, find_formats(["yolo"]).values())
    assert output.files("labels") == ["labels/1.txt", "labels/2.txt", "labels/3.txt"]
    clear(output.folder, find_formats(["json"]).values())
    assert output.files("labels", "images") == ["labels/1.txt"]
    assert (output.root / "labels/1.txt").read_text() == ""


def test_what_somebody_moved_to_another_class_stays_there(output: Output) -> None:
    output.note(output.found("1.jpg", CAT), output.found("2.jpg", DOG))
    output.make("by-class:how=copy")
    (output.root / "by-class/cat/1.jpg").rename(output.root / "by-class/dog/1.jpg")
    output.note(output.found("2.jpg", CAT))
    output.make("by-class:how=copy")
    assert output.files("by-class") == ["by-class/cat/1.jpg", "by-class/cat/2.jpg", "by-class/dog/1.jpg"]


@pytest.mark.parametrize(
    "line",
    [
        b'{"schema": 1, "file": "images/../../in/1.jpg", "image": "1.jpg", "mark": "%s"}\n',
        b'{"schema": 1, "file": "../in/1.jpg", "image": "1.jpg", "mark": "%s"}\n',
        b'{"schema": 1, "file": "/etc/passwd", "image": "1.jpg", "mark": "%s"}\n',
        b'{"schema": 1, "file": "run.json", "image": "1.jpg", "mark": "%s"}\n',
        b'{"schema": 1, "file": 3}\n',
        b"\xff\n",
        b'{"schema": 1, "file": "images/x',
    ],
)
def test_a_list_that_somebody_changed_removes_nothing_outside(line: bytes, output: Output) -> None:
    output.note(output.found("1.jpg", CAT))
    output.make("yolo")
    mark = output.folder.trees.mark("../in/1.jpg")
    with open(output.root / "labels.jsonl", "ab") as stream:
        stream.write(line.replace(b"%s", mark.encode()))
    before = snapshot(output.pictures), (output.root / "run.json").read_bytes()
    output.make("yolo")
    assert (snapshot(output.pictures), (output.root / "run.json").read_bytes()) == before
    assert output.files("images", "labels") == ["images/1.jpg", "labels/1.txt"]


# A run that ended before its time


@pytest.mark.parametrize("formats", [("yolo",), ("voc",), ("by-class:how=link",), ("by-class:how=copy",)])
def test_what_a_killed_run_left_is_as_if_it_had_not_been(formats: tuple[str, ...], tmp_path: Path) -> None:
    """Killed before each file that it puts in place, then told other things of the pictures."""
    for path in ("whole", "killed"):
        (tmp_path / path).mkdir()
    whole, killed = Output(tmp_path / "whole"), Output(tmp_path / "killed")
    killed.pictures = whole.pictures
    names = [f"a/{number}.jpg" for number in range(3)]
    first = [whole.found(name, CAT) for name in names]
    second = [replace(outcome, detections=(DOG, box("bus", 7))) for outcome in first[:2]]
    whole.note(*first, *second)
    whole.make(*formats)
    killed.note(*first)
    killed.make(*formats)
    killed.note(*second)

    class Killed(BaseException):
        pass

    plain = TreeDisk.put
    for most in range(8):
        left = [most]

        def put(self: TreeDisk, *arguments: Any, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            plain(self, *arguments)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(TreeDisk, "put", put)
            try:
                killed.make(*formats)
            except Killed:
                continue
            break
    else:
        raise AssertionError("it was never let through")
    killed.make(*formats)

    def made(output: Output) -> dict[str, Any]:
        found = snapshot(output.root)
        return {name: content for name, content in found.items() if name not in {"results.jsonl", "run.json"}}

    assert made(killed) == made(whole)


@pytest.mark.parametrize("damage", [b"", bytes(40)])
def test_what_a_power_cut_left_blank_is_made_again(damage: bytes, output: Output) -> None:
    output.note(output.found("1.jpg", CAT), output.found("2.jpg", CAT))
    output.make("yolo", "voc", "by-class:how=copy")
    whole = snapshot(output.root)
    for name in output.files("labels", "voc", "by-class"):
        (output.root / name).write_bytes(damage)
    with pytest.raises(UsageError, match="wrote"):
        output.make("yolo", "voc", "by-class:how=copy")
    for name in ("labels.jsonl", "voc.jsonl", "by-class.jsonl"):
        with open(output.root / name, "ab") as stream:
            stream.write(b'{"schema": 1, "file": "", "unfinished": true}\n')
    output.make("yolo", "voc", "by-class:how=copy")
    assert snapshot(output.root) == whole


# Runs


def test_runs_sort_go_on_prune_and_start_anew(tmp_path: Path, fake_detectors: list[FakeDetector]) -> None:
    pictures, output = tmp_path / "in", tmp_path / "out"
    (pictures / "sub").mkdir(parents=True)
    for name in ("a.png", "sub/a.png"):
        write_image(pictures / name)
    (pictures / "bad.png").write_text("no image")

    name = f"pid {os.getpid()}"

    def files() -> list[str]:
        return sorted(
            str(path.relative_to(output)) for top in ("by-class", "labels") for path in output.rglob(f"{top}/**/*.*")
        )

    run(pictures, output=output, workers=1, save_by_class="link", formats=("json", "yolo"))
    assert files() == [f"by-class/{name}/a.png", f"by-class/{name}/sub/a.png", "labels/a.txt", "labels/sub/a.txt"]
    (pictures / "a.png").unlink()
    write_image(pictures / "c.png")
    run(pictures, output=output, workers=1, prune=True)  # what was asked for once does not fall behind
    assert files() == [f"by-class/{name}/c.png", f"by-class/{name}/sub/a.png", "labels/c.txt", "labels/sub/a.txt"]
    run(pictures, output=output, workers=1, overwrite=True)
    assert files() == []
    assert not any((output / name).exists() for name in ("by-class", "labels", "images", "by-class.jsonl", "data.yaml"))


@pytest.mark.parametrize("linked", [False, True])
def test_labels_beside_the_pictures_themselves(
    linked: bool, tmp_path: Path, fake_detectors: list[FakeDetector]
) -> None:
    """A folder with `images` in it becomes a data set where it lies, if links to others are in there, too."""
    write_image((tmp_path / "images").mkdir() or tmp_path / "images/1.png")
    if linked:
        (tmp_path / "elsewhere").mkdir()
        shutil.move(tmp_path / "images/1.png", tmp_path / "elsewhere/1.png")
        (tmp_path / "images/1.png").symlink_to(tmp_path / "elsewhere/1.png")
    before = snapshot(tmp_path / "images")
    for options in ({}, {"overwrite": True}):
        run(tmp_path / "images", output=tmp_path, workers=1, formats=("yolo",), **options)
        assert (tmp_path / "labels/1.txt").read_text() == "0 0.500000 0.500000 1.000000 1.000000\n"
        assert snapshot(tmp_path / "images") == before


def drawn(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path)


def test_no_link_is_put_among_pictures_that_lie_in_the_data_set(
    tmp_path: Path, fake_detectors: list[FakeDetector]
) -> None:
    """Two whose labels would have one name: one has it, in every run, and the other is counted."""
    for name in ("x.png", "x.webp"):
        drawn(tmp_path / f"images/{name}")
    before = snapshot(tmp_path / "images")
    for _ in range(2):
        run(tmp_path / "images", output=tmp_path, workers=1, formats=("yolo",))
        assert snapshot(tmp_path / "images") == before
        assert [path.name for path in (tmp_path / "labels").iterdir()] == ["x.txt"]
    assert made_in(tmp_path, [MARKER]) == {"labels"}
    told: list[str] = []
    rebuild(tmp_path, ["yolo"], notice=told.append)
    assert told == ["labels/ has no place for pictures of your own whose label would be that of another one (1)"]


@pytest.mark.parametrize("inputs", [["images/train"], ["images/train", "images/val"], ["images/*/[12].png"]])
def test_labels_lie_where_readers_look_whatever_part_of_the_data_set_was_named(
    inputs: list[str], tmp_path: Path, fake_detectors: list[FakeDetector]
) -> None:
    for name in ("train/1.png", "train/2.png", "val/1.png"):
        drawn(tmp_path / "images" / name)
    before = snapshot(tmp_path / "images")
    run(*[tmp_path / name for name in inputs], output=tmp_path, workers=1, formats=("yolo",))
    labels = {str(path.relative_to(tmp_path / "labels")) for path in (tmp_path / "labels").rglob("*.txt")}
    assert labels == {"train/1.txt", "train/2.txt"} | ({"val/1.txt"} if inputs != ["images/train"] else set())
    assert snapshot(tmp_path / "images") == before


def test_labels_of_parts_that_were_done_one_after_another(tmp_path: Path, fake_detectors: list[FakeDetector]) -> None:
    """Input order is that of names, in which a part may stand between two images of another."""
    for name in ("train/x.jpg", "train/x.png", "x.m/1.png"):
        drawn(tmp_path / "images" / name)
    for part in ("train", "x.m"):
        run(tmp_path / "images" / part, output=tmp_path, workers=1, formats=("yolo",))
    told: list[str] = []
    rebuild(tmp_path, ["yolo"], notice=told.append)
    assert told == ["labels/ has no place for pictures of your own whose label would be that of another one (1)"]
    assert {path.name for path in (tmp_path / "labels").rglob("*.txt")} == {"x.txt", "1.txt"}


def test_pictures_in_the_data_set_whose_names_readers_cannot_use(
    tmp_path: Path, fake_detectors: list[FakeDetector]
) -> None:
    drawn(tmp_path / "images/images/1.png")
    run(tmp_path / "images", output=tmp_path, workers=1, formats=("yolo",))
    told: list[str] = []
    rebuild(tmp_path, ["yolo"], notice=told.append)
    assert told == ["labels/ has no place for pictures of your own whose names allow no label beside images/ (1)"]


@pytest.mark.parametrize("inputs", [["images", "photos"], ["images", "photos/*.png"], ["s3://bucket/photos"]])
def test_inputs_beside_a_data_set_are_refused_before_anything_is_done(inputs: list[str], tmp_path: Path) -> None:
    for name in ("images/mine.png", "photos/1.png"):
        drawn(tmp_path / name)
    given = [name if "://" in name else str(tmp_path / name) for name in inputs]
    folder, trees = OutputFolder(tmp_path), trees_of(find_formats(["yolo"]).values())
    for accepted in ([str(tmp_path)], [str(tmp_path / "images")], [str(tmp_path / "images/*.png")]):
        for beside in besides(folder, trees):
            beside.check_inputs(str(tmp_path), SourceConfig(tuple(accepted)))
    for beside in besides(folder, trees):
        with pytest.raises(UsageError, match=r"such as images/mine\.png, .*; move them away, or use another --output"):
            beside.check_inputs(str(tmp_path), SourceConfig(tuple(given)))


def test_an_image_beside_a_data_set_is_refused_as_it_is_found(
    tmp_path: Path, fake_detectors: list[FakeDetector]
) -> None:
    for name in ("images/mine.png", "photos/1.png"):
        drawn(tmp_path / name)
    (tmp_path / "list").write_text(str(tmp_path / "photos/1.png"))
    with pytest.raises(UsageError, match=r"such as images/mine\.png, .* from .*photos.1\.png, "):
        run(files_from=str(tmp_path / "list"), output=tmp_path, workers=1, formats=("yolo",))
    assert (tmp_path / "results.jsonl").read_bytes() == b""


@pytest.mark.parametrize("listed", [False, True])
def test_no_link_is_put_among_pictures_of_others(
    listed: bool, tmp_path: Path, fake_detectors: list[FakeDetector]
) -> None:
    """It is said before anything is done, or where images are known only as they are found, before they are done."""
    for name in ("images/mine.png", "photos/1.png"):
        drawn(tmp_path / name)
    (tmp_path / "list").write_text(str(tmp_path / "photos/1.png"))
    given: dict[str, Any] = {"files_from": str(tmp_path / "list")} if listed else {}
    with pytest.raises(UsageError, match=r"such as images/mine\.png, .*; move them away, or use another --output"):
        run(*[] if listed else [tmp_path / "photos"], output=tmp_path, workers=1, formats=("yolo",), **given)
    assert (tmp_path / "results.jsonl").exists() is listed
    assert os.listdir(tmp_path / "images") == ["mine.png"]
    assert not (tmp_path / "labels").exists()
    assert made_in(tmp_path, [MARKER]) == frozenset()
    shutil.rmtree(tmp_path / "images")
    run(*[] if listed else [tmp_path / "photos"], output=tmp_path, workers=1, formats=("yolo",), **given)
    drawn(tmp_path / "images/mine.png")
    run(tmp_path / "photos", output=tmp_path, workers=1, formats=("yolo",))  # runs made it, so it is no input
    assert made_in(tmp_path, [MARKER]) == {"images", "labels"}


def test_a_folder_that_holds_pictures_already_is_input(tmp_path: Path, fake_detectors: list[FakeDetector]) -> None:
    for name in ("json/mine.png", "photos/1.png"):
        drawn(tmp_path / name)
    run(tmp_path / "photos", output=tmp_path, workers=1, formats=("json", "csv-per-image"))
    assert made_in(tmp_path, [MARKER]) == {"csv"}


def test_a_data_set_that_somebody_labelled_is_refused_before_anything_is_done(
    tmp_path: Path, fake_detectors: list[FakeDetector]
) -> None:
    write_image((tmp_path / "images").mkdir() or tmp_path / "images/1.png")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/1.txt").write_text("0 0.5 0.5 1 1\n")
    for overwrite in (False, True):
        with pytest.raises(UsageError, match=r"labels/1\.txt"):
            run(tmp_path / "images", output=tmp_path, workers=1, formats=("yolo",), overwrite=overwrite)
    assert (tmp_path / "labels/1.txt").read_text() == "0 0.5 0.5 1 1\n"
    assert not (tmp_path / "results.jsonl").exists()


# Names


def stems(*paths: str) -> list[str]:
    names = Stems()
    return ["".join(names.name(path)) for path in paths]


def test_of_images_that_differ_by_their_suffix_the_first_has_the_plain_name() -> None:
    assert stems("a/1.jpg", "a/1.jpg.bak.png", "a/1.png", "a/1.png.jpg", "a/2.JPG", "b/1.png") == [
        "a/1.jpg",
        "a/1.jpg.bak.png",
        "a/1.png.png",
        "a/1.png.jpg.jpg",
        "a/2.JPG",
        "b/1.png",
    ]
    assert stems("x", "x.jpg") == ["x.jpg", "x.jpg.jpg"]


def test_names_between_two_that_clash_are_in_nobodys_way() -> None:
    assert stems("a", "a (1).jpg", "a.jpg") == ["a.jpg", "a (1).jpg", "a.jpg.jpg"]
    assert stems("a.jpeg", "a.jpg", "a.jpg (1).jpg", "a.jpg.jpg")[1::2] == ["a.jpg.jpg", "a.jpg.jpg.jpg"]


def test_folders_that_would_mislead_readers_are_marked() -> None:
    assert stems("images/1.jpg", "images~/1.jpg", "1.txt/1.jpg", "x/labels/1.jpg") == [
        "images~/1.jpg",
        "images~~/1.jpg",
        "1.txt~/1.jpg",
        "x/labels/1.jpg",
    ]


@pytest.mark.parametrize(
    "path",
    ["a\nb.jpg", "\udcff.jpg", ".hidden.jpg", ".x/a.jpg", "n" * 251 + ".jpg", "..", "", "a//b.jpg", "\0", "a\\b", "~1"],
)
def test_what_readers_cannot_open_has_a_plainer_name(path: str) -> None:
    (name,) = stems(path)
    assert name.startswith("~")
    assert name.removesuffix(".jpg").isascii()


parts = st.sampled_from(["1", "2", "1.jpg", "1.png", "images", "images~", "1.txt", "1.jpg~", "x.y"])
suffixes = st.sampled_from(["", ".jpg", ".png", ".JPG", ".dat", *sorted(IMAGE_SUFFIXES)[:2]])
paths = st.builds(lambda some, suffix: "/".join(some) + suffix, st.lists(parts, min_size=1, max_size=3), suffixes)


@given(st.sets(paths, max_size=30))
def test_no_two_images_share_a_name_and_no_file_stands_where_a_folder_goes(found: set[str]) -> None:
    tree = {path for path in found if not any(other.startswith(path + "/") for other in found)}  # what a disk can hold
    ordered = sorted(tree, key=lambda path: path.encode().replace(b"/", b"\0") + b"\0\0")
    named = Stems()
    names = [named.name(path) for path in ordered]
    for files in ([f"{stem}.txt" for stem, _ in names], [stem + suffix for stem, suffix in names]):
        assert len(set(files)) == len(files)
        folders = {name[:end] for name in files for end in range(len(name)) if name[end] == "/"}
        assert not folders & set(files)


pieces = st.sampled_from([".jpg", ".png", " ", "-", "/b", "/images", "0", "~"])
alike = st.lists(pieces, max_size=4).map(lambda some: "a" + "".join(some))


@given(st.sets(alike, min_size=10, max_size=40))
def test_no_two_images_share_a_name_whatever_stands_between_them(found: set[str]) -> None:
    """Of archives, too: there a path can be a file and a folder."""
    named = Stems()
    names = [named.name(path)[0] for path in sorted(found, key=sort_key)]
    assert len(set(names)) == len(names)


def test_what_stems_remember_does_not_grow() -> None:
    named = Stems()
    for number in range(1000):
        named.name(f"a {number:04}.jpg")
    assert len(named._taken) == 1


@pytest.mark.parametrize("form", ["yolo", "voc", "by-class"])
def test_a_name_that_another_would_have_is_no_obstacle(form: str, output: Output) -> None:
    taken = plainer("\udcff.jpg") + ".jpg", plainer("n" * 251 + ".jpg") + ".jpg"
    output.note(*(output.found(path, CAT) for path in ("\udcff.jpg", "n" * 251 + ".jpg", *taken)))
    output.make(form)
    ((top, count),) = {"yolo": {"labels": 4}, "voc": {"voc": 4}, "by-class": {"by-class": 4}}[form].items()
    assert len(output.files(top)) == count


@pytest.mark.parametrize("form", ["yolo", "voc", "by-class"])
def test_a_path_can_be_a_file_and_a_folder(form: str, output: Output, tmp_path: Path) -> None:
    """In archives; and on disk, when the one has taken the place of the other."""
    with tarfile.open(tmp_path / "p.tar", "w") as archive:
        for name in ("a.jpg", "a.jpg/b.jpg", "a.jpg~/b.jpg"):
            member = tarfile.TarInfo(name)
            member.size = 4
            archive.addfile(member, io.BytesIO(b"data"))
    names = [f"p.tar::{name}" for name in ("a.jpg", "a.jpg/b.jpg", "a.jpg~/b.jpg")]
    output.note(*(result(name, [CAT], source=str(tmp_path / name)) for name in names))
    output.make(form)
    assert [len(output.files(top)) for top in ("labels", "voc", "by-class") if output.files(top)] == [3]


def test_pictures_of_one_name_are_both_there(output: Output) -> None:
    output.note(output.found("1.jpg", CAT), output.found("1.png", DOG), output.found("a/1.jpg", CAT))
    output.make("yolo", "voc", "by-class")
    assert output.files("labels") == ["labels/1.png.txt", "labels/1.txt", "labels/a/1.txt"]
    assert output.files("images") == ["images/1.jpg", "images/1.png.png", "images/a/1.jpg"]
    assert output.files("voc") == ["voc/1.png.xml", "voc/1.xml", "voc/a/1.xml"]
    assert output.files("by-class") == ["by-class/cat/1.jpg", "by-class/cat/a/1.jpg", "by-class/dog/1.png"]
    assert (output.root / "images/1.png.png").read_bytes() == b"picture 1.png"
    assert (output.root / "labels/1.png.txt").read_text().startswith("1 ")


def test_two_runs_leave_what_one_does(output: Output) -> None:
    """An image that comes later takes the plain name, as if it had been there before."""
    output.note(output.found("1.png", DOG))
    output.make("yolo")
    assert output.files("labels") == ["labels/1.txt"]
    output.note(output.found("1.jpg", CAT))
    output.make("yolo")
    assert output.files("labels", "images") == ["images/1.jpg", "images/1.png.png", "labels/1.png.txt", "labels/1.txt"]
    assert (output.root / "labels/1.txt").read_text().startswith("0 ")


@pytest.mark.parametrize(
    "path", ["a\nb.jpg", "q\"'.jpg", "\udcff.jpg", "🐈.jpg", " x .jpg", "n" * 245 + ".jpg", ".x/y.jpg"]
)
def test_sorting_keeps_names_of_any_bytes(path: str, output: Output) -> None:
    output.note(output.found(path, CAT))
    output.make("by-class")
    (name,) = os.listdir(output.root / "by-class/cat") if "/" not in path else [path]
    assert (output.root / "by-class/cat" / name).read_bytes() == (output.pictures / path).read_bytes()
    assert name == path if len(path) < 240 else name.startswith("~")
    shutil.rmtree(output.root / "by-class")
