"""INT8 and benchmarks of every task, compared in its own terms."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import SAMPLES
from tests.support import detector, write_image
from tests.tasks.predicted import found_by
from tests.tasks.test_every_task import WEIGHTS_OF
from yolocli.errors import UsageError
from yolocli.measure.bench import bench
from yolocli.measure.cells import BenchConfig, Cell
from yolocli.measure.loss import Comparison
from yolocli.measure.optimize import OptimizeConfig, optimize
from yolocli.runtimes.openvino.model_folder import is_quantised
from yolocli.tasks import TASKS, find_task

pytestmark = pytest.mark.slow


@pytest.fixture(params=TASKS)
def task(request: pytest.FixtureRequest) -> str:
    """All tasks in the long form; the one that differs the most stands for them else."""
    if request.param != "segment" and not request.config.getoption("--long"):
        pytest.skip("with --long: others stand for it")
    return str(request.param)


def test_int8_is_made_and_compared(task: str, openvino: None, tmp_path: Path) -> None:
    found: list[Comparison] = []
    target = tmp_path / "small_int8_openvino_model"
    weights = str(WEIGHTS_OF[task])
    config = OptimizeConfig(weights, str(SAMPLES), target, confidence=0.1, max_loss=1.0, force=True)
    assert optimize(config, lambda message: None, found.append) == target
    assert is_quantised(target)
    (comparison,) = found
    assert comparison.task.name == task
    assert comparison.boxes > 0
    assert comparison.loss is not None
    assert comparison.loss < 0.5
    assert comparison.likeness is not None
    assert comparison.likeness > 0.7
    (picture, *_) = sorted((SAMPLES / "shop").glob("*.jpg"))
    before = found_by(detector(weights, runtime="openvino", threads=1, confidence=0.1), picture).detections
    after = found_by(detector(target, threads=1, confidence=0.1), picture).detections
    assert [type(one.xyxy) for one in after[:1]] == [type(one.xyxy) for one in before[:1]]
    assert after != before, "it is the same model"


def test_a_benchmark_counts_what_the_task_finds(task: str, openvino: None) -> None:
    cells = (Cell(str(WEIGHTS_OF[task]), "thread", "torch", 1), Cell(str(WEIGHTS_OF[task]), "thread", "openvino", 1))
    rows = bench(BenchConfig(str(SAMPLES / "shop"), (str(WEIGHTS_OF[task]),), cells, 4, 1), lambda message: None)
    assert {row.things for row in rows} == {find_task(task, "a model").things}
    assert all(row.images_per_second[0] > 0 for row in rows)
    for row in rows[1:]:
        assert row.boxes > 0
        assert (row.matched, row.extra) == (row.boxes, 0)


def test_models_of_different_tasks_are_not_compared(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", 192, 192)
    models = str(WEIGHTS_OF["segment"]), str(WEIGHTS_OF["pose"])
    config = BenchConfig(str(tmp_path), models, (Cell(models[1], "thread", "torch", 1),), 1, 1, baseline=False)
    with pytest.raises(UsageError, match=r"a model for pose, which cannot be compared with one for segment"):
        bench(config, lambda message: None)
