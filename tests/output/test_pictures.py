"""Pictures of what was found: the same bytes while a run goes on and later, gone with what they show."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
import pytest

from tests import fakes
from tests.support import REPOSITORY, clean_environment, records, run, run_config, write_image, yolocli
from tests.tasks.material import MODELS
from yolocli.builtin import WEIGHTS
from yolocli.errors import ExitCode, UsageError
from yolocli.executors import EXECUTORS, chunk
from yolocli.executors.pictures import COLOUR, Pictures
from yolocli.images.jpeg import HEAD
from yolocli.images.letterbox import Canvas
from yolocli.output.draw import draw
from yolocli.output.extract import Choice, extract
from yolocli.pipeline import Run
from yolocli.results import Detection, Findings, ImageResult
from yolocli.runtimes.plan import Prepared
from yolocli.tasks import TASKS, find_task
from yolocli.tasks.base import Raw

BOTH = Pictures(images=True, crops=True)
WIDTH, HEIGHT = 160, 120
CATS = {10: 1, 20: 2, 30: 0}
"""How many cats are found in an image that ends with this value; there is a dog in each."""


class Finder(fakes.FakeDetector):
    """Finds a dog and some cats."""

    names = MappingProxyType({0: "cat", 1: "dog", 7: "人/ 🐈"})

    def finish(self, found: Sequence[Raw], canvases: Sequence[Canvas]) -> Findings:
        value = int(canvases[0].pixels[-1, -1, 0])
        cats = [Detection("cat", 0, 0.9 - n / 10, (n, 2.0, 8.0 + n, 10.5)) for n in range(CATS.get(value, 1))]
        dog = Detection("dog", 1, 0.4, (3.0, 3.0, 12.2, 11.0))
        outside = Detection("cat", 0, 0.3, (190.0, 1.0, 199.0, 2.0))
        return Findings((*cats, dog, outside, Detection(self.names[7], 7, 0.25, (0.0, 0.0, 16.0, 12.0))))


class GreyFinder(Finder):
    channels = 1


class Loader(fakes.FakeLoader):
    kind: type[Finder] = Finder

    def load(self, prepared: Prepared) -> Any:
        self.made.append(self.kind(prepared.asked, self.delay))
        return self.made[-1]


class GreyLoader(Loader):
    kind = GreyFinder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in/a").mkdir(parents=True)
    for name, value in (("a/1.png", 10), ("a/1.bmp", 20), ("2.png", 30)):
        write_image(tmp_path / "in" / name, WIDTH, HEIGHT, value)
    return tmp_path


def pictured(folder: Path, **options: Any) -> tuple[list[Any], Any]:
    return run(folder / "in", **{"loader": Loader(), **asked(folder), **options})


def asked(folder: Path) -> dict[str, Any]:
    return {"output": folder / "out", "save_images": True, "save_crops": True, "formats": ("json",), "workers": 1}


def pictures(output: Path) -> dict[str, bytes]:
    """What each picture holds, by its path."""
    files = [file for part in ("drawn", "crops") for file in (output / part).rglob("*") if file.is_file()]
    return {file.relative_to(output).as_posix(): file.read_bytes() for file in sorted(files)}


OTHER = "人%2F 🐈"
NAMES = [
    "crops/cat/a/1.bmp.1.jpg",
    "crops/cat/a/1.bmp.2.jpg",
    "crops/cat/a/1.png.1.jpg",
    *(f"crops/{name}/{path}.1.jpg" for name in ("dog", OTHER) for path in ("2.png", "a/1.bmp", "a/1.png")),
    *(f"drawn/{path}.jpg" for path in ("2.png", "a/1.bmp", "a/1.png")),
]


@pytest.fixture
def expected(folder: Path) -> dict[str, bytes]:
    """What one worker makes, image by image."""
    pictured(folder)
    made = pictures(folder / "out")
    shutil.rmtree(folder / "out")
    assert sorted(made) == sorted(NAMES)
    return made


def test_each_image_and_each_box_has_a_picture(folder: Path) -> None:
    outcomes, this = pictured(folder)
    made = pictures(folder / "out")
    assert sorted(made) == sorted(NAMES)
    assert all(outcome.files == {} for outcome in outcomes), "they would be held in memory with the outcome"
    assert this.summary.exit_code == 0
    for name, data in made.items():
        assert data.startswith(HEAD)
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        sizes = {"cat": (9, 8), "dog": (8, 10), OTHER: (12, 16)}
        assert image.shape[:2] == sizes.get(name.split("/")[1], (HEIGHT, WIDTH)), name
    assert made["drawn/a/1.png.jpg"] != made["drawn/a/1.bmp.jpg"]


def test_crops_show_the_image_and_nothing_drawn(folder: Path) -> None:
    outcomes, _ = pictured(folder, output=None)
    files = next(outcome.files for outcome in outcomes if outcome.path == "2.png")
    assert sorted(files) == ["crops/0", "crops/2", "drawn"], "by the place of the box in the record"
    whole = cv2.imread(str(folder / "in/2.png"))
    crop = cv2.imdecode(np.frombuffer(files["crops/2"], np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(crop.astype(int) - whole[:12, :16]).mean() < 5
    drawn = cv2.imdecode(np.frombuffer(files["drawn"], np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(drawn.astype(int) - whole).max() > 100


@pytest.mark.parametrize("mode", EXECUTORS)
def test_the_same_bytes_in_every_mode(mode: str, folder: Path, expected: dict[str, bytes]) -> None:
    pictured(folder, mode=mode, workers=2, batch=2)
    assert pictures(folder / "out") == expected


@pytest.mark.parametrize("loader", [Loader, GreyLoader])
def test_the_same_bytes_where_pixels_are_not_kept(
    loader: type[Loader], folder: Path, expected: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For want of room; or as the model takes grey ones, and pictures have the colours of the file."""
    assert Finder.channels == COLOUR
    if loader is Loader:
        monkeypatch.setattr(chunk, "KEPT_BYTES", WIDTH * HEIGHT * COLOUR - 1)
    pictured(folder, loader=loader())
    assert pictures(folder / "out") == expected


