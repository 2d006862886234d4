"""Commands that come after a run, on output folders in a store: what they give is what they give on a disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.fakes import FakeLoader
from tests.stores.test_inputs import put
from tests.stores.test_outputs import COMPLETE, held, run_to
from tests.support import projections, run, yolocli
from yolocli.config import Shard
from yolocli.errors import ExitCode
from yolocli.stores import store_of


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("YOLOCLI_CACHE_DIR", str(tmp_path / "cache"))


def done(*words: str | os.PathLike[str], code: ExitCode = ExitCode.OK) -> tuple[str, str]:
    """Runs a command; returns what it printed, and said."""
    found = yolocli(*words)
    assert found.returncode == code, found.stderr.decode()
    return found.stdout.decode(), found.stderr.decode()


def test_shards_in_a_store_are_merged_to_a_disk_and_to_a_store(bucket: str, pictures: Path, tmp_path: Path) -> None:
    (pictures / "0/broken.jpg").write_bytes(b"no image")
    put(bucket, pictures, "in/")
    shards = [f"{bucket}/out/{number}" for number in (1, 2)]
    for number, place in enumerate(shards, 1):
        run_to(place, f"{bucket}/in", shard=Shard(number, 2))
    run(f"{bucket}/in", output=tmp_path / "one", formats=("csv",), loader=FakeLoader())
    before = held(f"{bucket}/out")
    _, said = done("merge", *shards, "-o", tmp_path / "all")
    assert "25 images of 2 folders, 1 failed" in said
    assert projections(tmp_path / "all") == projections(tmp_path / "one")
    assert held(f"{bucket}/out") == before, "they are but read"
    done("merge", *shards, "-o", f"{bucket}/all")
    there = held(f"{bucket}/all")
    assert there.keys() == COMPLETE - {"summary.json"} | {"failures.jsonl"}
    alike = projections(tmp_path / "one")
    assert {name: there[name] for name in alike} == alike
    for code, words in (
        ("is not empty", [*shards, "-o", f"{bucket}/all"]),
        ("is named twice", [shards[0], f"{shards[0]}/", "-o", f"{bucket}/new"]),
        ("missing of 2 shards: 2", [shards[0], "-o", f"{bucket}/new"]),
        (f"{bucket}/none: holds no run.json", [f"{bucket}/none", "-o", f"{bucket}/new"]),
    ):
        _, said = done("merge", *words, code=ExitCode.USAGE)
        assert code in said
        assert str(tmp_path) not in said, "people know the place alone"
    assert not held(f"{bucket}/new")
    assert held(f"{bucket}/all") == there


def test_results_are_exported_and_listed_where_they_lie(bucket: str, pictures: Path, tmp_path: Path) -> None:
    (pictures / "0/broken.jpg").write_bytes(b"no image")
    place = f"{bucket}/out"
    run_to(place, pictures)
    run(pictures, output=tmp_path / "here", formats=("coco",), loader=FakeLoader())
    printed, _ = done("failures", place)
    assert printed == f"{pictures / '0/broken.jpg'}\n"
    _, said = done("export", place, "--format", "coco")
    assert f"{place}: coco of 25 images" in said
    found = held(place)
    assert found.keys() >= COMPLETE | {"coco.json", "images.json"}
    alike = projections(tmp_path / "here")
    assert {name: found[name] for name in alike} == alike
    done("export", place, "--conf", "0.9", "--format", "csv", "-o", f"{bucket}/strict")
    assert held(f"{bucket}/strict")["detections.csv"].count(b"\n") == 1, "none is so sure"
    assert held(place) == found
    assert not list((tmp_path / "cache/outputs").glob("read-*")), "copies are removed"


@pytest.mark.parametrize("command", ["export", "failures", "merge -o new", "detect x -o"])
@pytest.mark.parametrize(
    "url", ["s3://", "s3://key:hunter2@bucket/out", "s3://bucket/out?X-Amz-Signature=hunter2", "az://container/x"]
)
def test_what_is_no_place_is_said_without_secrets(command: str, url: str, tmp_path: Path) -> None:
    answer = yolocli(*command.split(), url, cwd=tmp_path)
    assert answer.returncode in {ExitCode.USAGE, ExitCode.RUN_FAILED}
    assert b"defect" not in answer.stderr
    assert b"hunter2" not in answer.stderr


def test_a_list_of_files_that_is_damaged_is_said(bucket: str, pictures: Path) -> None:
    run_to(f"{bucket}/out", pictures)
    for data in (b"no JSON\n", b"1\n"):
        store_of(bucket).write("out/.yolocli-files", data)
        for command in (["failures", f"{bucket}/out"], ["export", f"{bucket}/out"]):
            _, said = done(*command, code=ExitCode.RUN_FAILED)
            assert ".yolocli-files there is damaged" in said
            assert "defect" not in said


@pytest.mark.slow
def test_pictures_and_the_page_are_published(bucket: str, pictures: Path) -> None:
    place = f"{bucket}/out"
    run_to(place, pictures)
    _, said = done("draw", place)
    assert f"{place}/drawn: 24 images drawn" in said
    _, said = done("report", place)
    assert f"Report: {place}/report.html" in said
    found = held(place)
    assert sum(name.startswith("drawn/") for name in found) == 24
    assert found["report.html"].startswith(b"<!doctype html>")
    _, said = done("report", f"{bucket}/nothing", code=ExitCode.USAGE)
    assert f"{bucket}/nothing: holds no results.jsonl" in said
    assert not held(f"{bucket}/nothing")
