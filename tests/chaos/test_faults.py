"""Disks that fail a call now and then: exit 4 and one line, or nothing at all, and the next run puts it right."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.chaos.harness import MODES, Launcher, Running, assert_equal, assert_whole, skip_unless

SOURCE = Path(__file__).parent / "faults/faults.c"
TABLE = ".partial/yolocli-" + hashlib.blake2b(b"images.csv", digest_size=16).hexdigest()
NUMBERS = (errno.ENOSPC, errno.EIO, errno.EDQUOT)
FAULTS = [
    ("open", "results.jsonl", 0),
    ("open", ".partial/", 30),
    ("open", TABLE, 0),
    ("write", "results.jsonl", 20),
    ("write", ".partial/", 30),
    ("write", TABLE, 0),
    ("rename", "json/roll 2/", 0),
    ("rename", "images.csv", 0),
    ("rename", "summary.json", 0),
    ("fsync", "results.jsonl", 0),
]
"""Calls, the files that they are on, and how many of them are let through first."""
SHORT = {
    "thread": {(errno.EIO, "write", ".partial/"), (errno.EDQUOT, "rename", "images.csv"), (errno.EIO, "fsync")},
    "locked": {(errno.EDQUOT, "open", ".partial/")},
    "process": {(errno.ENOSPC, "write", "results.jsonl")},
}
"""What is tried in the short form, too."""


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What spoils calls, compiled."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler, to come between the run and its disk")
    target = tmp_path_factory.mktemp("faults") / "faults.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(target), str(SOURCE), "-ldl"], check=True)
    return target


def fault(library: Path, where: str, call: str, number: int, after: int = 0, every: int = 1) -> dict[str, str]:
    """Returns the environment in which calls on files are spoiled whose path begins so; see faults.c."""
    figures = {"FAULT_ERRNO": number, "FAULT_AFTER": after, "FAULT_EVERY": every}
    settings = {name: str(value) for name, value in figures.items()}
    return {"LD_PRELOAD": str(library), "FAULT_UNDER": where, "FAULT_CALL": call, **settings}


def start(launcher: Launcher, album: Path, mode: str, env: Mapping[str, str]) -> Running:
    options = ["--format", "json", "--format", "csv", "--format", "csv-per-image"]
    run = launcher.start(album, mode=mode, env=env, options=options)
    run.wait()
    run.assert_tidy()
    return run


@pytest.fixture(scope="session")
def whole(album: Path, model: str, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The projections, in every format, of a run on the album that nothing happened to."""
    from tests.support import projections

    launcher = Launcher(tmp_path_factory.mktemp("whole"), model, cache)
    return projections(start(launcher, album, "thread", {}).output)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("number", NUMBERS, ids=errno.errorcode.get)
@pytest.mark.parametrize(("call", "name", "after"), FAULTS, ids=[f"{call} {name[:13]}" for call, name, _ in FAULTS])
def test_a_call_that_fails_ends_the_run_and_costs_nothing(
    mode: str,
    number: int,
    call: str,
    name: str,
    after: int,
    album: Path,
    whole: dict[str, bytes],
    launcher: Launcher,
    library: Path,
    long_form: bool,
) -> None:
    skip_unless(long_form or {(number, call), (number, call, name)} & SHORT[mode])
    where = f"{os.path.realpath(launcher.folder)}/out/{name}"
    run = start(launcher, album, mode, fault(library, where, call, number, after))
    assert run.process.returncode == 4, run.stderr
    complaints = [line for line in run.stderr.splitlines() if line.startswith("yolocli: ")]
    assert len(complaints) == 1, run.stderr
    assert str(run.output / ("" if name.startswith(".") else name)) in complaints[0]
    assert os.strerror(number) in complaints[0]
    if (run.output / "results.jsonl").exists():
        assert_whole(run.output)
    run = start(launcher, album, mode, {})
    assert run.process.returncode == 1, run.stderr
    assert_equal(run.output, whole)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("call", "number", "every"),
    [("write", 0, 1), ("write", errno.EINTR, 2), ("open", errno.EINTR, 2), ("fsync", errno.EINTR, 2)],
    ids=["short writes", "write EINTR", "open EINTR", "fsync EINTR"],
)
def test_a_call_that_does_less_or_is_interrupted_changes_nothing(
    mode: str,
    call: str,
    number: int,
    every: int,
    album: Path,
    whole: dict[str, bytes],
    launcher: Launcher,
    library: Path,
    long_form: bool,
) -> None:
    skip_unless(long_form or (call == "write" and mode == "thread"))
    run = start(
        launcher, album, mode, fault(library, os.path.realpath(launcher.folder) + "/out/", call, number, every=every)
    )
    assert run.process.returncode == 1, run.stderr
    assert_equal(run.output, whole)


def test_the_faults_come(tmp_path: Path, library: Path) -> None:
    lines = "import os; fd = os.open('out/x', os.O_CREAT | os.O_RDWR); print(os.write(fd, b'1234')); os.fsync(fd)"
    for call, number, words in (
        ("write", 0, "2"),
        ("write", errno.EDQUOT, os.strerror(errno.EDQUOT)),
        ("open", errno.EIO, os.strerror(errno.EIO)),
        ("fsync", errno.EIO, os.strerror(errno.EIO)),
    ):
        folder = tmp_path / "out"
        folder.mkdir(exist_ok=True)
        env = os.environ | fault(library, os.path.realpath(folder), call, number)
        absolute = lines.replace("out/x", str(folder / "x"))
        answer = subprocess.run([sys.executable, "-c", absolute], env=env, capture_output=True, text=True, check=False)
        assert words in answer.stdout + answer.stderr
