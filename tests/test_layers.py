from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import REPOSITORY, clean_environment

HEAVY = {
    "torch",
    "ultralytics",
    "torchvision",
    "cv2",
    "numpy",
    "openvino",
    "ray",
    "pandas",
    "matplotlib",
    "scipy",
    "PIL",
}


def _imported_by(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after running the code."""
    probe = f"{code}\nimport sys, json\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    command = [sys.executable, "-c", probe]
    answer = subprocess.run(command, capture_output=True, check=True, timeout=60, env=clean_environment())
    return set(json.loads(answer.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "module", ["yolocli", "yolocli.cli.app", "yolocli.api", "yolocli.pipeline", "yolocli.executors.process"]
)
def test_importing_is_light(module: str) -> None:
    assert not _imported_by(f"import {module}") & HEAVY


def test_the_library_does_not_need_the_command_line() -> None:
    assert not _imported_by("import yolocli.pipeline, yolocli.api") & {"typer", "click", "rich", "tqdm"}


def test_imports_point_one_way() -> None:
    lint_imports = Path(sys.executable).with_name("lint-imports")
    if not lint_imports.exists():
        pytest.skip("import-linter is not installed")
    answer = subprocess.run(
        [lint_imports, "--no-cache"], capture_output=True, text=True, cwd=REPOSITORY, timeout=120, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert " 0 broken" in answer.stdout


def test_the_contract_sees_a_wrong_import(tmp_path: Path) -> None:
    """The contract is no empty promise: with one wrong line it breaks."""
    lint_imports = Path(sys.executable).with_name("lint-imports")
    if not lint_imports.exists():
        pytest.skip("import-linter is not installed")
    import shutil

    shutil.copytree(REPOSITORY / "yolocli", tmp_path / "yolocli", ignore=shutil.ignore_patterns("__pycache__", "*.pt"))
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    with open(tmp_path / "yolocli/executors/chunk.py", "a") as stream:
        stream.write("\nimport torch\nimport yolocli.pipeline\n")
    environment = clean_environment(PYTHONPATH=str(tmp_path))
    answer = subprocess.run(
        [lint_imports, "--no-cache"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
        check=False,
        env=environment,
    )
    assert answer.returncode == 1, answer.stdout + answer.stderr
    assert "2 broken" in answer.stdout


def test_types_are_published() -> None:
    assert (REPOSITORY / "yolocli/py.typed").exists()
