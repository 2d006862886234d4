from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import NOBODY, write_image, yolocli
from yolocli.builtin import WEIGHTS
from yolocli.errors import ModelError, OutputError
from yolocli.machine.cache import cache_folder, distrust, find_cached, why_unused
from yolocli.models import OFFICIAL, resolve_model
from yolocli.runtimes.torch.download import Official

as_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can act as two users")


def test_a_system_that_cannot_be_written_is_told_of_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("YOLOCLI_CACHE_DIR", str(tmp_path / "file/cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    with pytest.raises(OutputError) as caught:
        cache_folder("weights")
    text = str(caught.value)
    assert text.startswith(f"{tmp_path / 'file/cache'}: the cache cannot be written: Not a directory")
    assert text.endswith("give one that can with YOLOCLI_CACHE_DIR")


@pytest.fixture
def no_home(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files of all users, and for NOBODY no home."""
    (open_folder / "tmp").mkdir()
    (open_folder / "tmp").chmod(0o1777)
    monkeypatch.setenv("YOLOCLI_CACHE_DIR", str(open_folder / "none/cache"))
    monkeypatch.setattr("tempfile.tempdir", str(open_folder / "tmp"))
    monkeypatch.setattr("os.getuid", os.geteuid)
    monkeypatch.setattr("os.getgid", lambda: NOBODY)
    yield open_folder / "tmp"
    os.seteuid(0)


@as_root
@pytest.mark.parametrize("trap", ["owned", "owned by root, open to all", "link", "link below"])
def test_a_temporary_cache_that_another_user_has_prepared_is_not_used(no_home: Path, trap: str) -> None:
    theirs = no_home / f"yolocli-{NOBODY}"
    attacker = no_home / "attacker"
    (attacker / "weights").mkdir(parents=True)
    (attacker / "weights/yolo11n.pt").write_bytes(b"evil")
    if trap == "owned":
        attacker.rename(theirs)
        os.chown(theirs, 1234, 1234)
        theirs.chmod(0o777)
    elif trap == "link":
        theirs.symlink_to(attacker)
        os.lchown(theirs, 1234, 1234)
    else:
        attacker.rename(theirs)
        theirs.chmod(0o777)
        if trap == "link below":
            os.chown(theirs, NOBODY, NOBODY)
            theirs.chmod(0o755)
            (theirs / "weights").rename(no_home / "far")
            (theirs / "weights").symlink_to(no_home / "far")
            os.lchown(theirs / "weights", 1234, 1234)
    os.seteuid(NOBODY)
    assert find_cached("weights", "yolo11n.pt") is None
    folder = cache_folder("openvino")
    os.seteuid(0)
    if trap != "link below":  # what is the user's own is used, but for what has been put into it
        assert folder.parent != theirs
    assert folder.stat().st_uid == NOBODY
    assert folder.parent.stat().st_mode & 0o777 == 0o700 or trap == "link below"


@as_root
def test_a_cache_filled_by_root_is_read_and_one_of_somebody_else_is_not_which_is_said(
    open_folder: Path, no_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = open_folder / "opt"
    (root / "weights").mkdir(parents=True)
    shutil.copyfile(WEIGHTS, root / "weights/yolo11n.pt")
    monkeypatch.setenv("YOLOCLI_CACHE_DIR", str(root))
    os.seteuid(NOBODY)
    assert why_unused() is None
    assert resolve_model("yolo11n.pt", Official()) == root / "weights/yolo11n.pt"
    os.seteuid(0)
    for path in (root / "weights/yolo11n.pt", root / "weights", root):
        os.chown(path, 1234, 1234)
        os.seteuid(NOBODY)
        assert find_cached("weights", "yolo11n.pt") is None
        os.seteuid(0)
        os.chown(path, 0, 0)
        path.chmod(path.stat().st_mode | 0o002)
        os.seteuid(NOBODY)
        assert find_cached("weights", "yolo11n.pt") is None
        os.seteuid(0)
        path.chmod(path.stat().st_mode & ~0o002)
    os.chown(root, 1234, 1234)
    write_image(open_folder / "a.png")
    done = yolocli(
        "detect", open_folder / "a.png", "--model", "builtin", "--stdout", env={"YOLOCLI_CACHE_DIR": str(root)}
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(b"this cache is not used") == 1
    assert b"belongs to another user (1234)" in done.stderr


def test_files_that_other_runs_put_into_the_cache_and_take_out_again_are_no_reason_for_distrust(tmp_path: Path) -> None:
    ended = threading.Event()

    def come_and_go() -> None:
        while not ended.is_set():
            (tmp_path / "work.lock").touch()
            (tmp_path / "work.lock").unlink()

    other = threading.Thread(target=come_and_go)
    other.start()
    try:
        reasons = {distrust(tmp_path) for _ in range(2000)}
    finally:
        ended.set()
        other.join()
    assert reasons == {None}


def test_a_bare_official_name_is_never_a_file_of_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("YOLOCLI_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("yolo11n.pt", "mine.pt", "yolo11z-sem.pt"):
        shutil.copyfile(WEIGHTS, tmp_path / name)
    assert resolve_model("./yolo11n.pt", Official()) == tmp_path / "yolo11n.pt"
    assert resolve_model("mine.pt", Official()) == tmp_path / "mine.pt"
    assert resolve_model("yolo11z-sem.pt", Official()) == tmp_path / "yolo11z-sem.pt", "no official name after all"

    def fail(*arguments: object) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr("ultralytics.utils.downloads.attempt_download_asset", fail)
    with pytest.raises(ModelError, match=r"the current folder is \./yolo11n\.pt"):
        resolve_model("yolo11n.pt", Official())
    (cache_folder("weights") / "yolo11n.pt").write_bytes(b"official")
    assert resolve_model("yolo11n.pt", Official()) == tmp_path / "cache/weights/yolo11n.pt"


def test_every_official_detector_is_known_by_name() -> None:
    from yolocli.runtimes.torch.library import import_ultralytics

    import_ultralytics()
    from ultralytics.utils.downloads import GITHUB_ASSETS_NAMES

    detectors = {name for name in GITHUB_ASSETS_NAMES if name.startswith(("yolo", "rtdetr")) and name.endswith(".pt")}
    assert {name for name in detectors if not OFFICIAL.fullmatch(name)} == set()
    assert not OFFICIAL.fullmatch("yolo11n-mine.pt")


@pytest.mark.slow
def test_run_and_summary_say_which_file_was_loaded(tmp_path: Path) -> None:
    shutil.copyfile(WEIGHTS, tmp_path / "mine.pt")
    write_image(tmp_path / "a.png")
    done = yolocli("detect", "a.png", "--model", "mine.pt", "--output", "out", "--summary-json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out/run.json").read_text())["settings"]["model"] == str(tmp_path / "mine.pt")
    assert json.loads((tmp_path / "out/summary.json").read_text())["model"] == str(tmp_path / "mine.pt")
