"""What README.md and docs/ tell people to type works, in the order in which they tell it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import SAMPLES
from tests.support import REPOSITORY, clean_environment
from yolocli.builtin import WEIGHTS
from yolocli.tasks import TASKS, find_task

PAGES = [
    "README.md",
    *(f"docs/{name}.md" for name in ("promises", "speed", "tasks", "models", "report", "pictures")),
]
OF_CI = {"make demo", "make test", "make test-all", "make check", "make chaos", ".ci/run", "pip install '.[openvino]'"}
"""What installs, and what would run this test: `.ci/run` does it."""
SMALLER = (
    (r"--images \d+ --repeats \d+", ""),
    (r"^(yolocli bench .*)$", r"\1 --images 2 --repeats 1 --no-baseline --mode thread"),
)
ELSEWHERE = (("/data/incoming", "photos"), ("/models/best.pt", "yolo11n.pt"), ("/data/results", "results"))


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (REPOSITORY / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)


def commands(page: str) -> list[str]:
    lines = "".join(blocks(page, "console")).splitlines()
    assert all(line.startswith("$ ") for line in lines)
    return [line.removeprefix("$ ").partition("  #")[0].strip() for line in lines]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the pages take it for granted: photos, and weights in the cache that know persons."""
    place = tmp_path_factory.mktemp("readme")
    for folder in ("photos", "more-photos", "frames"):
        shutil.copytree(SAMPLES / "shop", place / folder)
    shutil.copytree(SAMPLES / "workshop", place / "photos/workshop")
    from PIL import Image

    (place / "scans/1").mkdir(parents=True)
    Image.open(SAMPLES / "shop/letter.jpg").save(place / "scans/1/page-1.tif")
    weights = place / "cache/weights/yolo11n.pt"
    weights.parent.mkdir(parents=True)
    _weights_that_know_persons(weights)
    (place / "bin").mkdir()
    (place / "bin/yolocli").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m yolocli "$@"\n')
    (place / "bin/yolocli").chmod(0o755)
    return place


def _weights_that_know_persons(path: Path) -> None:
    """Writes the built-in weights with names of COCO, in a process of its own."""
    code = (
        "import sys, torch; from yolocli.runtimes.torch.library import import_ultralytics; import_ultralytics();"
        "content = torch.load(sys.argv[1], weights_only=False);"
        "content['model'].names = {0: 'person', 1: 'umbrella', 2: 'bus', 3: 'car'};"
        "torch.save(content, sys.argv[2])"
    )
    subprocess.run([sys.executable, "-c", code, str(WEIGHTS), str(path)], check=True, cwd=REPOSITORY)


def run_in(place: Path, command: list[str], expected: set[int]) -> str:
    env = clean_environment(
        YOLOCLI_CACHE_DIR=str(place / "cache"), PATH=f"{place / 'bin'}:/usr/bin:/bin", PYTHONPATH=str(REPOSITORY)
    )
    done = subprocess.run(command, cwd=place, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode in expected, f"{command[-1]}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


def shell(place: Path, line: str) -> str:
    for pattern, replacement in SMALLER:
        line = re.sub(pattern, replacement, line)
    if "jq " in line and shutil.which("jq") is None:
        line = line.partition("| jq ")[0] + "| cat"
    return run_in(place, ["bash", "-o", "pipefail", "-c", line], {0})


def test_what_ci_runs_is_there() -> None:
    told = {command for page in PAGES for command in commands(page)}
    assert told >= OF_CI
    makefile, script = (REPOSITORY / "Makefile").read_text(), (REPOSITORY / ".ci/run").read_text()
    for command in OF_CI:
        name = command.split()[-1]
        assert command == ".ci/run" or "openvino" in command or re.search(rf"^{name}:", makefile, re.MULTILINE)
    assert "make demo" in script
    assert re.search(r"'\.\[[^\]]*openvino", makefile)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the pages show commands of a Unix shell")
def test_every_command_and_script_of_the_readme(place: Path) -> None:
    said = {command: shell(place, command) for command in commands("README.md") if command not in OF_CI}
    names = [path.name for path in place.iterdir()]
    assert {"yolocli-out", "codes", "persons", "sure", "more-results"} <= set(names)
    counts, calls = blocks("README.md", "python")
    assert "persons in" in run_in(place, [sys.executable, "-c", counts], {0})
    assert len(list((place / "yolocli-out/drawn").rglob("*.jpg"))) > 10
    assert all((place / name / "report.html").exists() for name in ("yolocli-out", "codes"))
    assert {"coco.json", "results.sqlite"} <= {path.name for path in (place / "yolocli-out").iterdir()}
    assert "Detection" not in run_in(place, [sys.executable, "-c", calls], {0})
    assert "photos" in said["yolocli detect photos --dry-run"]
    assert all(line.startswith('["/') for line in _lines(said, "jq"))


def _lines(said: dict[str, str], word: str) -> Iterator[str]:
    for command, output in said.items():
        if word in command:
            assert output
            yield from output.splitlines()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a line of cron")
def test_the_line_for_cron(place: Path) -> None:
    (line,) = "".join(blocks("README.md", "cron")).splitlines()
    *when, command = line.split(maxsplit=5)
    assert len(when) == 5
    for path, here in ELSEWHERE:
        command = command.replace(path, here)
    shutil.copyfile(place / "cache/weights/yolo11n.pt", place / "yolo11n.pt")
    assert shell(place, command.replace("yolo11n.pt", "./yolo11n.pt")) == ""
    assert (place / "results/images.csv").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the pages show commands of a Unix shell")
def test_every_command_about_speed(place: Path) -> None:
    shell(place, "yolocli detect frames --model yolo11n.pt --output first")  # converts
    (converted,) = (place / "cache/openvino").glob("yolo11n-*_openvino_model")
    shutil.copytree(converted, place / "yolo11n_openvino_model")
    told = commands("docs/speed.md")
    for command in sorted(told, key=lambda command: "optimize" not in command):  # its model is used further up
        shell(place, command)
    assert (place / "yolo11n_int8_openvino_model/metadata.yaml").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the pages show commands of a Unix shell")
def test_every_command_about_pictures(place: Path) -> None:
    for command in commands("docs/pictures.md"):
        shell(place, command)
    assert (place / "yolocli-out/drawn/workshop/racks.jpg.jpg").exists()
    assert (place / "sure-pictures/crops").is_dir()


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        folder = (REPOSITORY / page).parent
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (REPOSITORY / page).read_text("utf-8")):
            assert (folder / link).exists(), f"{page}: {link}"


def test_every_test_that_a_promise_names_is_there() -> None:
    named = set(re.findall(r"`(tests/[^`]+)`", (REPOSITORY / "docs/promises.md").read_text("utf-8")))
    assert len(named) > 15
    assert [name for name in named if not (REPOSITORY / name).is_file()] == []


def test_the_tables_of_tasks_are_those_of_the_registry() -> None:
    for page in ("README.md", "docs/tasks.md"):
        text = (REPOSITORY / page).read_text("utf-8")
        (table,) = re.findall(r"^\| task \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
        assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(TASKS), page
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\|[^|]*\| (.*) \|$", (REPOSITORY / "docs/tasks.md").read_text("utf-8"), re.M)
    for name, columns in rows:
        told = columns.replace("those of detect", "name, class, confidence, x1, y1, x2, y2")
        told = told.replace("x1, y1, ... x4, y4", "x1, y1, x2, y2, x3, y3, x4, y4")
        assert tuple(told.split(", ")) == find_task(name, "a model").columns, name
