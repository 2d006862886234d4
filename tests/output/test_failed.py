"""`yolocli failures`: the paths of what failed, as other programs take them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import REPOSITORY, ref, result, run, write_image, yolocli
from yolocli.errors import UsageError
from yolocli.output.failed import failed
from yolocli.output.folder import OutputFolder
from yolocli.output.journal import Journal
from yolocli.results import ImageFailure

BROKEN = [b"10.jpg", b"a/new\nline.jpg", b"a/\xff\xfe.jpg", b"a.jpg", "é🦊.jpg".encode()]


@pytest.fixture
def pictures(tmp_path: Path, fake_detectors: object) -> Path:
    (tmp_path / "in/a").mkdir(parents=True)
    write_image(tmp_path / "in/good.png")
    for name in BROKEN:
        with open(os.fsencode(tmp_path / "in") + b"/" + name, "wb") as stream:
            stream.write(b"no picture")
    return tmp_path / "in"


@pytest.fixture
def output(pictures: Path) -> Path:
    run(pictures, output=pictures.parent / "out", workers=2)
    return pictures.parent / "out"


def test_it_prints_what_opens_each_in_input_order(pictures: Path, output: Path) -> None:
    expected = [os.fsencode(pictures) + b"/" + name for name in BROKEN]
    done = yolocli("failures", output, "-0")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"".join(path + b"\0" for path in expected)
    assert yolocli("failures", output).stdout == b"".join(path + b"\n" for path in expected)


def test_other_programs_take_them(pictures: Path, output: Path) -> None:
    yolo = f"{sys.executable} -m yolocli"
    moved = pictures.parent / "moved"
    moved.mkdir()
    shell = f"{yolo} failures {output} -0 | xargs -0 -I{{}} mv {{}} {moved}/"
    again = f"{yolo} failures {output} -0 | {yolo} detect -0 --files-from - --dry-run"
    listed = subprocess.run(again, shell=True, capture_output=True, timeout=60, cwd=REPOSITORY)
    assert listed.returncode == 0, listed.stderr
    assert listed.stdout.count(b"\0") == len(BROKEN)
    subprocess.run(shell, shell=True, check=True, timeout=60, cwd=REPOSITORY)
    assert len(os.listdir(moved)) == len(BROKEN)


def test_what_was_put_right_is_no_failure_any_more(pictures: Path, output: Path) -> None:
    shutil.copyfile(pictures / "good.png", pictures / "10.jpg")
    run(pictures, output=output, workers=1)
    assert [os.path.basename(path) for path in failed(output)][:1] == ["new\nline.jpg"]
    assert len(list(failed(output))) == len(BROKEN) - 1


def test_nothing_is_printed_where_nothing_failed(tmp_path: Path) -> None:
    folder = OutputFolder(tmp_path)
    folder.create()
    journal = Journal(folder)
    journal.append(result("a.jpg"))
    journal.close()
    folder.close()
    done = yolocli("failures", tmp_path, "-0")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_folder_without_a_journal_is_refused(tmp_path: Path) -> None:
    done = yolocli("failures", tmp_path)
    assert done.returncode == 2
    assert done.stderr.decode() == f"yolocli: {tmp_path}: holds no results.jsonl; name the output folder of a run\n"
    with pytest.raises(UsageError):
        list(failed(tmp_path / "nothing"))


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    folder = OutputFolder(tmp_path)
    folder.create()
    journal = Journal(folder)
    for number in range(20_000):
        journal.append(ImageFailure(ref(f"{number:06}.jpg"), "read", "OSError", "no"))
    journal.close()
    folder.close()
    command = f"set -o pipefail; {sys.executable} -m yolocli failures {tmp_path} | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, timeout=60, cwd=REPOSITORY)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"000000.jpg\n", b"")


def test_it_reads_while_a_run_writes_and_after_a_kill(pictures: Path, output: Path) -> None:
    with open(output / "results.jsonl", "ab") as stream:
        stream.write(b'{"schema": 1, "path": "torn.jpg", "source": "torn.jpg", "status": "failed", "ver')
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    with OutputFolder(output).held():
        assert len(yolocli("failures", output, "-0").stdout.split(b"\0")) == len(BROKEN) + 1
    assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == before


def test_folders_of_earlier_versions_have_failures_too(tmp_path: Path) -> None:
    earlier = REPOSITORY / "tests/old_folders"
    for folder in sorted(path for path in earlier.iterdir() if (path / "results.jsonl").exists()):
        lines = (folder / "results.jsonl").read_bytes().splitlines()
        assert len(list(failed(folder))) == sum(b'"status": "failed"' in line for line in lines)
