from __future__ import annotations

import contextlib
import faulthandler
import glob
import io
import itertools
import os
import resource
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import run, without_privileges, write_image
from yolocli.config import SourceConfig
from yolocli.errors import UsageError
from yolocli.results import ImageFailure, ImageRef
from yolocli.sources.base import IMAGE_SUFFIXES
from yolocli.sources.discover import discover
from yolocli.sources.patterns import expand
from yolocli.sources.walk import IGNORE_FILE


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
    from yolocli.runtimes.torch.library import import_ultralytics

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


def test_refs_tell_what_opens_the_file_and_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "a/1.jpg", tmp_path / "b/2.jpg")
    os.utime(tmp_path / "b/2.jpg", ns=(5, 1_234_567_890_123_456_789))
    monkeypatch.chdir(tmp_path / "a")
    _, second = find(".", "../b")
    assert second == ImageRef("b/2.jpg", str(tmp_path / "b/2.jpg"), "1-1234567890123456789")


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


def test_a_tree_deeper_than_the_interpreters_stack_is_walked_and_matched(tmp_path: Path) -> None:
    depth = 1200
    inner = os.open(tmp_path, os.O_RDONLY)
    try:
        for _ in range(depth):
            os.mkdir("d", dir_fd=inner)
            inner, outer = os.open("d", os.O_RDONLY, dir_fd=inner), inner
            os.close(outer)
        os.close(os.open("x.jpg", os.O_CREAT | os.O_WRONLY, dir_fd=inner))
        assert paths(tmp_path) == ["d/" * depth + "x.jpg"]
        assert paths(tmp_path / "**/*.jpg") == ["d/" * depth + "x.jpg"]
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


@pytest.mark.parametrize("kind", ["fifo", "zero", "folder", "large", "many", "unreadable"])
def test_an_ignore_file_that_is_none_is_said_and_neither_waited_for_nor_read(open_folder: Path, kind: str) -> None:
    touch(open_folder / "a.jpg", open_folder / "sub/b.jpg")
    ignore_file = open_folder / ".yolocliignore"
    if kind == "fifo":
        os.mkfifo(ignore_file)
    elif kind == "zero":
        ignore_file.symlink_to("/dev/zero")
    elif kind == "folder":
        ignore_file.mkdir()
    elif kind == "large":
        ignore_file.write_bytes(b"a.jpg\n" * 200_000)
    elif kind == "many":
        ignore_file.write_text("".join(f"*{number}.jpg\n" for number in range(20_000)))
    else:
        ignore_file.write_text("a.jpg\n")
        ignore_file.chmod(0)
    notices: list[str] = []
    with without_privileges(), _bounded_memory():
        assert paths(open_folder, notices=notices) == ["a.jpg", "sub/b.jpg"]
    (notice,) = notices
    assert notice.startswith(f"{ignore_file}: not used, so all that lies in its folder is read: ")


