"""No packet leaves, nothing is written outside the output folder and the cache, and no pickle runs its code."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.chaos.harness import MODES, SABOTEUR, Launcher

TRY = "import socket; socket.create_connection(('127.0.0.1', 9), 1)"


def can_unshare() -> bool:
    """Tells whether a process can be put where there is no network."""
    try:
        return subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def snapshot(*folders: Path) -> dict[str, tuple[int, int]]:
    """Returns what lies in folders."""
    return {
        str(path): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for folder in folders
        for path in (folder, *folder.rglob("*"))
    }


def test_the_trap_catches(tmp_path: Path) -> None:
    spy = tmp_path / "audit"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {TRY!r}])"
    env = {**os.environ, "PYTHONPATH": str(SABOTEUR), "CHAOS_AUDIT": str(spy)}
    subprocess.run([sys.executable, "-c", child], env=env, capture_output=True, check=True)
    assert "socket.connect (('127.0.0.1', 9),)" in spy.read_text()


@pytest.mark.parametrize("mode", MODES)
def test_no_packet_leaves_and_nothing_is_written_elsewhere(
    mode: str, photos: Path, model: str, tmp_path: Path, launcher: Launcher
) -> None:
    home, here, temporary = tmp_path / "home", tmp_path / "here", tmp_path / "temporary"
    for folder in (home, here, temporary):
        folder.mkdir()
    spy = tmp_path / "audit"
    env = {
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "CHAOS_AUDIT": str(spy),
        "XDG_CONFIG_HOME": "",
        "XDG_CACHE_HOME": "",
        "XDG_DATA_HOME": "",
    }
    weights = Path(model).parent if os.path.isfile(model) else home
    before = snapshot(home, here, photos, weights)
    prefix = ["unshare", "-n"] if can_unshare() else []
    code, run = launcher.run(photos, mode=mode, env=env, cwd=here, prefix=prefix, options=["--verbose"])
    assert code == 0, run.stderr
    run.assert_tidy()
    assert not spy.exists(), spy.read_text()
    assert snapshot(home, here, photos, weights) == before
    assert list(temporary.iterdir()) == []


class Payload:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


def torch_archive(target: Path, content: bytes) -> None:
    """Writes a checkpoint as torch.save does, around a pickle of one's own."""
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")


@pytest.mark.parametrize("mode", MODES)
def test_a_pickle_that_runs_code_is_refused(mode: str, photos: Path, tmp_path: Path, launcher: Launcher) -> None:
    mark = tmp_path / "mark"
    hostile = pickle.dumps({"model": Payload(mark), "train_args": {}}, protocol=2)
    torch_archive(tmp_path / "zip.pt", hostile)
    (tmp_path / "legacy.pt").write_bytes(pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + hostile)
    (tmp_path / "plain.pt").write_bytes(hostile)
    names = {"thread": ["zip", "plain"], "locked": ["legacy"], "process": ["zip"]}[mode]
    for name in names:
        launcher.model = str(tmp_path / f"{name}.pt")
        code, run = launcher.run(photos, mode=mode, output=tmp_path / name)
        assert code == 4, run.stderr
        run.assert_tidy()
        assert not mark.exists(), name
        complaint = run.stderr.strip().splitlines()[-1]
        assert launcher.model in complaint
        assert "--trust-weights" in complaint or name != "zip"
    pickle.loads(hostile)  # it would have
    assert mark.exists()