def test_the_same_bytes_from_the_journal(folder: Path, expected: dict[str, bytes]) -> None:
    pictured(folder, save_images=False, save_crops=False)
    assert pictures(folder / "out") == {}
    told: list[Any] = []
    assert draw(folder / "out", BOTH, told.append) == 0
    assert [outcome.path for outcome in told] == ["2.png", "a/1.bmp", "a/1.png"]
    assert pictures(folder / "out") == expected
    assert draw(folder / "out", BOTH) == 0
    assert pictures(folder / "out") == expected


@pytest.mark.parametrize("wanted", [Pictures(images=True), Pictures(crops=True)])
def test_drawing_one_kind_leaves_the_other(wanted: Pictures, folder: Path, expected: dict[str, bytes]) -> None:
    pictured(folder)
    assert draw(folder / "out", wanted) == 0
    assert pictures(folder / "out") == expected


# A second run


def test_a_second_run_makes_what_is_missing_without_the_network(folder: Path, expected: dict[str, bytes]) -> None:
    pictured(folder, save_images=False, save_crops=False)
    loader = Loader()
    _, again = pictured(folder, loader=loader)
    assert (again.summary.skipped, loader.made) == (3, [])
    assert pictures(folder / "out") == expected
    (folder / "out/drawn/2.png.jpg").unlink()
    (folder / "out/crops/cat/a/1.bmp.2.jpg").write_bytes(expected["crops/cat/a/1.bmp.2.jpg"][:-1])
    untouched = folder / "out/drawn/a/1.png.jpg"
    os.utime(untouched, (1, 1))
    pictured(folder, loader=loader)
    assert pictures(folder / "out") == expected
    assert (untouched.stat().st_mtime, loader.made) == (1, []), "it was there"