@contextlib.contextmanager
def _bounded_memory() -> Iterator[None]:
    """Fails where the block takes memory without bounds, and where it does not end; elsewhere than on Linux, not."""
    if sys.platform != "linux":
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + 2**28, hard))
    faulthandler.dump_traceback_later(60, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def test_names_by_the_hundred_thousand_can_be_ignored(tmp_path: Path) -> None:
    """Each pattern was compiled anew for each name."""
    touch(*(tmp_path / f"{number:05}.jpg" for number in range(300)))
    lines = [f"{number:05}.jpg\n" for number in range(1, 90_000)] + [f"*x{number}.jpg\n" for number in range(4_000)]
    (tmp_path / ".yolocliignore").write_text("".join(lines))
    with _bounded_memory():
        assert paths(tmp_path) == ["00000.jpg"]


@pytest.mark.slow
@pytest.mark.parametrize("line", ["[", "*", "*a", "[!", "?"])
def test_no_line_of_an_ignore_file_takes_long(tmp_path: Path, line: str) -> None:
    touch(tmp_path / ("a" * 250 + ".jpg"))
    for length in (100_000, 900_000):
        (tmp_path / ".yolocliignore").write_text(line * (length // len(line)) + ".png")
        with _bounded_memory():
            assert len(paths(tmp_path)) == 1


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


def test_two_links_to_a_folder_in_itself_are_walked_once_each(tmp_path: Path) -> None:
    """With two links to itself a folder has 2^40 paths, as many links as a system follows."""
    touch(tmp_path / "x/1.jpg", tmp_path / "x/sub/2.jpg")
    (tmp_path / "x/here").symlink_to(".", target_is_directory=True)
    (tmp_path / "x/sub/up").symlink_to("..", target_is_directory=True)
    notices: list[str] = []
    with _bounded_memory():
        for follow in (False, True):
            for pattern in ("x/**/*.jpg", "x/**", "x" + 30 * "/**" + "/*.jpg", "**/x/**/*.jpg"):
                found = find(tmp_path / pattern, notices=notices, follow_symlinks=follow)
                assert sorted(item.source for item in found) == [f"{tmp_path}/x/1.jpg", f"{tmp_path}/x/sub/2.jpg"]
        assert sorted(paths(tmp_path / ("x" + 30 * "/*" + "/*.jpg"))) == ["1.jpg", "sub/2.jpg"]
    assert any("--follow-symlinks" in notice for notice in notices)


def test_a_pattern_goes_through_links_to_folders_only_if_asked_but_for_what_it_names(tmp_path: Path) -> None:
    touch(tmp_path / "far/2.jpg", tmp_path / "tree/1.jpg")
    (tmp_path / "tree/far").symlink_to(tmp_path / "far", target_is_directory=True)
    assert paths(tmp_path / "tree/**/*.jpg") == ["1.jpg"]
    assert len(paths(tmp_path / "tree/**/*.jpg", follow_symlinks=True)) == 2
    assert len(paths(tmp_path / "tree/*/*.jpg")) == 1
    assert len(paths(tmp_path / "tree/far/*.jpg")) == 1


def test_a_link_does_not_take_a_file_from_the_path_that_patterns_see(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path / "x/sub/1.jpg")
    (tmp_path / "x/alias").symlink_to("sub", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    for follow in (False, True):
        assert paths("x/*/*.jpg", include=("x/sub/*",), follow_symlinks=follow) == ["sub/1.jpg"]


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


@pytest.mark.parametrize("null", [False, True])
def test_a_list_without_an_end_ends_in_bounded_memory(null: bool) -> None:
    found = discover(SourceConfig(files_from="/dev/zero", null=null))
    with _bounded_memory():
        if not null:
            failure = next(found)
            assert isinstance(failure, ImageFailure)
            assert len(failure.path) <= 2**16
        with pytest.raises(UsageError, match="no list of names"):
            next(found)


def test_of_a_listed_name_too_long_for_any_system_the_beginning_is_recorded(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg", tmp_path / "b.jpg")
    names = [os.fsencode(tmp_path / "a.jpg"), b"n" * 10_000_000, os.fsencode(tmp_path / "b.jpg"), b"m" * 70_000]
    (tmp_path / "list").write_bytes(b"\n".join(names))
    with _bounded_memory():
        found = find(files_from=str(tmp_path / "list"))
    assert [type(item) for item in found] == [ImageRef, ImageFailure, ImageRef, ImageFailure]
    assert [os.path.basename(found[index].path)[:1] for index in (1, 3)] == ["n", "m"]
    assert {len(os.path.basename(found[index].path)) for index in (1, 3)} == {2**16}


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


_wild = st.lists(
    st.sampled_from(["**", "*", "a", "b", "?", "[ab]*", ".*", "a*.jpg", ".", ".."]), min_size=1, max_size=4
)


@settings(max_examples=60, deadline=None)
@given(
    tree=st.lists(
        st.lists(st.sampled_from(["a", "b", ".h", "ab", "a.jpg", ".x.jpg"]), min_size=1, max_size=4), max_size=8
    ),
    parts=_wild,
    hidden=st.booleans(),
)
def test_a_pattern_matches_what_it_does_for_glob(tree: list[list[str]], parts: list[str], hidden: bool) -> None:
    if hidden and sys.version_info < (3, 11):
        return
    options = {"include_hidden": True} if hidden else {}
    with tempfile.TemporaryDirectory() as temporary:
        root = os.path.join(temporary, "1/2/3/4")  # or '..' and '**' would look at the whole disk
        os.makedirs(root)
        _grow(root, [(path[:-1], path[-1], "") for path in tree])
        pattern = os.path.join(root, *parts)
        expected = glob.glob(pattern, recursive=True, **options) if glob.has_magic(pattern) else []
        found = expand(pattern, hidden=hidden, follow=True, notice=str) if glob.has_magic(pattern) else []
        assert {os.path.realpath(path) for path in found if os.path.isfile(path)} == {
            os.path.realpath(path) for path in expected if os.path.isfile(path)
        }
        assert found == sorted(found, key=os.fsencode)
        if not {"**", ".."} & set(parts):  # of two ways to one folder, one is taken
            assert found == sorted(expected, key=os.fsencode)


_kinds = st.sampled_from(["file", "file", "folder", "fifo", "device", "link", "loop", "ignore fifo", "ignore zero"])


@settings(max_examples=40, deadline=None)
@given(
    things=st.lists(st.tuples(st.integers(0, 5), _kinds, _parts, st.integers(0, 5)), max_size=14),
    follow=st.booleans(),
)
def test_any_tree_of_links_fifos_and_devices_ends_with_each_image_once(
    things: list[tuple[int, str, str, int]], follow: bool
) -> None:
    with tempfile.TemporaryDirectory() as root:
        folders = [root]
        for where, kind, name, other in things:
            with contextlib.suppress(OSError):  # a name that is there, or too long, or a device as nobody special
                _put(folders, os.path.join(folders[where % len(folders)], name), kind, folders[other % len(folders)])
        images = {
            os.path.realpath(folder) + "/" + name
            for folder, _, names in os.walk(root)
            for name in names
            if name.endswith(".jpg")
        }
        every = f"{glob.escape(root)}/**/*.jpg"
        with _bounded_memory():
            for inputs in ([root], [every], [every, root, f"{glob.escape(root)}/**"]):
                found = find(*inputs, follow_symlinks=follow, hidden=True)
                refs = [item if isinstance(item, ImageRef) else item.ref for item in found]
                sources = [ref.source for ref in refs if ref.source.endswith(".jpg")]
                assert sorted(sources) == sorted(images)
                assert len({item.path for item in found}) == len(found)


def _put(folders: list[str], path: str, kind: str, other: str) -> None:
    """Makes one thing of a tree; a link to a folder has no suffix of an image, so that images are files or devices."""
    if kind == "folder":
        os.mkdir(path)
        folders.append(path)
    elif kind == "fifo":
        os.mkfifo(f"{path}.jpg")
    elif kind == "device":
        os.mknod(f"{path}.jpg", stat.S_IFCHR | 0o600, os.makedev(1, 5))  # /dev/zero
    elif kind == "link":
        os.symlink(other, path)
    elif kind == "loop":
        os.symlink(os.path.basename(path) + ".jpg", f"{path}.jpg")
    elif kind == "ignore fifo":
        os.mkfifo(os.path.join(os.path.dirname(path), IGNORE_FILE))
    elif kind == "ignore zero":
        os.symlink("/dev/zero", os.path.join(os.path.dirname(path), IGNORE_FILE))
    else:
        write_nothing = os.open(f"{path}.jpg", os.O_CREAT | os.O_WRONLY)
        os.close(write_nothing)


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
