from __future__ import annotations

import io
import itertools
import os
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import run, without_privileges, write_image
from yolocli.config import SourceConfig
from yolocli.errors import UsageError
from yolocli.results import ImageFailure, ImageRef
from yolocli.sources import discover
from yolocli.walk import IMAGE_SUFFIXES


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def find(*inputs: object, notices: list[str] | None = None, skip: Path | None = None, **options: object) -> list:
    config = SourceConfig(tuple(os.fspath(name) for name in inputs), **options)  # type: ignore[arg-type, call-overload]
    return list(discover(config, skip=skip, notice=(notices if notices is not None else []).append))


def paths(*inputs: object, **options: object) -> list[str]:
    """Names in the records, all of them files that can be read."""
    found = find(*inputs, **options)
    assert all(isinstance(item, ImageRef) for item in found), found
    return [item.path for item in found]


def named(path: Path | str) -> str:
    """The name of a file that is named outright and lies outside the current folder."""
    return str(path).lstrip("/")


def failures(found: list) -> dict[str, ImageFailure]:
    return {item.path: item for item in found if isinstance(item, ImageFailure)}


# What counts as an image


def test_takes_the_suffixes_that_ultralytics_reads() -> None:
    from yolocli.runtimes.library import import_ultralytics

    import_ultralytics()
    from ultralytics.data.utils import IMG_FORMATS

    assert {suffix.lstrip(".") for suffix in IMAGE_SUFFIXES} == set(IMG_FORMATS)


def test_takes_every_suffix_in_any_case(tmp_path: Path) -> None:
    names = [f"x{change(suffix)}" for suffix in IMAGE_SUFFIXES for change in (str.lower, str.upper, str.title)]
    touch(*(tmp_path / name for name in names))
    touch(*(tmp_path / name for name in ("x", "x.txt", ".jpg", "jpg", "x.jpg.txt", "x.jpgx")))
    assert paths(tmp_path) == sorted(set(names))


def test_takes_a_file_named_outright_whatever_its_suffix(tmp_path: Path) -> None:
    touch(tmp_path / "picture.dat", tmp_path / ".hidden.jpg")
    files = [tmp_path / "picture.dat", tmp_path / ".hidden.jpg"]
    assert paths(*files) == [named(file) for file in files]


# Order and identity


def test_sorts_entries_by_the_bytes_of_their_names_folders_in_their_place(tmp_path: Path) -> None:
    expected = ["10.jpg", "B.jpg", "a/z.jpg", "a.jpg", "b.jpg", "c/a.jpg", "c/d/e.png", "é.jpg"]
    touch(*(tmp_path / name for name in reversed(expected)))
    assert paths(tmp_path) == expected


def test_refs_tell_what_opens_the_file_its_size_and_mtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "a/1.jpg", tmp_path / "b/2.jpg")
    os.utime(tmp_path / "b/2.jpg", ns=(5, 1_234_567_890_123_456_789))
    monkeypatch.chdir(tmp_path / "a")
    _, second = find(".", "../b")
    assert second == ImageRef("b/2.jpg", str(tmp_path / "b/2.jpg"), 1, 1_234_567_890_123_456_789)


def test_a_file_named_in_several_ways_comes_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "a/b/1.jpg", tmp_path / "a/2.jpg")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "alias").symlink_to("a", target_is_directory=True)
    every_way = ["a/2.jpg", "a", "a/b", "a/../a/2.jpg", tmp_path / "a/2.jpg", "a/*.jpg", "alias", "./a//b/1.jpg"]
    assert sorted(os.path.realpath(item.source) for item in find(*every_way)) == [
        str(tmp_path / "a/2.jpg"),
        str(tmp_path / "a/b/1.jpg"),
    ]


def test_hard_links_and_links_to_files_are_files_of_their_own(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg")
    os.link(tmp_path / "a.jpg", tmp_path / "hard.jpg")
    (tmp_path / "soft.jpg").symlink_to("a.jpg")
    assert paths(tmp_path) == ["a.jpg", "hard.jpg", "soft.jpg"]
    assert len(paths(tmp_path, tmp_path / "hard.jpg")) == 3


def test_names_depend_on_the_inputs_and_not_on_their_order(tmp_path: Path) -> None:
    touch(*(tmp_path / f"{folder}/x.jpg" for folder in ("a", "b", "c/a", "a/a")))
    inputs = [tmp_path / "b", tmp_path / "a", tmp_path / "c/a"]
    expected = ["a/a/x.jpg", "a/x.jpg", "b/x.jpg", "c/a/x.jpg"]
    for order in itertools.permutations(inputs):
        assert sorted(paths(*order)) == expected
    assert sorted(paths(*inputs, tmp_path / "a/a", tmp_path / "a")) == expected


def test_a_file_has_one_name_whether_named_or_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "here/v/f.jpg", tmp_path / "there/f.jpg")
    monkeypatch.chdir(tmp_path / "here")
    for file, expected in (("v/f.jpg", "v/f.jpg"), (tmp_path / "there/f.jpg", named(tmp_path / "there/f.jpg"))):
        (tmp_path / "list").write_text(f"{file}\n")
        assert paths(file) == paths(files_from=str(tmp_path / "list")) == [expected]


