"""Of every architecture that Ultralytics describes, records are what its own predict gives, in every runtime."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import SAMPLES
from tests.families.made import make
from tests.families.members import MEMBERS, Member
from tests.support import REPOSITORY, run
from yolocli.results import ImageResult
from yolocli.runtimes import RUNTIMES
from yolocli.runtimes.openvino import convert
from yolocli.tasks import TASKS

PICTURES = [
    SAMPLES / name for name in ("shop/price_tags.jpg", "shop/poster.jpg", "workshop/racks.jpg", "shop/carton.jpg")
]
"""Wide, tall, wide and square."""
PIXELS, SCORE, SHARE = 0.05, 1e-3, 1e-3
FEWEST = 10
"""Records of all pictures that a comparison is worth something with."""


@pytest.fixture(autouse=True)
def _convert_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a process for each conversion, which would import all libraries again."""
    monkeypatch.setattr(
        convert, "_convert_apart", lambda weights, folder, trust: convert.convert(weights, folder, trust_weights=trust)
    )


@pytest.fixture(scope="module", params=MEMBERS, ids=str)
def member(request: pytest.FixtureRequest) -> Member:
    member: Member = request.param
    if member.task not in TASKS:
        pytest.skip(f"there is no task '{member.task}' yet")
    if not member.quick and not request.config.getoption("--long"):
        pytest.skip("with --long: others stand for it")
    return member


@pytest.fixture(scope="module")
def weights(member: Member, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("weights") / "best.pt"
    return make(f"{member.architecture}.yaml", member.form, target, PICTURES, member.imgsz)


@pytest.fixture(scope="module")
def expected(member: Member, weights: Path) -> Mapping[str, Any]:
    """What Ultralytics finds in each picture, one at a time."""
    from ultralytics import RTDETR, YOLO

    model = (RTDETR if member.family == "RT-DETR" else YOLO)(str(weights))
    return {str(path): model.predict(str(path), batch=1, verbose=False)[0] for path in PICTURES}


@pytest.mark.slow
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_records_are_what_predict_gives(
    member: Member, weights: Path, expected: Mapping[str, Any], runtime: str, request: pytest.FixtureRequest
) -> None:
    if runtime == "openvino":
        request.getfixturevalue("openvino")
    outcomes, _ = run(*PICTURES, model=str(weights), runtime=runtime, workers=1)
    seen = 0
    for outcome in outcomes:
        assert isinstance(outcome, ImageResult), outcome
        found = [record.to_dict() for record in outcome.detections]
        COMPARE.get(member.task, _same_rows)(found, expected[outcome.ref.source], outcome.path)
        seen += len(found)
    assert seen >= min(FEWEST, len(PICTURES)), "it finds next to nothing: no test"


def _same_rows(found: Sequence[Mapping[str, Any]], answer: Any, where: str) -> None:
    """Each record has a partner of its class; like scores may change places. Masks are for the tests of their task."""
    expected = answer.summary()
    assert len(found) == len(expected), where
    left = list(found)
    for wanted in expected:
        partner = next((one for one in left if _alike(one, wanted)), None)
        assert partner is not None, f"{where}: no partner for {wanted}"
        left.remove(partner)


def _alike(one: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    same = (one["name"], one["class"]) == (wanted["name"], wanted["class"])
    close = abs(one["confidence"] - wanted["confidence"]) <= SCORE
    if same and close and "box" in wanted:
        close = _distance(one["box"], wanted["box"]) <= PIXELS
    if same and close and "keypoints" in wanted:
        points = wanted["keypoints"]
        close = all(np.allclose(one["keypoints"][axis], points[axis], rtol=0, atol=2 * PIXELS) for axis in "xy")
    return bool(same and close)


def _distance(box: Mapping[str, float], wanted: Mapping[str, float]) -> float:
    return max(abs(box[side] - wanted[side]) for side in wanted)


def _same_best(found: Sequence[Mapping[str, Any]], answer: Any, where: str) -> None:
    expected = answer.summary()
    assert (found[0]["name"], found[0]["class"]) == (expected[0]["name"], expected[0]["class"]), where
    for record, wanted in zip(found, expected, strict=True):  # of which like ones may change places
        assert abs(record["confidence"] - wanted["confidence"]) <= SCORE, where


def _same_shares(found: Sequence[Mapping[str, Any]], answer: Any, where: str) -> None:
    shares = {record["class"]: record["pixel_ratio"] for record in found}
    wanted = {entry["class"]: entry["pixel_ratio"] for entry in answer.summary()}
    for index in shares.keys() | wanted.keys():
        assert abs(shares.get(index, 0) - wanted.get(index, 0)) <= SHARE, where


def _same_depth(found: Sequence[Mapping[str, Any]], answer: Any, where: str) -> None:
    (record,), depth = found, answer.depth.data.numpy()
    wanted = (float(depth.min()), float(np.median(depth)), float(depth.max()))
    np.testing.assert_allclose([record["min"], record["median"], record["max"]], wanted, rtol=2e-3, err_msg=where)


COMPARE: Mapping[str, Callable[[Sequence[Mapping[str, Any]], Any, str], None]] = {
    "classify": _same_best,
    "semantic": _same_shares,
    "depth": _same_depth,
}
"""How records of a task are compared whose records are not compared row by row."""


def test_the_page_lists_what_is_tested() -> None:
    page = (REPOSITORY / "docs/models.md").read_text("utf-8")
    rows = re.findall(r"^\| (\S+) \| (.+?) \| (.+?) \|$", page, re.MULTILINE)
    listed = {
        (family, task, name)
        for family, tasks, names in rows
        for task in tasks.split(", ")
        for name in re.findall(r"`([^`]+)`", names)
    }
    tested = {(member.family, member.task, member.architecture) for member in MEMBERS}
    assert listed == tested


def test_every_family_is_tested_where_time_is_short() -> None:
    assert {member.family for member in MEMBERS if member.quick} == {member.family for member in MEMBERS}
