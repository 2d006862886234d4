"""What is left out: by patterns, ignore files, and as the run wrote it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.sources.support import bounded_memory, paths, touch
from tests.support import run, without_privileges, write_image


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


# Ignore files


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
    with without_privileges(), bounded_memory():
        assert paths(open_folder, notices=notices) == ["a.jpg", "sub/b.jpg"]
    (notice,) = notices
    assert notice.startswith(f"{ignore_file}: not used, so all that lies in its folder is read: ")


def test_names_by_the_hundred_thousand_can_be_ignored(tmp_path: Path) -> None:
    """Each pattern was compiled anew for each name."""
    touch(*(tmp_path / f"{number:05}.jpg" for number in range(300)))
    lines = [f"{number:05}.jpg\n" for number in range(1, 90_000)] + [f"*x{number}.jpg\n" for number in range(4_000)]
    (tmp_path / ".yolocliignore").write_text("".join(lines))
    with bounded_memory():
        assert paths(tmp_path) == ["00000.jpg"]


@pytest.mark.slow
@pytest.mark.parametrize("line", ["[", "*", "*a", "[!", "?"])
def test_no_line_of_an_ignore_file_takes_long(tmp_path: Path, line: str) -> None:
    touch(tmp_path / ("a" * 250 + ".jpg"))
    for length in (100_000, 900_000):
        (tmp_path / ".yolocliignore").write_text(line * (length // len(line)) + ".png")
        with bounded_memory():
            assert len(paths(tmp_path)) == 1


# The output folder


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