# Streaming


def test_the_first_image_comes_before_later_folders_are_listed(tmp_path: Path) -> None:
    touch(tmp_path / "a/1.jpg", tmp_path / "b/1.jpg")
    walk = discover(SourceConfig((str(tmp_path),)))
    assert next(walk).path == "a/1.jpg"
    touch(tmp_path / "b/2.jpg")  # made after the walk began: seen, as b has not been listed yet
    assert [item.path for item in walk] == ["b/1.jpg", "b/2.jpg"]


def test_a_list_in_a_pipe_gives_names_before_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "1.jpg", tmp_path / "2.jpg")
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as stdin, os.fdopen(writer, "wb", 0) as stream:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(stdin))
        found = discover(SourceConfig(files_from="-"))
        stream.write(f"{tmp_path}/1.jpg\n".encode())
        assert next(found).source == f"{tmp_path}/1.jpg"
        stream.write(f"{tmp_path}/2.jpg".encode())  # without a newline at its end
        stream.close()
        assert [item.source for item in found] == [f"{tmp_path}/2.jpg"]


def test_a_tree_deeper_than_the_interpreters_stack_is_walked(tmp_path: Path) -> None:
    depth = 1200
    inner = os.open(tmp_path, os.O_RDONLY)
    try:
        for _ in range(depth):
            os.mkdir("d", dir_fd=inner)
            inner, outer = os.open("d", os.O_RDONLY, dir_fd=inner), inner
            os.close(outer)
        os.close(os.open("x.jpg", os.O_CREAT | os.O_WRONLY, dir_fd=inner))
        assert paths(tmp_path) == ["d/" * depth + "x.jpg"]
    finally:
        os.close(inner)
        subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)  # too deep for Python's own, before 3.13


# What a tree may hold


