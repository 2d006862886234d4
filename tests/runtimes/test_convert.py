"""The conversion: once, whole, and trusted only when it computes what torch does."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import REPOSITORY, prepared
from yolocli.errors import ModelError
from yolocli.runtimes.base import ConversionError
from yolocli.runtimes.metadata import read_metadata
from yolocli.runtimes.openvino import convert
from yolocli.runtimes.openvino.convert import converted_model, drawn_picture
from yolocli.runtimes.openvino.model_folder import is_openvino_model
from yolocli.runtimes.torch import load as torch
from yolocli.tasks.base import Raw


@pytest.fixture
def conversions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that a stand-in for the conversion was asked to fill, in a cache of their own."""
    made: list[Path] = []

    def stand_in(weights: Path, folder: Path, trust_weights: bool) -> None:
        made.append(folder)
        (folder / "model.xml").write_text("graph")
        (folder / "model.bin").write_bytes(bytes(1000))

    monkeypatch.setenv("YOLOCLI_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(convert, "_convert_apart", stand_in)
    return made


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "best.pt"
    path.write_bytes(b"weights")
    return path


def test_many_at_once_convert_once(conversions: list[Path], checkpoint: Path) -> None:
    together = threading.Barrier(8)
    folders: list[Path] = []

    def ask() -> None:
        together.wait()
        folders.append(converted_model(checkpoint, trust_weights=False))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(conversions) == 1
    assert len(set(folders)) == 1
    assert len(folders) == 8
    assert is_openvino_model(folders[0])


@pytest.mark.parametrize("damage", ["changed", "shorter", "gone", "folder gone"])
def test_a_damaged_conversion_is_made_again(conversions: list[Path], checkpoint: Path, damage: str) -> None:
    folder = converted_model(checkpoint, trust_weights=False)
    file = folder / "model.bin"
    if damage == "changed":
        file.write_bytes(b"1" + bytes(999))
    elif damage == "shorter":
        file.write_bytes(bytes(10))
    elif damage == "gone":
        file.unlink()
    else:
        folder.rename(folder.with_name("elsewhere"))
    notices: list[str] = []
    assert converted_model(checkpoint, trust_weights=False, notice=notices.append) == folder
    assert file.read_bytes() == bytes(1000)
    assert len(conversions) == 2
    assert len(notices) == 1
    converted_model(checkpoint, trust_weights=False, notice=notices.append)
    assert len(conversions) == 2
    assert len(notices) == 1


def test_other_weights_and_other_versions_are_other_conversions(
    conversions: list[Path], checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [converted_model(checkpoint, trust_weights=False)]
    checkpoint.write_bytes(b"other weights")
    folders.append(converted_model(checkpoint, trust_weights=False))
    monkeypatch.setattr(convert, "openvino_version", lambda: "1999.1")
    folders.append(converted_model(checkpoint, trust_weights=False))
    monkeypatch.setattr(convert, "CONVERSION", 0)
    folders.append(converted_model(checkpoint, trust_weights=False))
    assert len(set(folders)) == 4


def test_a_conversion_that_fails_leaves_nothing(
    conversions: list[Path], checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(weights: Path, folder: Path, trust_weights: bool) -> None:
        (folder / "model.xml").write_text("half of it")
        raise ConversionError("no")

    monkeypatch.setattr(convert, "_convert_apart", fail)
    with pytest.raises(ConversionError):
        converted_model(checkpoint, trust_weights=False)
    assert [path for path in (tmp_path / "cache/openvino").iterdir() if path.suffix != ".lock"] == []


def test_what_a_killed_conversion_left_is_removed_by_the_next(
    conversions: list[Path], checkpoint: Path, tmp_path: Path
) -> None:
    """It was 11 MB for good. What a conversion that goes on has made is left alone."""
    cache = tmp_path / "cache/openvino"
    code = (
        "import sys, time; from pathlib import Path; from yolocli.runtimes.openvino import convert\n"
        "def stall(weights, folder, trust_weights):\n"
        "    (folder / 'model.bin').write_bytes(bytes(1000)); print('at work', flush=True); time.sleep(100)\n"
        "convert._convert_apart = stall; convert.converted_model(Path(sys.argv[1]), trust_weights=False)"
    )
    other = checkpoint.with_name("other.pt")
    other.write_bytes(b"others")
    command = [sys.executable, "-c", code, str(other)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"at work\n"
            (work,) = (path for path in cache.iterdir() if path.is_dir())
            converted_model(checkpoint, trust_weights=False)
            assert any(work.rglob("model.bin"))
        finally:
            process.kill()
    checkpoint.write_bytes(b"trained on")
    converted_model(checkpoint, trust_weights=False)
    assert not work.exists()
    assert len([path for path in cache.iterdir() if path.suffix != ".lock"]) == 2
    assert not list(cache.glob(".work-*"))


@pytest.mark.slow
def test_weights_that_cannot_be_loaded_say_so_from_the_other_process(openvino: None, tmp_path: Path) -> None:
    path = tmp_path / "no.pt"
    path.write_bytes(b"no checkpoint")
    with pytest.raises(ModelError, match=r"no\.pt: ") as raised:
        converted_model(path, trust_weights=False)
    assert not isinstance(raised.value, ConversionError)  # torch could not load it either: nothing to fall back on


def test_what_the_cache_holds_describes_the_model(converted: Path, weights: Path) -> None:
    metadata = read_metadata(converted)
    assert (metadata.imgsz, metadata.stride, metadata.channels, metadata.end_to_end) == ((640, 640), 32, 3, False)
    assert metadata.facts == torch.load(prepared(weights, runtime="torch")).facts


def test_the_names_of_coco_are_kept(converted: Path, coco_weights: Path) -> None:
    names = read_metadata(converted).names
    assert (len(names), names[0], names[79]) == (80, "person", "toothbrush")


def test_a_conversion_that_computes_something_else_is_not_trusted(
    openvino: None, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = convert._openvino_output

    def wrong(*arguments: Any) -> list[Raw]:
        return [Raw(raw.rows * np.float32(1.001)) for raw in real(*arguments)]

    monkeypatch.setattr(convert, "_openvino_output", wrong)
    with pytest.raises(ConversionError, match=r"something else than torch .* use --runtime torch"):
        convert.convert(weights, tmp_path, trust_weights=False)


def test_the_picture_is_the_same_in_every_run() -> None:
    one, other = drawn_picture(32, 3), drawn_picture(32, 3)
    assert np.array_equal(one, other)
    assert one.shape == (2, 224, 288, 3)
    assert one.flags.c_contiguous
    assert drawn_picture(32, 1).shape == (2, 224, 288, 1)
