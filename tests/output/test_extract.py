"""A stricter threshold needs no second inference: what `export` keeps is what such a run would have left."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import SAMPLES
from tests.fakes import FakeLoader
from tests.support import REPOSITORY, projections, records, run, without_privileges, yolocli
from yolocli.errors import OutputError, UsageError
from yolocli.output.extract import Choice, extract
from yolocli.output.merge import merge

FORMATS = ("json", "csv", "csv-per-image")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("whole") / "out"
    run(SAMPLES, model="builtin", output=output, formats=FORMATS, workers=1, threads=1)
    return output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("choice", "settings"),
    [
        (Choice(confidence=0.6), {"confidence": 0.6}),
        (Choice(classes=("QR_code", "1")), {"classes": ("qr_code", "barcode")}),
        (Choice(0.8, ("data_matrix",)), {"confidence": 0.8, "classes": ("2",)}),
        (Choice(), {}),
    ],
)
def test_it_is_what_a_stricter_run_would_leave(
    choice: Choice, settings: dict[str, object], whole: Path, tmp_path: Path
) -> None:
    _, this = run(SAMPLES, model="builtin", output=tmp_path / "run", formats=FORMATS, workers=1, threads=1, **settings)
    before = projections(whole)
    count = extract(whole, tmp_path / "new", FORMATS, choice)
    assert count == this.summary.images + this.summary.failures
    assert projections(tmp_path / "new") == projections(tmp_path / "run")
    assert projections(whole) == before
    done, again = run(
        SAMPLES, model="builtin", output=tmp_path / "new", formats=FORMATS, workers=1, threads=1, **settings
    )
    assert again.summary.skipped == this.summary.images, "the new folder goes on like any other"
    assert {outcome.status for outcome in done} <= {"failed"}


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (Choice(confidence=0.1), "the run kept no box below 0.25"),
        (Choice(classes=("unicorn",)), "unicorn"),
    ],
)
def test_what_the_run_did_not_keep_is_refused(choice: Choice, words: str, whole: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        extract(whole, tmp_path / "new", FORMATS, choice)
    assert not (tmp_path / "new").exists()


def test_classes_that_the_run_left_out_are_refused(whole: Path, tmp_path: Path) -> None:
    extract(whole, tmp_path / "codes", FORMATS, Choice(classes=("qr_code", "barcode")))
    with pytest.raises(UsageError, match="the run kept barcode, qr_code only"):
        extract(tmp_path / "codes", tmp_path / "new", FORMATS, Choice(classes=("data_matrix",)))
    extract(tmp_path / "codes", tmp_path / "new", FORMATS, Choice(classes=("0",)))


def test_the_command(whole: Path, tmp_path: Path) -> None:
    answer = yolocli("export", whole, "--conf", "0.9", "--classes", "qr_code,barcode", "-o", tmp_path / "new")
    assert (answer.returncode, answer.stdout) == (0, b""), answer.stderr
    boxes = [box for line in records(tmp_path / "new/results.jsonl") for box in line.get("detections", ())]
    assert boxes
    assert {box["name"] for box in boxes} <= {"qr_code", "barcode"}
    assert min(box["confidence"] for box in boxes) >= 0.9
    assert json.loads((tmp_path / "new/run.json").read_bytes())["fingerprint"]["confidence"] == 0.9
    for arguments, words in (
        (["--conf", "0.9"], b"--output"),
        (["--conf", "0.9", "-o", tmp_path / "new"], b"is not empty"),
        (["--conf", "2", "-o", tmp_path / "newer"], b"must be a number in [0, 1]"),
    ):
        answer = yolocli("export", whole, *arguments)
        assert (answer.returncode, answer.stderr.count(b"\n")) == (2, 1), answer.stderr
        assert words in answer.stderr


def test_a_folder_whose_images_lie_nobody_knows_where_does_not_become_one_that_knows(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "tests/old_folders/two_folders", tmp_path / "old")
    extract(tmp_path / "old", tmp_path / "new", ("csv",), Choice(confidence=0.3))
    (tmp_path / "third").mkdir()
    shutil.copyfile(SAMPLES / "shop/counter.webp", tmp_path / "third/counter.webp")
    with pytest.raises(UsageError, match="an earlier version"):
        run(tmp_path / "third", model="builtin", output=tmp_path / "new", confidence=0.3)


def test_a_folder_that_can_but_be_read_is_enough(open_folder: Path) -> None:
    source, places = open_folder / "source", open_folder / "places"
    run(SAMPLES / "shop/carton.jpg", output=source, loader=FakeLoader())
    before = projections(source)
    source.chmod(0o555)
    places.mkdir()
    places.chmod(0o777)
    with without_privileges():
        assert extract(source, places / "extracted", FORMATS, Choice()) == 1
        assert merge([source], places / "merged").images == 1
        assert projections(places / "extracted").keys() >= before.keys()
        with pytest.raises(OutputError, match="cannot be written"):
            extract(source, source / "new", FORMATS, Choice())
    assert projections(source) == before


def test_what_cannot_be_made_whole_is_not_in_the_way_of_another_try(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OutputError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("yolocli.output.extract.project_all", full)
        with pytest.raises(OutputError):
            extract(whole, tmp_path / "new", FORMATS, Choice(confidence=0.5))
    assert {path.name for path in (tmp_path / "new").iterdir()} <= {".lock"}
    assert extract(whole, tmp_path / "new", FORMATS, Choice(confidence=0.5))


@pytest.mark.parametrize(
    ("task", "choice", "words"),
    [
        ("classify", Choice(confidence=0.5), "--conf: has no effect on models for classify"),
        ("classify", Choice(classes=("0",)), "--classes: models for classify need a run of their own"),
        ("depth", Choice(classes=("0",)), "--classes: models for depth need a run of their own"),
        ("semantic", Choice(confidence=0.5), "--conf: has no effect on models for semantic"),
    ],
)
def test_what_a_run_of_the_task_would_not_leave_is_refused(
    task: str, choice: Choice, words: str, whole: Path, tmp_path: Path
) -> None:
    shutil.copytree(whole, tmp_path / "out")
    settings = json.loads((tmp_path / "out/run.json").read_text())
    (tmp_path / "out/run.json").write_text(json.dumps(settings | {"task": task}, indent=2))
    with pytest.raises(UsageError, match=words):
        extract(tmp_path / "out", tmp_path / "new", FORMATS, choice)
    assert not (tmp_path / "new").exists() or not any((tmp_path / "new").iterdir())
