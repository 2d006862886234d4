"""The benchmark: it measures the real command beside Ultralytics, says the truth, and leaves nothing behind."""

from __future__ import annotations

import io
import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from tests.chaos.harness import Running, lines_in, wait_until
from tests.support import clean_environment, write_image
from yolocli.cli.tables import print_bench
from yolocli.config import DEFAULTS
from yolocli.errors import ModelError, NoImagesError, UsageError, WorkerError
from yolocli.machine.apart import run_apart
from yolocli.measure.bench import bench
from yolocli.measure.cells import BenchConfig, Cell, Row, cells, command, to_dict
from yolocli.measure.pictures import gather, repeat
from yolocli.measure.runs import PREDICT, agreement, figures_of, run_cell
from yolocli.results import STAGES, Detection
from yolocli.tasks.detect import Detect

SUMMARY = {
    "images": 2,
    "failures": 4,
    "workers": 1,
    "batch": 1,
    "wall_seconds": 2.0,
    "first_seconds": 1.0,
    "images_per_second": 3.0,
    "stages": dict.fromkeys(STAGES, 0.1),
    "peak_memory_bytes": 1,
}


@pytest.fixture
def pictures(photos: list[Path], tmp_path: Path) -> Path:
    """Relative links to photographs, a file that is no picture, and a link to nothing."""
    originals, folder = tmp_path / "originals", tmp_path / "pictures"
    originals.mkdir()
    folder.mkdir()
    for number, photo in enumerate(photos[:3]):
        (originals / f"{number}.jpg").write_bytes(photo.read_bytes())
        (folder / f"{number}.jpg").symlink_to(f"../originals/{number}.jpg")
    (folder / "broken.jpg").write_bytes(b"no picture")
    (folder / "dangling.jpg").symlink_to("nowhere.jpg")
    return folder


@pytest.mark.slow
def test_a_short_benchmark_of_the_real_thing(weights: Path, pictures: Path) -> None:
    words = ["bench", str(pictures), "-m", str(weights), "--mode", "thread", "--runtime", "torch"]
    theirs = {"YOLOCLI_FORMAT": "nonsense", "YOLOCLI_OUTPUT": "/", "YOLOCLI_MODE": "none", "YOLOCLI_CONF": "0.9"}
    done = subprocess.run(
        [sys.executable, "-m", "yolocli", *words, "--images", "6", "--repeats", "1", "--json"],
        capture_output=True,
        text=True,
        check=False,
        env=clean_environment(**theirs),
    )
    assert done.returncode == 0, done.stderr
    baseline, row = json.loads(done.stdout)["rows"]
    assert baseline["name"] == "yolo predict"
    assert len(row["images_per_second"]) == len(baseline["images_per_second"]) == 1
    assert row["boxes"] > 0
    assert (row["matched"], row["extra"]) == (row["boxes"], 0), "torch does not agree with itself"
    assert row["failures"] == baseline["failures"] == 0
    assert row["ratio"] == pytest.approx(row["median"] / baseline["median"])
    assert row["command"] == f"yolocli detect {pictures} --model {weights} --runtime torch"
    assert "left out, as it cannot be read: dangling.jpg" in done.stderr
    assert "left out, as it cannot be read: broken.jpg" in done.stderr
    assert "6 images a run, 1 x 2 runs" in done.stderr
    assert "run 2 of 2: thread, torch (about " in done.stderr


# What is measured


def test_links_are_followed_to_the_picture(pictures: Path, tmp_path: Path) -> None:
    said: list[str] = []
    names = gather(str(pictures), tmp_path / "links", 10, said.append)
    assert list(names.values()) == ["0.jpg", "1.jpg", "2.jpg", "broken.jpg"]
    for name, path in names.items():
        assert (tmp_path / "links" / name).read_bytes() == (pictures / path).read_bytes()
    assert len(said) == 1
    assert "dangling.jpg" in said[0]


