"""Nothing that lies beside the photographs is run: each command, each mode, in a folder full of shadowing modules."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import REPOSITORY, clean_environment, write_image
from yolocli.executors import EXECUTORS
from yolocli.runtimes import RUNTIMES

NAMES = sorted(sys.stdlib_module_names | {"cv2", "numpy", "torch", "ultralytics", "openvino", "nncf", "PIL", "yolocli"})
PACKAGES = ("multiprocessing", "yolocli", "numpy", "torch")
EARLIER = (
    "import sys; sys.path[:] = {path!r}; sys.argv[0] = 'yolocli'; import yolocli.__main__; yolocli.__main__.main()"
)
"""The command as it is installed: the folder of the script is first, not the current one. It is not installed here."""
PYTHONS = ("python3.10", "python3.11", "python3.12", "python3.13", "python3.14")


def installed_path() -> list[str]:
    return [os.path.abspath(path) for path in sys.path if path and os.path.abspath(path) != os.getcwd()]


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A folder with an image, and a module of every name that anything may import."""
    folder = tmp_path / "trap"
    folder.mkdir()
    code = f"import os; os.close(os.open({str(tmp_path / 'marker-')!r} + __name__, os.O_CREAT))\nraise ImportError\n"
    for name in NAMES:
        if name in PACKAGES:
            (folder / name).mkdir()
            (folder / name / "__init__.py").write_text(code)
        else:
            (folder / f"{name}.py").write_text(code)
    (folder / "yolocli/__main__.py").write_text(code)
    for number in range(4):
        write_image(folder / f"{number}.png", 320, 320)
    return folder


@pytest.fixture(autouse=True)
def _nothing_ran(tmp_path: Path) -> Iterator[None]:
    yield
    assert not sorted(path.name for path in tmp_path.glob("marker-*"))


def start(*words: str, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", EARLIER.format(path=[str(REPOSITORY), *installed_path()]), *words]
    return subprocess.run(command, capture_output=True, cwd=cwd, env=clean_environment(), timeout=280, check=False)


@pytest.mark.parametrize(
    ("mode", "runtime"),
    [
        pytest.param(mode, runtime, marks=[pytest.mark.slow] * ((mode, runtime) != ("process", "openvino")))
        for mode in EXECUTORS
        for runtime in RUNTIMES
    ],
)
def test_detect_and_export(mode: str, runtime: str, trap: Path) -> None:
    if runtime == "openvino":
        pytest.importorskip("openvino")
    words = ["detect", ".", "--model", "builtin", "--mode", mode, "-j", "2", "--runtime", runtime, "-o", "out"]
    done = start(*words, cwd=trap)
    assert done.returncode == 0, done.stderr.decode()
    done = start("export", "out", "--format", "csv-per-image", cwd=trap)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.slow
def test_bench(trap: Path) -> None:
    words = ["--images", "2", "--repeats", "1", "--mode", "process", "--json"]
    done = start("bench", ".", "-m", "builtin", *words, cwd=trap)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.slow
def test_optimize(trap: Path, photos: list[Path]) -> None:
    pytest.importorskip("nncf")
    for photo in photos:
        shutil.copyfile(photo, trap / photo.name)
    done = start("optimize", "builtin", "--calibrate", ".", "-o", "int8_openvino_model", "--force", cwd=trap)
    assert done.returncode in {0, 4}, done.stderr.decode()  # too few pictures is a failure, too
    assert b"defect" not in done.stderr


def test_run_as_a_module(trap: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Python itself imports before the package is out of its reach, and so is a package of its name."""
    early = "import sys, runpy, importlib.util, pkgutil; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", early], capture_output=True, text=True, check=True)
    for name in {*done.stdout.split(), "yolocli"} & set(NAMES):
        path = trap / name
        shutil.rmtree(path) if path.is_dir() else path.with_name(f"{name}.py").unlink(missing_ok=True)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    words = ["detect", ".", "--model", "builtin", "--mode", "process", "-o", "out"]
    done = subprocess.run(
        [sys.executable, "-m", "yolocli", *words], capture_output=True, text=True, cwd=trap, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


SERVED = """
import sys
sys.path[:] = {path!r}
import importlib.util
spec = importlib.util.spec_from_file_location("apart", {apart!r})
apart = importlib.util.module_from_spec(spec)
spec.loader.exec_module(apart)
import multiprocessing, time
if __name__ == "__main__":
    for method in multiprocessing.get_all_start_methods():
        if method != "fork":
            context = multiprocessing.get_context(method)
            context.set_forkserver_preload(["decimal"])
            with apart.multiprocessing_apart():
                pipe, _ = context.Pipe()
                child = context.Process(target=time.sleep, args=(0.1,))
                child.start()
            child.join()
            assert child.exitcode == 0, child.exitcode
"""


@pytest.mark.parametrize("python", PYTHONS)
def test_what_multiprocessing_starts(python: str, trap: Path, tmp_path: Path) -> None:
    """On every Python there is; it needs nothing but the standard library."""
    versions = sorted(map(str, Path.home().glob(".pyenv/versions/*/bin")), reverse=True)
    found = shutil.which(python, path=os.pathsep.join([*versions, os.environ.get("PATH", "")]))
    asked = found and subprocess.run(
        [found, "-I", "-c", "import sys; print(sys.path)"], capture_output=True, text=True, cwd=trap, check=False
    )
    if not asked or asked.returncode:
        pytest.skip(f"no {python}")
    script = tmp_path / "script/served.py"
    script.parent.mkdir()
    script.write_text(SERVED.format(path=eval(asked.stdout), apart=str(REPOSITORY / "yolocli/machine/apart.py")))
    done = subprocess.run([str(found), str(script)], capture_output=True, text=True, cwd=trap, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
