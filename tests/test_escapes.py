"""No name of a file, a folder, a model or a class moves the cursor of a terminal, sets its title or clears it."""

from __future__ import annotations

import io
import logging
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import SAMPLES
from tests.support import REPOSITORY, ref, write_image, yolocli
from yolocli.builtin import WEIGHTS
from yolocli.cli.progress import Bar, Lines
from yolocli.cli.terminal import tell, tell_traceback
from yolocli.observer import Observer
from yolocli.results import ImageFailure
from yolocli.summary import RunSummary

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\r"
"""Sets the title of a terminal and clears it; with CSI as one character, too."""
QUIETLY = ["--no-progress", "-m", "builtin"]


def assert_harmless(text: str | bytes) -> None:
    shown = text.decode() if isinstance(text, bytes) else text
    assert "owned" in re.sub(r"\n\s*", "", shown), "the name is not in it, so that nothing is tested"
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", shown), repr(shown)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of evil name with a picture and a file that fails, of evil names."""
    folder = tmp_path / EVIL
    folder.mkdir()
    shutil.copy(next(SAMPLES.glob("shop/counter.webp")), folder / f"{EVIL}.webp")
    (folder / f"bad {EVIL}.jpg").write_bytes(b"no image")
    return folder


AT_ONCE = [
    ["detect", "{}", f"--{EVIL}"],
    ["detect", "{}", "--mode", EVIL],
    ["detect", "{}", "--format", EVIL, *QUIETLY],
    ["detect", "{}", "-o", f"file {EVIL}", *QUIETLY],
    ["detect", "{}", "-o", f"file {EVIL}", "--verbose", *QUIETLY],
    ["detect", "{}", "-o", f"foreign {EVIL}", *QUIETLY],
    ["detect", "{}", "--dry-run", *QUIETLY, "--exclude", "*.webp", f"missing {EVIL}"],
    ["export", f"missing {EVIL}"],
    ["export", f"foreign {EVIL}"],
    ["bench", f"missing {EVIL}"],
    ["optimize", f"missing {EVIL}.pt", "--calibrate", "{}"],
    ["optimize", "builtin", "--calibrate", f"missing {EVIL}"],
    [f"command {EVIL}"],
]
WITH_A_MODEL = [
    ["detect", f"missing {EVIL}", *QUIETLY],
    ["detect", "{}", "-m", f"missing {EVIL}.pt"],
    ["detect", "{}", "-m", f"missing {EVIL}.pt", "--verbose"],
    ["detect", "{}", "-m", f"missing {EVIL}"],
    ["detect", "{}", "--classes", EVIL, *QUIETLY],
    ["detect", "{}", "--classes", EVIL, "--verbose", *QUIETLY],
    ["detect", "{}", "--files-from", f"missing {EVIL}", *QUIETLY],
    ["detect", "{}", "-o", f"new {EVIL}", *QUIETLY],
    ["detect", "{}", "-o", f"new {EVIL}", "--verbose", *QUIETLY],
    ["detect", "{}", "-o", f"new {EVIL}", "--quiet", *QUIETLY],
    ["detect", "{}", "-o", f"new {EVIL}", "--fail-fast", "--summary-json", *QUIETLY],
]


@pytest.mark.parametrize(
    "arguments",
    [*AT_ONCE, *(pytest.param(arguments, marks=pytest.mark.slow) for arguments in WITH_A_MODEL)],
    ids=lambda arguments: " ".join(arguments).replace(EVIL, "ESC"),
)
def test_of_all_that_is_said(arguments: Sequence[str], pictures: Path, tmp_path: Path) -> None:
    (tmp_path / f"file {EVIL}").touch()
    (tmp_path / f"foreign {EVIL}").mkdir()
    (tmp_path / f"foreign {EVIL}/results.jsonl").write_text("mine")
    filled = [argument.replace("{}", str(pictures)) for argument in arguments]
    answer = yolocli(*filled, cwd=tmp_path)
    assert_harmless(answer.stderr)
    assert (tmp_path / f"foreign {EVIL}/results.jsonl").read_text() == "mine"


@pytest.mark.slow
def test_of_a_model(pictures: Path, tmp_path: Path) -> None:
    """With --verbose, its name is in the messages of the library, too."""
    model = shutil.copy(WEIGHTS, tmp_path / f"{EVIL}.pt")
    write_image(tmp_path / "a.png")
    options = ["-m", model, "--runtime", "torch", "-o", tmp_path / "out", "--verbose"]
    answer = yolocli("detect", tmp_path / "a.png", *options, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert_harmless(answer.stderr)


@pytest.mark.parametrize("make", [Bar, Lines])
@pytest.mark.parametrize("started", [False, True])
def test_of_notices_and_failures(make: type[Bar | Lines], started: bool) -> None:
    stream = io.StringIO()
    observer: Observer = make(stream)
    if started:
        observer.started()
    shown = stream.tell()
    observer.notice(EVIL)
    observer.outcome(ImageFailure(ref(f"{EVIL}.jpg"), "decode", "NotAnImage", EVIL))
    said = [line for line in stream.getvalue()[shown:].replace("\r", "\n").splitlines() if "owned" in line]
    assert len(said) == 2
    assert_harmless("\n".join(said))


def test_of_the_summary() -> None:
    from rich.console import Console

    from yolocli.cli.tables import print_bench, print_summary

    stream = io.StringIO()
    summary = RunSummary("thread", 1, 1, 1, EVIL, EVIL, images=1, classes={f"{EVIL}[bold red]": 3})
    print_summary(summary, Path(EVIL), Console(file=stream, width=300))
    assert stream.getvalue().count("owned") == 4
    assert_harmless(stream.getvalue())

    stream = io.StringIO()
    row = {"name": EVIL, "cell": {"mode": "thread"}, "failures": 0, "median": 1.0, "command": f"yolocli {EVIL}"}
    row |= {"things": "boxes", "boxes": 1, "matched": 1, "extra": 0}
    figures = {"images": 1, "folder": EVIL, "models": [EVIL], "rows": [row]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("yolocli.cli.tables.BENCH_COLUMNS", {"images/s": lambda row: f"{row['median']}"})
        patch.setattr("yolocli.cli.tables.STAGE_COLUMNS", {"read": lambda row: "1"})
        print_bench(figures, Console(file=stream, width=300))
    assert_harmless(stream.getvalue())


def test_of_tracebacks() -> None:
    stream = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stderr", stream)
        try:
            raise ValueError(EVIL)
        except ValueError:
            tell_traceback()
        tell(EVIL)
        patch.setattr("sys.stderr", None)
        tell(EVIL)
    assert_harmless(stream.getvalue())
    assert stream.getvalue().count("owned") == 2


def test_of_the_library() -> None:
    from yolocli.runtimes.torch.library import import_ultralytics

    import_ultralytics()
    from ultralytics.utils import LOGGER

    (handler,) = LOGGER.handlers
    record = logging.LogRecord("ultralytics", logging.INFO, "", 0, "\x1b[34mloaded\x1b[0m\n%s", (EVIL,), None)
    assert handler.format(record).startswith("loaded\n")
    assert_harmless(handler.format(record))


def test_there_is_one_way_to_stderr() -> None:
    """What is printed elsewhere could hold a name some day; what makes the embedded model is for its makers alone."""
    found = {
        path.name
        for path in (REPOSITORY / "yolocli").rglob("*.py")
        if path.parent.name != "builtin"
        and re.search(r"file=sys\.stderr|stderr\.write|print_exc|print_exception", path.read_text())
    }
    assert found == set()
