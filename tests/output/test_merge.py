"""Shards merged are what a single run would have left; what does not go together is refused, by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.fakes import FakeLoader
from tests.support import projections, run, run_config, write_image, yolocli
from yolocli.config import Shard
from yolocli.errors import ExitCode, OutputError, UsageError
from yolocli.output.folder import OutputFolder
from yolocli.output.merge import merge
from yolocli.output.projection import outcomes_of, rebuild
from yolocli.pipeline import Run

SHARDS = 16
FORMATS = ("json", "csv", "csv-per-image")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos") / "photos"
    for number in range(40):
        (folder / f"{number % 3}").mkdir(parents=True, exist_ok=True)
        write_image(folder / f"{number % 3}" / f"{number}.png", value=number * 5)
    (folder / "broken.jpg").write_bytes(b"no image")
    write_image(bytes(folder) + b"/\xff\n.png")
    return folder


def detect(
    photos: Path, output: Path, shard: Shard | None = None, formats: tuple[str, ...] = FORMATS, **options: object
) -> Path:
    run(photos, output=output, shard=shard, formats=formats, workers=1, loader=FakeLoader(), **options)
    return output


@pytest.fixture(scope="module")
def shards(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("shards")
    return [detect(photos, folder / f"{number}", Shard(number, SHARDS)) for number in range(1, SHARDS + 1)]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "all"


def test_16_shards_are_one_run(photos: Path, shards: list[Path], target: Path, tmp_path: Path) -> None:
    detect(photos, tmp_path / "one")
    totals = merge(shards[::-1], target)
    assert (totals.images, totals.failures) == (41, 1)
    assert projections(target) == projections(tmp_path / "one")
    lines = [sorted((folder / "results.jsonl").read_bytes().splitlines()) for folder in (target, tmp_path / "one")]
    assert lines[0] == lines[1]
    again, this = run(photos, output=target, formats=FORMATS, workers=1, loader=FakeLoader(), retry_failed=False)
    assert (again, this.summary.skipped) == ([], 42), "the new folder goes on like any other"


def test_an_empty_shard_counts(photos: Path, target: Path, tmp_path: Path) -> None:
    one = tmp_path / "one.png"
    shutil.copy(photos / "0" / "0.png", one)
    folders = [detect(one, tmp_path / f"{number}", Shard(number, 2)) for number in (1, 2)]
    assert merge(folders, target).images == 1


def test_other_formats_can_be_asked_for(shards: list[Path], target: Path) -> None:
    merge(shards, target, ["csv"])
    assert not (target / "json").exists()
    assert json.loads((target / "run.json").read_bytes())["settings"]["formats"] == ["csv"]


def test_what_is_missing_double_or_unfinished_is_named(
    photos: Path, shards: list[Path], target: Path, tmp_path: Path
) -> None:
    def refused(words: str, folders: list[Path]) -> None:
        with pytest.raises(UsageError, match=words):
            merge(folders, target)
        assert not target.exists()

    refused("missing of 16 shards: 3, 16", [*shards[:2], *shards[3:15]])
    copy = shutil.copytree(shards[4], tmp_path / "copy")
    refused(f"shard 5/16 is there twice: .*{shards[4].name}, .*copy", [*shards, copy])
    refused("is named twice", [*shards, shards[3]])
    whole = detect(photos, tmp_path / "whole")
    refused("whole is no shard", [*shards, whole])
    other = detect(photos, tmp_path / "other", Shard(1, 4))
    refused("shards are of 4 and of 16", [*shards, other])
    run_file = copy / "run.json"
    settings = json.loads(run_file.read_text())
    for change in ({"finished": None}, {"complete": False}):
        run_file.write_text(json.dumps(settings | change))
        refused("copy: its run did not come to its end", [*shards[:4], copy, *shards[5:]])
    run_file.write_text(json.dumps(settings))
    lines = (copy / "results.jsonl").read_bytes()
    (copy / "results.jsonl").write_bytes(lines.replace(b"schema", b"sche", 1))
    refused("copy: its journal has damaged lines", [*shards[:4], copy, *shards[5:]])
    assert (copy / "results.jsonl").read_bytes() == lines.replace(b"schema", b"sche", 1), "it is but read"
    refused("holds no results.jsonl", [*shards, tmp_path])


def test_a_run_that_was_stopped_is_not_merged(photos: Path, target: Path, tmp_path: Path) -> None:
    options = {"formats": FORMATS, "workers": 1, "loader": FakeLoader()}
    config = run_config(photos, output=tmp_path / "part", formats=FORMATS, workers=1)
    this = Run(config, loader=FakeLoader())
    for number, _ in enumerate(this):
        if number == 3:
            this.stop(ExitCode.TERMINATED)
    assert not this.summary.complete
    with pytest.raises(UsageError, match="part: its run did not come to its end"):
        merge([tmp_path / "part"], target)
    run(photos, output=tmp_path / "part", **options)
    assert merge([tmp_path / "part"], target).images == 41


def test_inputs_that_come_later_are_refused_in_a_shard(photos: Path, tmp_path: Path) -> None:
    """What they are called would depend on what is in the shard."""
    detect(photos / "0", tmp_path / "out", Shard(1, 2))
    with pytest.raises(UsageError, match="which holds a shard"):
        run(photos / "0", photos / "1", output=tmp_path / "out", shard=Shard(1, 2), workers=1, loader=FakeLoader())
    detect(photos / "0", tmp_path / "out", Shard(1, 2))


def test_other_settings_are_refused(photos: Path, shards: list[Path], target: Path, tmp_path: Path) -> None:
    other = detect(photos, tmp_path / "other", Shard(16, SHARDS), confidence=0.5)
    with pytest.raises(UsageError, match=r"other: was made with other settings than .* \(--conf was 0.25, is 0.5\)"):
        merge([*shards[:15], other], target)


def test_an_image_in_two_folders_is_named_and_no_folder_is_left(photos: Path, target: Path, tmp_path: Path) -> None:
    """Machines that were given overlapping lists."""
    folders = [detect(photos, tmp_path / "one"), detect(photos, tmp_path / "two", include=("1*",))]
    with pytest.raises(UsageError, match=r"images are in two folders: 0/12.png, in .*one and .*two; "):
        merge(folders, target)
    assert not (target / "results.jsonl").exists()
    shutil.rmtree(folders[1])
    merge(folders[:1], target)


def test_what_fails_is_said_and_nothing_is_left(
    shards: list[Path], target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        (target / "json").mkdir()
        (target / "json" / "1.json").write_text("half")
        raise OutputError("the disk is full")

    monkeypatch.setattr("yolocli.output.merge.project_all", fail)
    for _ in range(2):
        with pytest.raises(OutputError, match="the disk is full"):
            merge(shards, target)
        assert {entry.name for entry in target.iterdir()} <= {".lock"}


def test_names_that_stand_for_two_folders_are_refused(photos: Path, target: Path, tmp_path: Path) -> None:
    folders = [detect(photos / name, tmp_path / f"of {name}") for name in ("0", "1")]
    with pytest.raises(UsageError, match="give all runs the same inputs"):
        merge(folders, target)


def test_a_folder_holds_one_shard(photos: Path, tmp_path: Path) -> None:
    detect(photos, tmp_path, Shard(1, 4))
    for other in (Shard(2, 4), Shard(1, 5), None):
        with pytest.raises(UsageError, match="--shard was 1/4, is"):
            detect(photos, tmp_path, other)
    detect(photos, tmp_path, Shard(1, 4))


def test_what_was_made_later_does_not_fall_behind(photos: Path, tmp_path: Path) -> None:
    """As what runs make does not."""
    kept = detect(photos / "0", tmp_path / "kept", formats=("csv",))
    assert rebuild(kept, ["coco", "csv-per-image"]) == 14
    run(photos, output=kept, formats=("csv",), workers=1, loader=FakeLoader())
    one = tmp_path / "one"
    shutil.copytree(kept, one, ignore=shutil.ignore_patterns("coco.json", "images.json", "csv"))
    rebuild(one, ["csv", "coco", "csv-per-image"])
    assert projections(kept) == projections(one)
    assert json.loads((kept / "run.json").read_bytes())["settings"]["formats"] == ["csv", "coco", "csv-per-image"]


def test_a_dry_run_prints_what_the_run_would_take(photos: Path, tmp_path: Path) -> None:
    """What images are called depends on the folder, and so does which shard they are in."""
    detect(photos, tmp_path / "out", Shard(1, 2))
    options = ("--shard", "1/2", "-o", tmp_path / "out", "--dry-run", "-q")
    listed = yolocli("detect", photos / "0", *options).stdout.decode().splitlines()
    taken = [outcome.ref.source for outcome in outcomes_of(OutputFolder(tmp_path / "out"), ())]
    assert sorted(listed) == sorted(source for source in taken if source.startswith(f"{photos / '0'}/"))


@pytest.mark.slow
def test_the_commands(photos: Path, tmp_path: Path) -> None:
    for number in (0, 1):
        environment = {"JOB_COMPLETION_INDEX": f"{number}", "YOLOCLI_SHARD": "auto/2"}
        done = yolocli("detect", photos, "-m", "builtin", "-o", tmp_path / f"{number}", "-q", env=environment)
        assert done.returncode in (0, 1), done.stderr
    done = yolocli("merge", tmp_path / "0", tmp_path / "1", "-o", tmp_path / "all")
    assert done.returncode == 0
    assert done.stderr.endswith(b"all: 42 images of 2 folders, 1 failed\n")
    done = yolocli("merge", tmp_path / "0", "-o", tmp_path / "more")
    assert (done.returncode, done.stderr) == (2, b"yolocli: missing of 2 shards: 2\n")