def test_an_image_that_is_gone_is_no_picture_that_failed(folder: Path) -> None:
    pictured(folder, save_images=False, save_crops=False)
    (folder / "in/2.png").unlink()
    _, again = pictured(folder)
    assert (again.summary.exit_code, again.summary.vanished) == (0, 1)
    assert "drawn/2.png.jpg" not in pictures(folder / "out")


def test_an_image_that_has_changed_has_other_pictures(folder: Path) -> None:
    pictured(folder)
    write_image(folder / "in/a/1.bmp", WIDTH, HEIGHT, 30)
    pictured(folder)
    made = pictures(folder / "out")
    assert sorted(made) == sorted(name for name in NAMES if not name.startswith("crops/cat/a/1.bmp"))
    write_image(folder / "in/a/1.bmp", WIDTH, HEIGHT, 20)
    pictured(folder)
    assert sorted(pictures(folder / "out")) == sorted(NAMES)


def test_pictures_that_are_not_true_any_more_go(folder: Path) -> None:
    pictured(folder)
    write_image(folder / "in/a/1.bmp", WIDTH, HEIGHT, 30)
    (folder / "in/2.png").write_bytes(b"no image")
    pictured(folder, save_images=False, save_crops=False)
    assert {name for name in pictures(folder / "out") if "1.bmp" in name or "2.png" in name} == set()
    assert len(pictures(folder / "out")) == 4


def test_prune_and_overwrite_take_them_and_nothing_of_others(folder: Path) -> None:
    pictured(folder)
    mine = folder / "out/crops/cat/mine.jpg"
    mine.write_bytes(cv2.imencode(".jpg", np.zeros((9, 9, 3), np.uint8))[1].tobytes())
    shutil.rmtree(folder / "in/a")
    pictured(folder, prune=True)
    assert sorted(pictures(folder / "out")) == [
        "crops/cat/mine.jpg",
        *sorted(name for name in NAMES if "/2.png" in name),
    ]
    pictured(folder, overwrite=True, save_images=False, save_crops=False)
    assert list(pictures(folder / "out")) == ["crops/cat/mine.jpg"]
    assert not (folder / "out/drawn").exists()


@pytest.mark.parametrize("name", ["drawn/2.png.jpg", "crops/dog/2.png.1.jpg"])
def test_a_picture_of_somebody_else_is_not_replaced(name: str, folder: Path) -> None:
    pictured(folder, save_images=False, save_crops=False)
    theirs = cv2.imencode(".jpg", np.zeros((9, 9, 3), np.uint8))[1].tobytes()
    (folder / "out" / name).parent.mkdir(parents=True)
    (folder / "out" / name).write_bytes(theirs)
    words = r"2\.png\.(1\.)?jpg is no file that yolocli wrote"
    with pytest.raises(UsageError, match=words):
        pictured(folder)
    with pytest.raises(UsageError, match=words):
        draw(folder / "out", BOTH)
    assert (folder / "out" / name).read_bytes() == theirs


def test_a_folder_of_somebody_else_is_refused_at_once(folder: Path) -> None:
    (folder / "out/crops/dog").mkdir(parents=True)
    write_image(folder / "out/crops/dog/rex.jpg")
    with pytest.raises(UsageError, match=r"crops/dog/rex\.jpg is no file that yolocli wrote"):
        pictured(folder)


@pytest.mark.parametrize("name", ["x" * 251 + ".png", "a\nb.png", os.fsdecode(b"\xff\xfe.png"), "1.png.1.jpg/1.png"])
def test_names_of_any_kind(name: str, folder: Path) -> None:
    (folder / "in/a" / name).parent.mkdir(exist_ok=True)
    shutil.copyfile(folder / "in/2.png", folder / "in/a" / name)
    loader = Loader()
    pictured(folder, loader=loader)
    assert len(pictures(folder / "out")) == len(NAMES) + 3
    assert pictured(folder, loader=(second := Loader()))[1].summary.skipped == 4
    assert second.made == []
    shutil.rmtree(folder / "in/a")
    pictured(folder, prune=True)
    assert len(pictures(folder / "out")) == 3


