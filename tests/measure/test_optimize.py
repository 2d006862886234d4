"""optimize: what is counted as lost, what is refused, what is left behind, and one model made whole."""

from __future__ import annotations

import io
import shutil
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from tests.chaos.harness import Running, wait_until
from tests.support import detector as load_real
from tests.support import write_image, yolocli
from yolocli.cli.tables import print_comparison
from yolocli.errors import ModelError, UsageError
from yolocli.images.letterbox import Canvas
from yolocli.measure import optimize as optimize_module
from yolocli.measure.loss import Comparison, compare
from yolocli.measure.match import match
from yolocli.measure.optimize import OptimizeConfig, optimize
from yolocli.results import Detection, Findings
from yolocli.runtimes.openvino.model_folder import is_quantised
from yolocli.tasks.detect import Detect

DETECT = Detect()
COMPARISON = Comparison(DETECT, 6, 2, 0.25, 0.15, 92, 5, 3, 98, 1, 0.0, 0.99, 40.0, 20.0)
NOTHING = replace(COMPARISON, kept=0, faded=0, lost=0, own=0, gained=0, confidence_shift=None, likeness=None)


def box(confidence: float, x: float = 0.0, name: str = "a") -> Detection:
    return Detection(name, 0, confidence, (x, 0.0, x + 100.0, 100.0))


# Boxes of two detectors


def test_a_box_has_one_partner_the_one_it_overlaps_most() -> None:
    left, right = box(0.5, 0.0), box(0.9, 20.0)
    matching = match(DETECT, [left, right], [box(0.6, 15.0)], 0.5)
    assert [(one.xyxy[0], two.xyxy[0]) for one, two, _ in matching.pairs] == [(20.0, 15.0)]
    assert (matching.first_only, matching.second_only) == ([left], [])
    matching = match(
        DETECT, [left], [box(0.9, 33.0), box(0.9, 0.0, "b"), box(0.9, 34.0)], 0.5
    )  # IoU 0.504, of "b" 1, 0.493
    assert [shared for _, _, shared in matching.pairs] == [pytest.approx(67 / 133)]
    assert len(matching.second_only) == 2
    assert match(DETECT, [left], [box(0.9, 34.0)], 0.5).pairs == []


# What is lost


class Finds:
    """A detector that gives the same boxes for every picture."""

    task = DETECT

    def __init__(self, *boxes: Detection) -> None:
        self.boxes = boxes

    def infer(self, batch: Sequence[Canvas]) -> list[Any]:
        return [None] * len(batch)

    def finish(self, found: Sequence[object], canvases: Sequence[Canvas]) -> Findings:
        return Findings(self.boxes)


def compared(fp32: Finds, int8: Finds, confidence: float = 0.25) -> Comparison:
    canvas: Any = np.zeros((1, 1, 3), np.uint8)
    return compare(fp32, int8, [canvas], confidence, 3)  # type: ignore[arg-type]


def counts(comparison: Comparison) -> tuple[int, ...]:
    return comparison.kept, comparison.faded, comparison.lost, comparison.own, comparison.gained


@pytest.mark.parametrize(
    ("confidence", "expected"),
    [
        (0.25, (1, 0, 0, 1, 0)),
        (0.24, (0, 1, 0, 0, 0)),
        (0.15, (0, 1, 0, 0, 0)),
        (0.14, (0, 0, 1, 0, 0)),
    ],
)
def test_boxes_are_judged_at_the_threshold_of_detect(confidence: float, expected: tuple[int, ...]) -> None:
    assert counts(compared(Finds(box(0.3), box(0.24, 500.0)), Finds(box(confidence)))) == expected


def test_boxes_of_int8_alone_are_gained_unless_fp32_saw_them_faintly() -> None:
    fp32 = Finds(box(0.3), box(0.24, 500.0))
    assert counts(compared(fp32, Finds(box(0.3), box(0.26, 500.0), box(0.9, 900.0)))) == (1, 0, 0, 3, 1)


def test_the_threshold_and_its_margin_can_be_chosen() -> None:
    def floor(confidence: float) -> float:
        return OptimizeConfig("a.pt", "pictures", confidence=confidence).floor

    assert [floor(confidence) for confidence in (0.5, 0.1, 0.0)] == [0.4, 0.05, 0.0]
    assert counts(compared(Finds(box(0.3), box(0.5, 500.0)), Finds(box(0.41, 500.0)), 0.5)) == (0, 1, 0, 0, 0)


def test_shift_and_iou_are_means_over_what_is_found() -> None:
    comparison = compared(Finds(box(0.5), box(0.3, 500.0)), Finds(box(0.6), box(0.2, 500.0)))
    assert (comparison.confidence_shift, comparison.likeness) == (pytest.approx(0.0), 1.0)


def test_the_loss_is_a_share_of_the_boxes_of_fp32() -> None:
    assert COMPARISON.loss == 0.03
    nothing = compared(Finds(box(0.2)), Finds())
    assert (nothing.boxes, nothing.loss, nothing.confidence_shift, nothing.likeness) == (0, None, None, None)


