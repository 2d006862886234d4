"""The recipes in docs/recipes: run where this machine can, and looked at where it cannot."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from tests.conftest import SAMPLES
from tests.support import REPOSITORY, clean_environment, projections, yolocli

RECIPES = REPOSITORY / "docs" / "recipes"
WORKER_MIB = 500
MODEL = {"YOLOCLI_MODEL": "builtin"}


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a single run."""
    output = tmp_path_factory.mktemp("one") / "out"
    done = yolocli(
        "detect", SAMPLES, "-m", "builtin", "-o", output, "--workers", "1", "--threads-per-worker", "1", "-q"
    )
    assert done.returncode == 0, done.stderr
    return output


def script(*command: str | os.PathLike[str], env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs a script for which `yolocli` is this one."""
    path = f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}"
    environment = clean_environment(PATH=path, **env)
    return subprocess.run(
        [os.fspath(word) for word in command], capture_output=True, text=True, env=environment, timeout=120
    )


def merged(folder: Path) -> dict[str, bytes]:
    done = yolocli("merge", *sorted(folder.glob("shard-*")), "--output", folder / "all")
    assert done.returncode == 0, done.stderr
    return projections(folder / "all")


@pytest.mark.slow
def test_a_slurm_array(one: Path, tmp_path: Path) -> None:
    array = re.search(r"#SBATCH --array=(\d+)-(\d+)", (RECIPES / "slurm.sh").read_text())
    assert array
    assert (array[1], array[2]) == ("0", "15")
    for task in range(2):
        told = {"TASK_ID": task, "TASK_MIN": 0, "TASK_MAX": 1, "TASK_COUNT": 2, "TASK_STEP": 1}
        variables = {f"SLURM_ARRAY_{name}": str(value) for name, value in told.items()}
        done = script(RECIPES / "slurm.sh", SAMPLES, "builtin", tmp_path, env=variables)
        assert done.returncode == 0, done.stderr
    assert merged(tmp_path) == projections(one)


@pytest.mark.slow
def test_the_command_of_a_pod(one: Path, tmp_path: Path) -> None:
    job = yaml.safe_load((RECIPES / "kubernetes.yaml").read_text())
    spec = job["spec"]
    assert (job["kind"], spec["completionMode"]) == ("Job", "Indexed")
    (container,) = spec["template"]["spec"]["containers"]
    assert spec["podFailurePolicy"]["rules"][0]["onExitCodes"]["containerName"] == container["name"]
    (command,) = container["args"]
    assert f"--shard auto/{spec['completions']} " in command
    command = (
        command.replace("auto/16", "auto/2").replace("/data/photos", str(SAMPLES)).replace("/data/out", str(tmp_path))
    )
    for index in range(2):
        done = script(*container["command"], command, env={"JOB_COMPLETION_INDEX": str(index), **MODEL})
        assert done.returncode == 0, done.stderr
    assert merged(tmp_path) == projections(one)
    wrong = script(*container["command"], command.replace("auto/2", "3/2"), env={"JOB_COMPLETION_INDEX": "0", **MODEL})
    assert wrong.returncode == 1, "the shell's own"


@pytest.mark.slow
def test_a_line_of_cron(tmp_path: Path) -> None:
    text = (RECIPES / "crontab").read_text()
    (line,) = [line for line in text.splitlines() if line and line[0].isdigit()]
    command = line.split(maxsplit=5)[5].replace("/data/photos", str(SAMPLES)).replace("/data", str(tmp_path))
    if shutil.which("flock") is None:
        command = command.partition(" yolocli ")[2]
        command = f"yolocli {command}"
    done = script("sh", "-c", command.replace("/tmp/yolocli.lock", f"{tmp_path}/lock"), env=MODEL)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out" / "shard-1" / "summary.json").exists()


@pytest.mark.slow
def test_processes_by_xargs(one: Path, tmp_path: Path) -> None:
    done = script(RECIPES / "parallel.sh", SAMPLES, tmp_path, "3", "2", env=MODEL)
    assert done.returncode == 0, done.stderr
    assert projections(tmp_path / "all") == projections(one)


def test_stages_of_the_container() -> None:
    text = (RECIPES / "Containerfile").read_text()
    stages = re.split(r"^FROM ", text, flags=re.MULTILINE)[1:]
    assert len(stages) == 2
    assert "yolocli convert" in stages[0]
    for source in re.findall(r"--from=convert /yolocli/(\S+)", stages[1]):
        assert (REPOSITORY / source).exists()
    needed = {
        re.split(r"[<>=]", line)[0]
        for line in (RECIPES / "worker-requirements.txt").read_text().splitlines()
        if line[:1].isalpha()
    }
    assert not needed & {"torch", "ultralytics", "torchvision"}


@pytest.mark.slow
def test_a_worker_without_pytorch_gives_the_same_records(one: Path, tmp_path: Path) -> None:
    """The second stage of the container, as a virtual environment: in each mode, and below its size."""
    venv.create(tmp_path / "worker", with_pip=True)
    python = tmp_path / "worker" / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for what in (
        ["-r", RECIPES / "worker-requirements.txt", "-c", REPOSITORY / "constraints.txt"],
        ["--no-deps", REPOSITORY],
    ):
        done = subprocess.run([*install, *what], capture_output=True, text=True)
        if done.returncode and "No matching distribution" in done.stderr + done.stdout:
            pytest.skip("no package index to install a worker from")
        assert done.returncode == 0, done.stderr
    size = sum(file.lstat().st_size for file in (tmp_path / "worker").rglob("*") if not file.is_dir()) / 2**20
    assert size < WORKER_MIB, f"{size:.0f} MiB"
    model = tmp_path / "codes_openvino_model"
    assert yolocli("convert", "builtin", "--output", model).returncode == 0

    def detect(*options: str) -> subprocess.CompletedProcess[str]:
        command = [
            python,
            "-m",
            "yolocli",
            "detect",
            SAMPLES,
            "-q",
            "--workers",
            "1",
            "--threads-per-worker",
            "1",
            *options,
        ]
        environment = clean_environment(YOLOCLI_CACHE_DIR=str(tmp_path / "cache"))
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)

    for mode in ("thread", "process", "locked"):
        done = detect("--model", str(model), "--mode", mode, "--output", str(tmp_path / mode))
        assert (done.returncode, done.stderr) == (0, "")
        assert projections(tmp_path / mode) == projections(one)
    for options in (["--model", "builtin"], ["--model", str(model), "--runtime", "torch", "--mode", "locked"]):
        done = detect(*options, "--output", str(tmp_path / "none"))
        assert done.returncode == 4
        (line,) = done.stderr.splitlines()
        assert "PyTorch and Ultralytics" in line
