"""The package's commands: what they write, and what they say when the extra is missing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from yolocli.builtin import extra

COMMANDS = ("scenes", "train", "evaluate", "samples")


def _python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", COMMANDS)
def test_without_the_extra_one_line_names_it(command: str) -> None:
    absent = "import sys; sys.modules['segno'] = None; sys.argv = ['x']; import runpy\n"
    run = f"runpy.run_module('yolocli.builtin.{command}', run_name='__main__')"
    done = _python("-c", absent + run)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("pip install '.[builtin]'")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_scenes_writes_a_data_set(tmp_path: Path) -> None:
    if lacking := extra.missing():
        pytest.skip(f"the generator needs {', '.join(lacking)} (extra: builtin)")
    done = _python("-m", "yolocli.builtin.scenes", str(tmp_path), "--count", "3", "--seed", "9", "--processes", "1")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "images" / "scenes").glob("*.jpg"))) == 3
    assert "0: qr_code" in (tmp_path / "scenes.yaml").read_text()


@pytest.mark.slow
def test_evaluate_prints_a_score_for_every_class(tmp_path: Path) -> None:
    if lacking := extra.missing():
        pytest.skip(f"the generator needs {', '.join(lacking)} (extra: builtin)")
    done = _python("-m", "yolocli.builtin.evaluate", "--scenes", "12", "--seed", "31", "--json", "--workers", "1")
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout[done.stdout.index("[\n") :])
    assert scores[0]["name"] == "all"
    assert scores[0]["map50"] > 0.8


@pytest.mark.slow
def test_train_refuses_the_seed_that_is_evaluated_on(tmp_path: Path) -> None:
    if lacking := extra.missing():
        pytest.skip(f"the generator needs {', '.join(lacking)} (extra: builtin)")
    done = _python("-m", "yolocli.builtin.train", "--seed", "20000", "--out", str(tmp_path))
    assert done.returncode == 2
    assert "choose another" in done.stderr
