"""By real runs: every format is the same bytes live and later, in every mode, and after a stop."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.output.written import SAMPLES
from tests.support import run
from yolocli.builtin import WEIGHTS
from yolocli.output.formats import FORMATS, find_format
from yolocli.output.projection import rebuild

pytestmark = pytest.mark.slow

ASKED = tuple(FORMATS)
OPTIONS: Mapping[str, Any] = {"model": str(WEIGHTS), "imgsz": (320, 320), "threads": 1, "formats": ASKED}


def _written(root: Path) -> Mapping[str, bytes]:
    """Returns what formats wrote, whatever the run was."""
    names = {one.name for name in ASKED for one in find_format(name).files}
    names |= {one.folder for name in ASKED for one in find_format(name).images}
    names |= {folder for name in ASKED for tree in find_format(name).trees for folder in tree.folders}
    files = {file.relative_to(root).as_posix(): file for file in root.rglob("*") if file.is_file()}
    return {name: file.read_bytes() for name, file in files.items() if name.split("/")[0] in names}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("in") / "photos"
    (folder / "sub").mkdir(parents=True)
    for place in ("shop/carton.jpg", "shop/nothing_to_scan.jpg", "workshop/tablet.jpg"):
        shutil.copyfile(SAMPLES / place, folder / "sub" / Path(place).name)
    shutil.copyfile(SAMPLES / "shop/carton.jpg", folder / 'a "quoted" \N{FROG FACE}.jpg')
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def live(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("live") / "out"
    run(pictures, output=out, mode="thread", workers=1, **OPTIONS)
    return out


def test_later(live: Path, tmp_path: Path) -> None:
    expected = _written(live)
    assert {name.split("/")[0] for name in expected} >= {one.name for name in ASKED for one in find_format(name).files}
    for name in ("results.jsonl", "run.json"):
        shutil.copyfile(live / name, tmp_path / name)
    rebuild(tmp_path, ASKED)
    assert _written(tmp_path) == expected


@pytest.mark.parametrize("mode", ["locked", "process"])
def test_in_another_mode(mode: str, live: Path, pictures: Path, tmp_path: Path) -> None:
    run(pictures, output=tmp_path / "out", mode=mode, workers=2, **OPTIONS)
    assert _written(tmp_path / "out") == _written(live)


def test_after_a_stop(live: Path, pictures: Path, tmp_path: Path) -> None:
    """As a killed run leaves it: half of the journal, and files that are torn."""
    out = tmp_path / "out"
    shutil.copytree(live, out, symlinks=True)
    trees = {folder for name in ASKED for tree in find_format(name).trees for folder in tree.folders}
    torn = [name for name in _written(out) if name.split("/")[0] not in trees]  # theirs are refused: see `trees`
    for file in [out / "results.jsonl", *(out / name for name in torn)]:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    settings = json.loads((out / "run.json").read_bytes()) | {"finished": None}
    (out / "run.json").write_text(json.dumps(settings, indent=2))
    _, again = run(pictures, output=out, mode="thread", workers=2, **OPTIONS)
    assert again.summary.skipped > 0
    assert _written(out) == _written(live)