@pytest.mark.parametrize("follow", [False, True])
def test_link_loops_end(tmp_path: Path, follow: bool) -> None:
    touch(tmp_path / "a/1.jpg")
    (tmp_path / "a/loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "self.jpg").symlink_to("self.jpg")
    notices: list[str] = []
    found = find(tmp_path, follow_symlinks=follow, notices=notices)
    assert [item.path for item in found] == ["a/1.jpg", "self.jpg"]
    assert failures(found)["self.jpg"].stage == "read"
    assert "a link that loops" in failures(found)["self.jpg"].message
    assert any("loop" in notice for notice in notices)


def test_linked_folders_are_followed_only_if_asked(tmp_path: Path) -> None:
    touch(tmp_path / "tree/1.jpg", tmp_path / "far/2.jpg")
    (tmp_path / "tree/far").symlink_to(tmp_path / "far", target_is_directory=True)
    notices: list[str] = []
    assert paths(tmp_path / "tree", notices=notices) == ["1.jpg"]
    assert "--follow-symlinks" in "".join(notices)
    assert paths(tmp_path / "tree", follow_symlinks=True) == ["1.jpg", "far/2.jpg"]


def test_an_input_that_is_a_link_to_a_folder_is_walked(tmp_path: Path) -> None:
    touch(tmp_path / "far/2.jpg")
    (tmp_path / "link").symlink_to("far", target_is_directory=True)
    assert paths(tmp_path / "link") == ["2.jpg"]


def test_dangling_links_are_failures(tmp_path: Path) -> None:
    (tmp_path / "gone.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "gone.txt").symlink_to("nowhere.txt")
    (failure,) = find(tmp_path)
    assert (failure.path, failure.stage, failure.error) == ("gone.jpg", "read", "FileNotFoundError")
    assert "a link that leads nowhere" in failure.message


def test_an_unreadable_folder_is_a_failure_beside_what_can_be_read(open_folder: Path) -> None:
    touch(open_folder / "a/1.jpg", open_folder / "b/2.jpg", open_folder / "c/3.jpg")
    (open_folder / "b").chmod(0)
    with without_privileges():
        found = find(open_folder)
    assert [item.path for item in found] == ["a/1.jpg", "b", "c/3.jpg"]
    assert (found[1].stage, found[1].error) == ("discover", "PermissionError")
    assert "cannot be listed" in found[1].message


def test_an_unreadable_input_is_a_failure_with_a_path(open_folder: Path) -> None:
    touch(open_folder / "b/2.jpg")
    (open_folder / "b").chmod(0)
    with without_privileges():
        (failure,) = find(open_folder / "b")
    assert (failure.path, failure.ref.source) == (".", str(open_folder / "b"))


@pytest.mark.parametrize("named", [False, True])
def test_what_is_called_like_an_image_and_is_none_is_a_failure(tmp_path: Path, named: bool) -> None:
    os.mkfifo(tmp_path / "fifo.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(tmp_path)  # a socket's path may have 107 bytes
        try:
            server.bind("socket.jpg")
        finally:
            os.chdir(here)
        found = find(tmp_path / "fifo.jpg", tmp_path / "socket.jpg") if named else find(tmp_path)
    assert {os.path.basename(path): failure.error for path, failure in failures(found).items()} == {
        "fifo.jpg": "NotAFile",
        "socket.jpg": "NotAFile",
    }


def test_a_folder_called_like_an_image_is_walked(tmp_path: Path) -> None:
    touch(tmp_path / "x.jpg/1.jpg", tmp_path / "x.jpg/y.png/2.jpg")
    assert paths(tmp_path) == ["x.jpg/1.jpg", "x.jpg/y.png/2.jpg"]


def test_a_link_called_like_an_image_to_a_folder_is_said(tmp_path: Path) -> None:
    touch(tmp_path / "far/1.jpg")
    (tmp_path / "x.jpg").symlink_to("far", target_is_directory=True)
    found = find(tmp_path)
    assert failures(found)["x.jpg"].error == "NotAFile"


ODD_NAMES = [b"with space.jpg", b"new\nline.jpg", b"-q.jpg", b"*[x]?.jpg", b"a\\b.jpg", b"\xff\xfe.jpg"]
ODD_NAMES += [b"caf\xc3\xa9.jpg"]
ODD_NAMES += [b"n" * 251 + b".jpg", b"'\"`$(x).jpg", b"\x1b[31m.jpg", b"\t.jpg", b"\xe2\x80\xa8.jpg", b"=1+1.jpg"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_go_in_and_out(tmp_path: Path, name: bytes) -> None:
    folder = os.fsencode(tmp_path)
    with open(os.path.join(folder, name), "wb") as stream:
        stream.write(b"x")
    whole = os.path.join(folder, name)
    for found, expected in ((find(tmp_path), name), (find(os.fsdecode(whole)), whole.lstrip(b"/"))):
        (item,) = found
        assert isinstance(item, ImageRef)
        assert os.fsencode(item.path) == expected
        assert os.fsencode(item.source) == whole


# Filters


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    names = ("a.jpg", "b.png", ".h.jpg", ".hid/c.jpg", "sub/a.jpg", "sub/deep/d.jpg", "skip/e.jpg")
    touch(*(tmp_path / name for name in names))
    return tmp_path


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "a.jpg b.png skip/e.jpg sub/a.jpg sub/deep/d.jpg"),
        ({"recursive": False}, "a.jpg b.png"),
        ({"hidden": True}, ".h.jpg .hid/c.jpg a.jpg b.png skip/e.jpg sub/a.jpg sub/deep/d.jpg"),
        ({"include": ("*.png",)}, "b.png"),
        ({"include": ("sub/*",)}, "sub/a.jpg sub/deep/d.jpg"),
        ({"include": ("a.jpg", "d.*")}, "a.jpg sub/a.jpg sub/deep/d.jpg"),
        ({"exclude": ("a.jpg",)}, "b.png skip/e.jpg sub/deep/d.jpg"),
        ({"exclude": ("skip", "deep/")}, "a.jpg b.png sub/a.jpg"),
        ({"exclude": ("/sub/a.jpg",)}, "a.jpg b.png skip/e.jpg sub/deep/d.jpg"),
        ({"include": ("*.jpg",), "exclude": ("sub",)}, "a.jpg skip/e.jpg"),
    ],
)
def test_filters(tree: Path, options: dict[str, object], expected: str) -> None:
    assert paths(tree, **options) == expected.split()


def test_an_excluded_folder_is_not_even_listed(open_folder: Path) -> None:
    touch(open_folder / "ok/1.jpg", open_folder / "secret/2.jpg")
    (open_folder / "secret").chmod(0)
    with without_privileges():
        assert paths(open_folder, exclude=("secret",)) == ["ok/1.jpg"]


def test_an_ignore_file_reaches_its_folder_and_those_below(tree: Path) -> None:
    (tree / "sub/.yolocliignore").write_text("# a comment\n\na.jpg\n/deep/d.jpg\n")
    (tree / ".yolocliignore").write_text("skip/\n")
    touch(tree / "sub/deep/a.jpg", tree / "sub/deep/k.jpg")
    assert paths(tree) == ["a.jpg", "b.png", "sub/deep/k.jpg"]


def test_the_output_folder_is_never_walked(tree: Path) -> None:
    touch(tree / "sub/out/json/x.jpg")
    (tree / "link").symlink_to("sub/out", target_is_directory=True)
    found = paths(tree, skip=tree / "sub/out", follow_symlinks=True)
    assert not [path for path in found if "out" in path or "link" in path]
    assert "sub/a.jpg" in found


def test_a_run_does_not_read_what_it_writes(tmp_path: Path, fake_detectors: list) -> None:
    write_image(tmp_path / "a.jpg")
    touch(tmp_path / "out/json/thumbnail.jpg")
    for _ in range(2):
        outcomes, this = run(tmp_path, output=tmp_path / "out")
        assert {outcome.path for outcome in outcomes} <= {"a.jpg"}
    assert this.summary.skipped == 1


# Globs and lists


def test_globs(tree: Path) -> None:
    assert paths(tree / "*.jpg") == ["a.jpg"]
    assert paths(tree / "*") == ["a.jpg", "b.png", "skip/e.jpg", "sub/a.jpg", "sub/deep/d.jpg"]
    assert paths(tree / "**/*.jpg") == ["a.jpg", "skip/e.jpg", "sub/a.jpg", "sub/deep/d.jpg"]
    assert paths(tree / "s*/[ae].jpg") == ["skip/e.jpg", "sub/a.jpg"]
    assert paths(tree / "*.jpg", exclude=("a*",)) == []


def test_a_glob_without_matches_is_said(tree: Path) -> None:
    notices: list[str] = []
    assert find(tree / "*.tiff", notices=notices) == []
    assert "*.tiff" in notices[0]


def test_a_name_that_exists_is_no_glob(tmp_path: Path) -> None:
    touch(tmp_path / "x[1].jpg", tmp_path / "x1.jpg")
    assert paths(tmp_path / "x[1].jpg") == [named(tmp_path / "x[1].jpg")]


@pytest.mark.parametrize("name", ["gone.jpg", "gone/", "gone/x.jpg"])
def test_a_missing_input_is_a_usage_error(tmp_path: Path, name: str) -> None:
    touch(tmp_path / "a.jpg")
    with pytest.raises(UsageError, match="gone"):
        find(tmp_path, f"{tmp_path}/{name}")


@pytest.mark.parametrize("null", [False, True])
def test_a_list_may_hold_files_folders_and_odd_names(tmp_path: Path, null: bool) -> None:
    names = [name for name in ODD_NAMES if null or b"\n" not in name]
    for name in names:
        touch(Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), b"odd", name))))
    touch(tmp_path / "folder/1.jpg")
    listed = [os.path.join(os.fsencode(tmp_path), b"odd", name) for name in names] + [os.fsencode(tmp_path / "folder")]
    separator = b"\0" if null else b"\n"
    (tmp_path / "list").write_bytes(separator.join(listed) + separator)
    found = find(files_from=str(tmp_path / "list"), null=null)
    assert [os.fsencode(item.source) for item in found] == [*listed[:-1], listed[-1] + b"/1.jpg"]
    assert [os.fsencode(item.path) for item in found] == [os.fsencode(item.source).lstrip(b"/") for item in found]