@pytest.mark.slow
def test_a_killed_run_and_the_next_leave_what_one_run_does(folder: Path) -> None:
    for number in range(200):
        write_image(folder / f"in/{number:03}.png", value=10 * (number % 4))
    code = """
import sys
from pathlib import Path
from tests.output.test_pictures import Loader, pictured
pictured(Path(sys.argv[1]), loader=Loader(delay=0.005), workers=2)
"""
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", code, str(folder)], cwd=REPOSITORY, env=clean_environment())
        journal = folder / "out/results.jsonl"
        before, deadline = journal.stat().st_size if journal.exists() else 0, time.monotonic() + 60
        while (not journal.exists() or journal.stat().st_size < before + 9000) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        done = [line["path"] for line in records_of_killed(journal)]
        assert len(done) > 10
        assert all((folder / f"out/drawn/{path}.jpg").stat().st_size > 300 for path in done)
    pictured(folder)
    after = pictures(folder / "out")
    shutil.rmtree(folder / "out")
    pictured(folder)
    assert after == pictures(folder / "out")


def records_of_killed(journal: Path) -> list[dict[str, Any]]:
    journal.write_bytes(journal.read_bytes().rpartition(b"\n")[0] + b"\n")
    return records(journal)


# What cannot be drawn


def test_a_picture_that_cannot_be_made_costs_no_record(folder: Path) -> None:
    cv2.imwrite(str(folder / "in/wide.png"), np.full((1, 70_000, 3), 30, np.uint8))
    said: list[str] = []
    this = Run(run_config(folder / "in", **asked(folder)), [Listener(said)], loader=Loader())
    outcomes = list(this)
    assert {outcome.path for outcome in outcomes if isinstance(outcome, ImageResult)} >= {"wide.png"}
    assert said == ["1 image has no picture; wide.png: no JPEG can be 70000 x 1"]
    assert this.summary.exit_code == 1
    assert this.summary.failures == 0
    assert "drawn/wide.png.jpg" not in pictures(folder / "out")


class Listener:
    counts = False

    def __init__(self, said: list[str]) -> None:
        self.notice = said.append

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


def test_an_image_that_is_gone_or_changed_is_told_of(folder: Path) -> None:
    pictured(folder, save_images=False, save_crops=False)
    (folder / "in/2.png").unlink()
    write_image(folder / "in/a/1.png", 20, 10, value=10)
    answer = yolocli("draw", folder / "out")
    said = answer.stderr.decode()
    assert answer.returncode == 1
    assert "failed: 2.png: draw: gone since it was listed: No such file or directory" in said
    assert "failed: a/1.png: draw: the file has changed since" in said
    assert said.splitlines()[-1].endswith("out/drawn: 1 images drawn, 2 could not be drawn")
    assert list(pictures(folder / "out")) == ["drawn/a/1.bmp.jpg"]


def test_a_stop_leaves_the_rest_to_the_next_run(folder: Path, expected: dict[str, bytes]) -> None:
    pictured(folder, save_images=False, save_crops=False)
    said: list[str] = []
    this = Run(run_config(folder / "in", **asked(folder)), [Listener(said)], loader=Loader())
    this._conclude, conclude = lambda *given: (this.stop(ExitCode.INTERRUPTED), conclude(*given)), this._conclude
    list(this)
    assert this.summary.exit_code == ExitCode.INTERRUPTED
    assert said == ["pictures of 3 images are left to be made; the same command goes on"]
    assert pictures(folder / "out") == {}
    pictured(folder)
    assert pictures(folder / "out") == expected


# The command


