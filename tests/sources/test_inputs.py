"""What may be named on the command line: folders, files and patterns."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from tests.sources.support import ODD_NAMES, bounded_memory, find, named, paths, touch
from yolocli.errors import UsageError
from yolocli.results import ImageRef


def test_takes_a_file_named_outright_whatever_its_suffix(tmp_path: Path) -> None:
    touch(tmp_path / "picture.dat", tmp_path / ".hidden.jpg")
    files = [tmp_path / "picture.dat", tmp_path / ".hidden.jpg"]
    assert paths(*files) == [named(file) for file in files]


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


def test_names_depend_on_the_inputs_and_not_on_their_order(tmp_path: Path) -> None:
    touch(*(tmp_path / f"{folder}/x.jpg" for folder in ("a", "b", "c/a", "a/a")))
    inputs = [tmp_path / "b", tmp_path / "a", tmp_path / "c/a"]
    expected = ["a/a/x.jpg", "a/x.jpg", "b/x.jpg", "c/a/x.jpg"]
    for order in itertools.permutations(inputs):
        assert sorted(paths(*order)) == expected
    assert sorted(paths(*inputs, tmp_path / "a/a", tmp_path / "a")) == expected


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


@pytest.mark.parametrize("name", ["gone.jpg", "gone/", "gone/x.jpg"])
def test_a_missing_input_is_a_usage_error(tmp_path: Path, name: str) -> None:
    touch(tmp_path / "a.jpg")
    with pytest.raises(UsageError, match="gone"):
        find(tmp_path, f"{tmp_path}/{name}")


# Patterns


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
    with bounded_memory():
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