def test_a_list_of_lines_may_end_them_as_windows_does(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg", tmp_path / "b.jpg")
    (tmp_path / "list").write_bytes(os.fsencode(f"{tmp_path}/a.jpg\r\n{tmp_path}/b.jpg\r\n\r\n"))
    assert [os.path.basename(item.source) for item in find(files_from=str(tmp_path / "list"))] == ["a.jpg", "b.jpg"]


def test_a_listed_name_that_is_gone_is_a_failure_not_the_end(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg")
    (tmp_path / "list").write_bytes(b"/nowhere/x.jpg\0bad\0" + os.fsencode(tmp_path / "a.jpg"))
    found = find(files_from=str(tmp_path / "list"), null=True)
    assert [type(item) for item in found] == [ImageFailure, ImageFailure, ImageRef]
    assert {failure.error for failure in failures(found).values()} == {"FileNotFoundError"}
    assert all("there is no such file" in failure.message for failure in failures(found).values())


def test_a_file_behind_a_folder_that_may_not_be_entered_is_not_said_to_be_gone(open_folder: Path) -> None:
    touch(open_folder / "b/2.jpg")
    (open_folder / "b").chmod(0o600)
    (open_folder / "list").write_text(f"{open_folder}/b/2.jpg\n")
    with without_privileges():
        (failure,) = find(files_from=str(open_folder / "list"))
        with pytest.raises(UsageError, match="Permission denied"):
            find(open_folder / "b/2.jpg")
    assert failure.error == "PermissionError"
    assert "gone" not in failure.message


def test_a_list_that_nul_bytes_separate_says_so(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"/x/1.jpg\0/x/2.jpg\0")
    (failure,) = find(files_from=str(tmp_path / "list"))
    assert "--null" in failure.message


@pytest.mark.parametrize("name", [b"x\0y.jpg", b"x\0y/z.jpg", b"n" * 300 + b".jpg", b"d/" * 3000 + b"x.jpg"])
def test_a_listed_name_that_no_file_can_have_is_a_failure_with_a_record(
    tmp_path: Path, name: bytes, fake_detectors: list
) -> None:
    write_image(tmp_path / "a.jpg")
    (tmp_path / "list").write_bytes(name + b"\n" + os.fsencode(tmp_path / "a.jpg"))
    found = find(files_from=str(tmp_path / "list"))
    assert [type(item) for item in found] == [ImageFailure, ImageRef]
    _, this = run(files_from=str(tmp_path / "list"), output=tmp_path / "out")
    assert (this.summary.images, this.summary.failures) == (1, 1)
    assert len([file for file in (tmp_path / "out/json").rglob("*") if file.is_file()]) == 2


def test_a_missing_list_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--files-from"):
        find(files_from=str(tmp_path / "gone"))


def test_listed_names_never_lead_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "up.jpg", tmp_path / "here/in.jpg")
    monkeypatch.chdir(tmp_path / "here")
    names = ["../up.jpg", str(tmp_path / "up.jpg"), "in.jpg", "./x/../in.jpg", "../../../../../../etc/x.jpg"]
    (tmp_path / "list").write_text("\n".join(names))
    for item in find(files_from=str(tmp_path / "list")):
        assert not item.path.startswith("/")
        assert ".." not in item.path.split("/")


# Whatever the tree

_parts = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=6
).filter(lambda part: not part.startswith("."))
_trees = st.lists(
    st.tuples(st.lists(_parts, max_size=3), _parts, st.sampled_from([".jpg", ".PNG", ".txt", ""])), max_size=12
)