@pytest.mark.slow
def test_the_command_draws_what_the_run_would_have(tmp_path: Path) -> None:
    source = [REPOSITORY / "sample_images/shop" / name for name in ("poster.jpg", "price_tags.jpg")]
    common = [*source, "--model", "builtin", "--imgsz", "320", "--format", "json", "--quiet"]
    assert yolocli("detect", *common, "-o", tmp_path / "live", "--save-images", "--save-crops").returncode == 0
    live = pictures(tmp_path / "live")
    shutil.copytree(tmp_path / "live", tmp_path / "out", ignore=shutil.ignore_patterns("drawn", "crops"))
    answer = yolocli("draw", tmp_path / "out", "--save-crops")
    assert answer.returncode == 0, answer.stderr
    assert pictures(tmp_path / "out") == live
    answer = yolocli("draw", tmp_path / "out", "--conf", "0.8", "-o", tmp_path / "sure", "--save-crops", "--quiet")
    assert (answer.returncode, answer.stderr) == (0, b"")
    sure = pictures(tmp_path / "sure")
    assert {name for name in sure if name.startswith("drawn")} == {name for name in live if name.startswith("drawn")}
    boxes = [box for line in records(tmp_path / "sure/results.jsonl") for box in line["detections"]]
    assert all(box["confidence"] >= 0.8 for box in boxes)
    assert len([name for name in sure if name.startswith("crops")]) == len(boxes) < len(live) - len(sure) + len(boxes)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["detect", "x", "--stdout", "--save-images"], "--save-images writes files: give --output"),
        (["detect", "x", "--stdout", "--save-crops"], "--save-crops writes files: give --output"),
        (["detect", "x", "--stdout", "--format", "coco"], "--format writes files: give --output"),
        (["draw", "nowhere"], "holds no results.jsonl"),
        (["draw", "out", "--conf", "0.5"], "name a new folder"),
    ],
)
def test_what_cannot_be_asked_for_is_said(arguments: list[str], words: str, tmp_path: Path) -> None:
    answer = yolocli(*arguments, cwd=tmp_path)
    assert answer.returncode == 2
    assert words in answer.stderr.decode()


# Every task


@pytest.mark.slow
def test_what_a_task_has_none_of_is_said(tmp_path: Path) -> None:
    model = next(model.weights for model in MODELS if model.task == "classify")
    source = REPOSITORY / "sample_images/workshop/racks.jpg"
    done = yolocli("detect", source, "-m", model, "-o", tmp_path / "out", "--save-crops", "--save-maps")
    assert b"--save-crops: models for classify find no boxes" in done.stderr
    assert b"--save-maps: models for classify give no map" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("task", "masks"), [*((task, "polygon") for task in TASKS), ("segment", "rle")])
def test_each_task_draws_the_same_from_its_records(task: str, masks: str, tmp_path: Path) -> None:
    weights = next((model.weights for model in MODELS if model.task == task), WEIGHTS)
    options = {"model": str(weights), "imgsz": (320, 320), "confidence": 0.1, "threads": 1, "formats": ("json",)}
    source = REPOSITORY / "sample_images/workshop"
    wanted = {"save_images": True, "save_crops": True}
    run(source, output=tmp_path / "live", mode="process", workers=2, masks=masks, **options, **wanted)
    live = pictures(tmp_path / "live")
    assert len([name for name in live if name.startswith("drawn")]) == 8
    extract(tmp_path / "live", tmp_path / "later", (), Choice())
    notices: list[str] = []
    draw(tmp_path / "later", BOTH, notice=notices.append)
    assert notices == ([f"--save-crops: models for {task} find no boxes"] if find_task(task, "").whole else [])
    assert pictures(tmp_path / "later") == live
    plain = cv2.imread(str(source / "racks.jpg"))
    drawn = cv2.imdecode(np.frombuffer(live["drawn/racks.jpg.jpg"], np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(drawn.astype(int) - plain).max() > 100
