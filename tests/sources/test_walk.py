"""The walk of a folder: what it takes, in which order, and what a tree may hold."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from tests.sources.support import failures, find, paths, touch
from tests.support import without_privileges
from yolocli.config import SourceConfig
from yolocli.sources.discover import discover
from yolocli.sources.suffixes import IMAGE_SUFFIXES


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


def test_sorts_entries_by_the_bytes_of_their_names_folders_in_their_place(tmp_path: Path) -> None:
    expected = ["10.jpg", "B.jpg", "a/z.jpg", "a.jpg", "b.jpg", "c/a.jpg", "c/d/e.png", "é.jpg"]
    touch(*(tmp_path / name for name in reversed(expected)))
    assert paths(tmp_path) == expected


def test_the_first_image_comes_before_later_folders_are_listed(tmp_path: Path) -> None:
    touch(tmp_path / "a/1.jpg", tmp_path / "b/1.jpg")
    walk = discover(SourceConfig((str(tmp_path),)))
    assert next(walk).path == "a/1.jpg"
    touch(tmp_path / "b/2.jpg")  # made after the walk began: seen, as b has not been listed yet
    assert [item.path for item in walk] == ["b/1.jpg", "b/2.jpg"]


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


def test_a_folder_called_like_an_image_is_walked(tmp_path: Path) -> None:
    touch(tmp_path / "x.jpg/1.jpg", tmp_path / "x.jpg/y.png/2.jpg")
    assert paths(tmp_path) == ["x.jpg/1.jpg", "x.jpg/y.png/2.jpg"]


# Links


def test_hard_links_and_links_to_files_are_files_of_their_own(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg")
    os.link(tmp_path / "a.jpg", tmp_path / "hard.jpg")
    (tmp_path / "soft.jpg").symlink_to("a.jpg")
    assert paths(tmp_path) == ["a.jpg", "hard.jpg", "soft.jpg"]
    assert len(paths(tmp_path, tmp_path / "hard.jpg")) == 3


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


def test_a_link_called_like_an_image_to_a_folder_is_said(tmp_path: Path) -> None:
    touch(tmp_path / "far/1.jpg")
    (tmp_path / "x.jpg").symlink_to("far", target_is_directory=True)
    found = find(tmp_path)
    assert failures(found)["x.jpg"].error == "NotAFile"


def test_a_followed_link_and_its_target_named_outright_are_one_file(tmp_path: Path) -> None:
    touch(tmp_path / "far/1.jpg")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/link").symlink_to(tmp_path / "far", target_is_directory=True)
    for inputs in ((tmp_path / "tree", tmp_path / "far"), (tmp_path / "far", tmp_path / "tree")):
        assert paths(*inputs, follow_symlinks=True) == ["far/1.jpg"]


# What cannot be read


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