def test_few_pictures_are_taken_again_and_again(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        write_image(tmp_path / name)
    assert repeat(tmp_path, 5) == {"again-00002.png": "a.png", "again-00003.png": "b.png", "again-00004.png": "a.png"}
    assert len(list(tmp_path.iterdir())) == 5
    assert repeat(tmp_path, 3) == {}


def test_images_that_fail_are_counted_in_their_row(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("yolocli.measure.runs.detect", lambda cell, pictures, out: (SUMMARY, 3.0))
    monkeypatch.setattr("yolocli.measure.runs.outcomes", lambda out: ({}, {}))
    monkeypatch.setattr("yolocli.measure.runs.task_of", lambda out: Detect())
    row = Row("x", "m.pt", Cell("m.pt"), things="boxes")
    run_cell(row, tmp_path, tmp_path, {}, Detect())
    assert row.failures == 4
    assert "failed" in table([row])
    assert "4" in table([row]).splitlines()[4].split()
    assert "fastest" not in table([row]), "a row with failures is recommended"


def test_a_benchmark_with_failures_does_not_end_well(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from yolocli.cli.app import app

    row = Row("x", "m.pt", Cell("m.pt"), [1.0], [1.0], dict.fromkeys(SUMMARY["stages"], 1.0), failures=1)
    monkeypatch.setattr("yolocli.measure.bench.bench", lambda config, say: [row])
    monkeypatch.setattr("yolocli.cli.signals.end_on_signals", lambda: None)
    answer = CliRunner().invoke(app, ["bench", str(tmp_path), "--model", "m.pt", "--runtime", "torch", "--json"])
    assert answer.exit_code == 1, answer.output


def test_what_cannot_run_is_refused_before_anything_is_timed(weights: Path, pictures: Path) -> None:
    said: list[str] = []
    cell = Cell(str(weights), runtime="torch", precision="int8")
    with pytest.raises(UsageError, match="--precision int8 needs a model made for it"):
        bench(BenchConfig(str(pictures), (str(weights),), (cell,)), said.append)
    with pytest.raises(ModelError, match="no such model"):
        bench(BenchConfig(str(pictures), ("./m.pt",), (Cell("./m.pt"),)), said.append)
    with pytest.raises(UsageError, match="nothing to run"):
        bench(BenchConfig(str(pictures), (), (), baseline=False), said.append)
    assert not [text for text in said if text.startswith("run ")]


# Children


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("mode", ["thread", "process"])
def test_a_signal_leaves_no_child_and_no_file(
    number: signal.Signals, code: int, mode: str, weights: Path, pictures: Path, started: Callable[..., Running]
) -> None:
    words = ["-m", str(weights), "--mode", mode, "--runtime", "torch", "--no-baseline", "--images", "500"]
    run = started("bench", str(pictures), *words)
    journals = "tmp/yolocli-bench-*/out/results.jsonl"
    assert wait_until(lambda: any(lines_in(journal) for journal in pictures.parent.glob(journals)), run)
    before = run.stderr
    run.signal(number)
    assert run.wait() == code
    run.assert_tidy()
    assert list((pictures.parent / "tmp").iterdir()) == []
    assert len(run.stderr.removeprefix(before).splitlines()) <= 1


def test_a_child_finds_what_this_process_finds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "here.py").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [os.path.abspath(path) for path in sys.path if path])
    code = (
        "import yolocli; print(sys.argv[1:], yolocli.__file__)\ntry:\n import here\nexcept ImportError:\n print('no')"
    )
    done = run_apart(code, ["a", "b c"])
    assert done.returncode == 0, done.stderr
    import yolocli

    assert done.stdout.splitlines() == [f"['a', 'b c'] {yolocli.__file__}", "no"]


def test_a_signal_while_a_child_starts_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    children: list[subprocess.Popen[str]] = []

    class Popen(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            children.append(self)
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(subprocess, "Popen", Popen)
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    try:
        with pytest.raises(SystemExit):
            run_apart("import time; time.sleep(60)")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert [child.returncode for child in children] == [-signal.SIGTERM]


# Cells and rows


def test_every_combination_is_a_cell_once() -> None:
    found = cells(["m.pt"], ["thread", "locked", "thread"], ["torch"], [1, 2], [1, 4], [None, "bf16"])
    assert len(set(found)) == len(found) == 16
    assert Cell("m.pt", "locked", "torch", 2, 4) in found
    assert Cell("m.pt", "locked", "torch", 2, 4, "bf16") in found
    assert len({cell.name for cell in found}) == 16


@pytest.mark.parametrize(
    ("cell", "name", "options"),
    [
        (Cell(), "thread, auto", ""),
        (Cell("m.pt", "thread", "openvino"), "thread, openvino", "--model m.pt --runtime openvino"),
        (Cell(mode="locked", workers=1), "locked, auto, 1 worker", "--mode locked --workers 1"),
        (
            Cell("m.pt", "process", "torch", 2, 4, "bf16"),
            "process, torch, 2 workers, batch 4, bf16",
            "--model m.pt --mode process --runtime torch --workers 2 --batch 4 --precision bf16",
        ),
    ],
)
def test_a_cell_says_what_was_asked_for_and_no_default(cell: Cell, name: str, options: str) -> None:
    assert cell.name == name
    assert " ".join(cell.options) == options


def test_the_defaults_of_a_cell_are_those_of_detect() -> None:
    import typer.main

    from yolocli.cli.app import app

    detect = typer.main.get_command(app).commands["detect"]  # type: ignore[attr-defined]
    defaults = {param.opts[0].lstrip("-"): param.default for param in detect.params}
    cell = Cell()
    for name in Cell.__dataclass_fields__:
        assert getattr(cell, name) == (getattr(DEFAULTS, name) if name == "workers" else defaults[name]), name


def test_models_of_one_name_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from yolocli.measure.bench import _rows

    def names(*models: str) -> list[str]:
        return [row.name for row in _rows(BenchConfig("x", models, tuple(Cell(model) for model in models)))]

    assert names("a/m.pt") == ["yolo predict", "thread, auto"]
    assert names("a/m.pt", "b/n.pt")[2:] == ["thread, auto, m.pt", "thread, auto, n.pt"]
    assert names("a/best.pt", "b/best.pt")[2:] == ["thread, auto, a/best.pt", "thread, auto, b/best.pt"]


def test_a_model_for_openvino_is_not_run_by_torch(tmp_path: Path) -> None:
    converted = tmp_path / "m_openvino_model"
    converted.mkdir()
    found = cells(["m.pt", str(converted)], ["thread"], ["torch", "openvino"], [0], [0])
    assert [(cell.model, cell.runtime) for cell in found] == [
        ("m.pt", "torch"),
        ("m.pt", "openvino"),
        (str(converted), "openvino"),
    ]


def test_agreement_tells_lost_from_moved_from_new_boxes() -> None:
    def at(name: str, x: float, height: float = 10.0) -> Detection:
        return Detection(name, 0, 0.9, (x, x, x + 10.0, x + height))

    cat, moved, far, dog = at("cat", 0.0), at("cat", 0.0, 10.5), at("cat", 50.0), at("dog", 0.0)
    assert agreement(Detect(), {"a": [cat]}, {"a": [moved]}) == (1, 1, 0)
    assert agreement(Detect(), {"a": [cat]}, {"a": [far]}) == (1, 0, 1)
    assert agreement(Detect(), {"a": [cat]}, {"a": [dog]}) == (1, 0, 1)
    assert agreement(Detect(), {"a": [cat]}, {}) == (1, 0, 0)
    assert agreement(Detect(), {}, {"a": [cat]}) == (0, 0, 1)
    assert agreement(Detect(), {"a": [cat, cat]}, {"a": [cat]}) == (2, 1, 0), "a box answers for one other only"


def test_the_ratio_is_to_the_median_of_the_baseline() -> None:
    config = BenchConfig("folder with space", ("m.pt",), (), 2, 3)
    rows = [
        Row("yolo predict", "m.pt", images_per_second=[10, 30, 20]),
        Row("x", "m.pt", Cell("m.pt"), images_per_second=[50, 60, 70]),
    ]
    figures = to_dict(rows, config)
    assert [row["ratio"] for row in figures["rows"]] == [1.0, 3.0]
    assert command(rows[1], config) == "yolocli detect 'folder with space' --model m.pt"


def table(rows: list[Row], width: int = 80) -> str:
    stream = io.StringIO()
    print_bench(to_dict(rows, BenchConfig("photos", ("m.pt",), ())), Console(file=stream, width=width))
    return stream.getvalue()


def test_the_table_keeps_its_figures_on_a_narrow_terminal() -> None:
    stages = dict.fromkeys(SUMMARY["stages"], 123.4)
    cell = Cell("m.pt", "process", "openvino", 2, 4)
    rows = [Row("yolo predict", "m.pt", None, [18.2, 18.0], [14.3, 14.1], {}, 820 << 20)]
    rows.append(Row(cell.name, "m.pt", cell, [154.9, 151.3], [4.8, 4.9], stages, 282 << 20, 0, 3268, 3268))
    for width in (60, 80):
        text = table(rows, width)
        assert "\N{HORIZONTAL ELLIPSIS}" not in text
        assert max(map(len, text.splitlines())) <= width or text.splitlines()[-1].startswith("yolocli detect")
        for figure in ("153.1", "151-155", "8.46", "3268/3268"):
            assert figure in text
        assert "failed" not in text
    assert "process, openvino, 2 workers, batch 4" in " ".join(table(rows, 120).split())
    assert table(rows).endswith("--mode process --runtime openvino --workers 2 --batch 4\n")


def test_a_folder_without_images_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NoImagesError, match="no image found"):
        bench(BenchConfig(str(tmp_path), ("m.pt",), ()), lambda text: None)


@pytest.mark.slow
def test_a_folder_of_broken_images_is_an_error(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(NoImagesError, match="none of its images can be read"):
        bench(BenchConfig(str(tmp_path), (str(weights),), ()), lambda text: None)


class Evil:
    """Runs code when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


@pytest.mark.slow
def test_the_baseline_runs_no_code_of_a_model(tmp_path: Path) -> None:
    """Ultralytics' own loader unpickles whatever it is given; nothing has looked at a second model before."""
    write_image(tmp_path / "a.png")
    for name in ("evil.pt", "evil.torchscript"):
        (tmp_path / name).write_bytes(pickle.dumps({"model": Evil(tmp_path / "the-code-ran"), "train_args": {}}))
        with pytest.raises(WorkerError):
            figures_of(PREDICT, [str(tmp_path / name), str(tmp_path)], name)
        assert not (tmp_path / "the-code-ran").exists()