def _grow(root: str, tree: list[tuple[list[str], str, str]]) -> None:
    for folders, stem, suffix in tree:
        path = os.path.join(root, *folders, stem + suffix)
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb"):
                pass
        except OSError:  # a file where a folder should be, or the other way round
            continue


@settings(max_examples=60, deadline=None)
@given(tree=_trees, shuffle=st.randoms(use_true_random=False))
def test_any_tree_gives_each_image_once_in_an_order_of_its_own(
    tree: list[tuple[list[str], str, str]], shuffle: object
) -> None:
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        _grow(first, tree)
        there = sorted(
            os.path.relpath(os.path.join(folder, name), first)
            for folder, _, names in os.walk(first)
            for name in names
            if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES
        )
        found = paths(first)
        assert sorted(found) == there
        again = [(os.path.dirname(path).split("/"), os.path.basename(path), "") for path in there]
        shuffle.shuffle(again)  # type: ignore[attr-defined]
        _grow(second, again)
        assert paths(second) == found
        overlapping = [first, *(os.path.join(first, path) for path in there)]
        shuffle.shuffle(overlapping)  # type: ignore[attr-defined]
        sources = [item.source for item in find(*overlapping)]
        assert sorted(os.path.relpath(source, first) for source in sources) == there
        assert len({item.path for item in find(*overlapping)}) == len(there)


def test_the_listing_is_the_same_by_every_door(tree: Path) -> None:
    (tree / "list").write_text("".join(f"{tree}/{name}\n" for name in paths(tree)))
    by_walk = {item.source for item in find(tree)}
    assert {item.source for item in find(tree / "**/*")} == by_walk
    assert {item.source for item in find(files_from=str(tree / "list"))} == by_walk


def test_a_followed_link_and_its_target_named_outright_are_one_file(tmp_path: Path) -> None:
    touch(tmp_path / "far/1.jpg")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/link").symlink_to(tmp_path / "far", target_is_directory=True)
    for inputs in ((tmp_path / "tree", tmp_path / "far"), (tmp_path / "far", tmp_path / "tree")):
        assert paths(*inputs, follow_symlinks=True) == ["far/1.jpg"]
