"""Lists of names, which may come from a pipe, be endless, or hold anything."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from tests.sources.support import ODD_NAMES, bounded_memory, failures, find, named, paths, touch
from tests.support import run, without_privileges, write_image
from yolocli.config import SourceConfig
from yolocli.errors import UsageError
from yolocli.results import ImageFailure, ImageRef
from yolocli.sources.discover import discover
from yolocli.sources.names import LONGEST, upwards


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


def test_a_file_has_one_name_whether_named_or_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "here/v/f.jpg", tmp_path / "there/f.jpg")
    monkeypatch.chdir(tmp_path / "here")
    for file, expected in (("v/f.jpg", "v/f.jpg"), (tmp_path / "there/f.jpg", named(tmp_path / "there/f.jpg"))):
        (tmp_path / "list").write_text(f"{file}\n")
        assert paths(file) == paths(files_from=str(tmp_path / "list")) == [expected]


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


def test_listed_names_never_lead_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "up.jpg", tmp_path / "here/in.jpg")
    monkeypatch.chdir(tmp_path / "here")
    names = ["../up.jpg", str(tmp_path / "up.jpg"), "in.jpg", "./x/../in.jpg", "../../../../../../etc/x.jpg"]
    (tmp_path / "list").write_text("\n".join(names))
    for item in find(files_from=str(tmp_path / "list")):
        assert not item.path.startswith("/")
        assert ".." not in item.path.split("/")


# What is no name


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
def test_a_list_without_an_end_ends_inbounded_memory(null: bool) -> None:
    found = discover(SourceConfig(files_from="/dev/zero", null=null))
    with bounded_memory():
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
    with bounded_memory():
        found = find(files_from=str(tmp_path / "list"))
    assert [type(item) for item in found] == [ImageRef, ImageFailure, ImageRef, ImageFailure]
    assert [os.path.basename(found[index].path)[:1] for index in (1, 3)] == ["n", "m"]
    assert {len(os.path.basename(found[index].path)) for index in (1, 3)} == {2**16}


def test_a_missing_list_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--files-from"):
        find(files_from=str(tmp_path / "gone"))


def test_going_up_a_path_that_no_system_has_ends_soon() -> None:
    assert list(upwards("/a/b/c")) == ["/a/b", "/a", "/"]
    folders = list(upwards("/a" * 1_000_000))
    assert len(folders) <= LONGEST
    assert folders[-3:] == ["/a/a", "/a", "/"]