def table(comparison: Comparison, width: int = 80) -> str:
    stream = io.StringIO()
    print_comparison(comparison, 0.02, Console(file=stream, width=width))
    return " ".join(stream.getvalue().replace("\u2502", " ").split())


def test_the_table_says_at_which_confidence_it_compares() -> None:
    for width in (60, 80):
        text = table(COMPARISON, width)
        assert "boxes, confidence 0.25 or more 100 98" in text
        assert "kept 92 (92.0%) only at 0.15 to 0.25 5 (5.0%) lost 3 (3.0%)" in text
        assert "lost: not found at 0.15 either; this is what --max-loss 2.0% judges" in text


def test_the_table_has_no_figures_that_do_not_exist() -> None:
    text = table(NOTHING)
    assert "mean IoU - " in text
    assert "mean shift in confidence - " in text
    assert "lost - " in text


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"confidence": 1.5}, "--conf 1.5"),
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
    with pytest.raises(ModelError, match=r"not written: 3\.0% of the boxes with confidence 0\.25 or more are lost"):
        optimize(config, lambda text: None, told.append)
    assert told == [COMPARISON]
    assert list(tmp_path.iterdir()) == []
    assert optimize(replace(config, max_loss=0.03), lambda text: None, told.append) == config.output
    assert [path.name for path in tmp_path.iterdir()] == ["x_openvino_model"]
    with pytest.raises(UsageError, match="exists"):
        optimize(replace(config, max_loss=0.03), lambda text: None, told.append)
    assert optimize(replace(config, force=True), lambda text: None, told.append) == config.output


def test_a_model_of_which_nothing_is_known_is_not_written_unless_told_to(
    stand_in: None, monkeypatch: pytest.MonkeyPatch, weights: Path, images: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(optimize_module, "compare", lambda *arguments: NOTHING)
    config = OptimizeConfig(str(weights), str(images), output=tmp_path / "x_openvino_model")
    with pytest.raises(ModelError, match=r"finds no boxes with confidence 0\.25 or more in the 2 held-back.*--force"):
        optimize(config, lambda text: None, lambda comparison: None)
    assert list(tmp_path.iterdir()) == []
    assert optimize(replace(config, force=True), lambda text: None, lambda comparison: None) == config.output


def test_only_the_precision_that_is_made_is_offered() -> None:
    assert b"int8" in yolocli("optimize", "--help").stdout
    done = yolocli("optimize", "a.pt", "--calibrate", ".", "--precision", "bf16")
    assert done.returncode == 2
    assert done.stderr == b"yolocli: --precision bf16: choose from int8\n"
    done = yolocli("optimize", "a.pt", "--calibrate", "nowhere", "--precision", "int8")
    assert b"nowhere: no such file" in done.stderr


# What is left behind


SIGNALS = pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])


@pytest.mark.slow
@SIGNALS
def test_a_signal_leaves_no_work_folder(
    number: signal.Signals,
    code: int,
    converted: Path,
    weights: Path,
    images: Path,
    started: Callable[..., Running],
    tmp_path: Path,
) -> None:
    if find_spec("nncf") is None:
        pytest.skip("the extra is not installed: pip install 'yolocli[openvino]'")
    work = tmp_path / "work"
    work.mkdir()
    run = started("optimize", str(weights), "--calibrate", str(images), "--output", str(work / "x_openvino_model"))
    assert wait_until(lambda: list(work.iterdir()) and "calibrating" in run.stderr, run)
    run.signal(number)
    assert run.wait() == code
    run.assert_tidy()
    assert list(work.iterdir()) == []


@pytest.mark.slow
@SIGNALS
def test_a_signal_ends_a_conversion(
    number: signal.Signals,
    code: int,
    openvino: None,
    weights: Path,
    images: Path,
    started: Callable[..., Running],
    tmp_path: Path,
) -> None:
    cache = tmp_path / "cache"
    words = ["--calibrate", str(images), "--output", str(tmp_path / "x_openvino_model")]
    run = started("optimize", str(weights), *words, YOLOCLI_CACHE_DIR=str(cache))
    assert wait_until(lambda: "converting" in run.stderr and len(run.pids()) > 1, run)
    run.signal(number)
    assert run.wait() == code
    run.assert_tidy()
    left = [path for path in (cache / "openvino").rglob("*") if path.suffix != ".lock"]
    assert left == []


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
    assert comparison.likeness > 0.9
    assert abs(comparison.confidence_shift) < 0.05
    detector = load_real(path)
    assert detector.description == "openvino int8 on cpu (auto: an OpenVINO model)"
    again = OptimizeConfig(str(path), str(images), output=tmp_path / "y_openvino_model")
    with pytest.raises(ModelError, match="an INT8 model already"):
        optimize(again, lambda text: None, told.append)
