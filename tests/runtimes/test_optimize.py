"""optimize: what is counted as lost, what is refused, and one model made whole."""

from __future__ import annotations

import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.support import write_image
from yolocli import optimize as optimize_module
from yolocli.config import DetectorConfig, Precision
from yolocli.detector import load_detector
from yolocli.errors import ModelError, UsageError
from yolocli.optimize import Comparison, OptimizeConfig, match, optimize
from yolocli.results import Detection
from yolocli.runtimes.export_folder import is_quantised

COMPARISON = Comparison(6, 2, 97, 3, 1, 0.0, 0.99, 40.0, 20.0)


def box(confidence: float, x: float = 0.0, class_id: int = 0) -> Detection:
    return Detection("a", class_id, confidence, (x, 0.0, x + 100.0, 100.0))


@pytest.mark.parametrize(
    ("other", "kept"),
    [
        (box(0.25), True),
        (box(0.24), False),
        (box(0.9, x=33.0), True),  # IoU 0.504
        (box(0.9, x=34.0), False),  # IoU 0.493
        (box(0.9, class_id=1), False),
    ],
)
def test_a_box_is_kept_if_one_of_its_class_is_seen_where_it_is(other: Detection, kept: bool) -> None:
    found, missed = match([box(0.5), box(0.49, x=500.0)], [other, box(0.9, x=300.0)])
    assert (len(found), missed) == ((1, 0) if kept else (0, 1))


def test_shift_and_iou_are_those_of_the_best_partner() -> None:
    found, _ = match([box(0.5)], [box(0.9, x=20.0), box(0.6, x=0.0)])
    assert found == [(pytest.approx(0.1), 1.0)]


def test_the_loss_is_a_share_of_the_boxes_of_fp32() -> None:
    assert COMPARISON.loss == 0.03
    assert replace(COMPARISON, kept=0, lost=0).loss == 0.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": Precision.bf16}, "optimize makes int8"),
        ({"max_loss": 1.5}, "--max-loss 1.5"),
        ({"output": Path("a")}, "must end in _openvino_model"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        OptimizeConfig("a.pt", "pictures", **options)


def test_the_new_model_is_named_after_the_old_one() -> None:
    assert OptimizeConfig("runs/best.pt", "pictures").target == Path("best_int8_openvino_model")
    assert OptimizeConfig("runs/best_openvino_model", "pictures").target == Path("best_int8_openvino_model")


def test_too_few_different_pictures_are_refused(weights: Path, tmp_path: Path) -> None:
    for index in range(12):
        write_image(tmp_path / f"{index}.png", value=index % 3)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    notices: list[str] = []
    config = OptimizeConfig(str(weights), str(tmp_path), output=tmp_path / "x_openvino_model")
    with pytest.raises(UsageError, match="3 different pictures"):
        optimize(config, notices.append, lambda comparison: None)
    assert any("broken.png" in notice for notice in notices)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch, converted: Path) -> None:
    """Puts fp32 itself in the place of what NNCF makes, and a loss of 3 % in that of the comparison."""

    def quantise(source: Path, folder: Path, samples: list[Any], load: Any) -> None:
        assert load(samples[0]).shape[2] == 3
        shutil.copytree(source, folder, dirs_exist_ok=True)

    monkeypatch.setattr(optimize_module, "quantise", quantise)
    monkeypatch.setattr(optimize_module, "compare", lambda *arguments: COMPARISON)


def test_a_model_that_loses_too_much_is_not_written_unless_told_to(
    stand_in: None, weights: Path, images: Path, tmp_path: Path
) -> None:
    told: list[Comparison] = []
    config = OptimizeConfig(str(weights), str(images), output=tmp_path / "x_openvino_model")
    with pytest.raises(ModelError, match=r"not written: 3\.0% of the boxes are lost"):
        optimize(config, lambda text: None, told.append)
    assert told == [COMPARISON]
    assert list(tmp_path.iterdir()) == []
    assert optimize(replace(config, max_loss=0.03), lambda text: None, told.append) == config.output
    assert [path.name for path in tmp_path.iterdir()] == ["x_openvino_model"]
    with pytest.raises(UsageError, match="exists"):
        optimize(replace(config, max_loss=0.03), lambda text: None, told.append)
    assert optimize(replace(config, force=True), lambda text: None, told.append) == config.output


@pytest.mark.slow
def test_a_model_is_made_and_runs(weights: Path, images: Path, openvino: None, tmp_path: Path) -> None:
    if find_spec("nncf") is None:
        pytest.skip("the extra is not installed: pip install '.[openvino]'")
    told: list[Comparison] = []
    config = OptimizeConfig(str(weights), str(images), output=tmp_path / "x_int8_openvino_model", max_loss=0.1)
    path = optimize(config, lambda text: None, told.append)
    assert is_quantised(path)
    comparison = told[0]
    assert comparison.calibrated // comparison.held_back == 3
    assert comparison.kept > 5
    assert comparison.iou > 0.9
    assert abs(comparison.confidence_shift) < 0.05
    detector = load_detector(DetectorConfig(str(path)))
    assert detector.description == "openvino int8 on cpu (auto: an OpenVINO model)"
    again = OptimizeConfig(str(path), str(images), output=tmp_path / "y_openvino_model")
    with pytest.raises(ModelError, match="an INT8 model already"):
        optimize(again, lambda text: None, told.append)
