"""What every runtime keeps to: all rows of the registry, and one made up."""

from __future__ import annotations

import pickle
import threading
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from tests.support import prepared
from yolocli.builtin import WEIGHTS
from yolocli.images.letterbox import letterbox
from yolocli.runtimes import RUNTIMES, find_engine, load_runtime
from yolocli.runtimes.base import Runtime
from yolocli.runtimes.plan import Prepared
from yolocli.tasks import TASKS
from yolocli.tasks.candidates import COLUMNS, CONFIDENCE

MADE_UP = {**RUNTIMES, "made-up": "tests.runtimes.made_up"}
CONFIDENCE_ASKED = 0.2


@pytest.fixture(params=MADE_UP)
def ready(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Prepared:
    monkeypatch.setattr("yolocli.runtimes.RUNTIMES", MADE_UP)
    return prepared(WEIGHTS, runtime=request.param, confidence=CONFIDENCE_ASKED)


@pytest.fixture
def runtime(ready: Prepared) -> Runtime:
    return load_runtime(replace(ready, threads=1))


def test_a_plan_says_what_was_asked_for_and_goes_to_another_machine(ready: Prepared) -> None:
    assert (ready.plan.why, len(ready.plan.sha256)) == ("", 64)
    assert pickle.loads(pickle.dumps(ready)) == ready
    assert str(ready.model) not in repr(replace(ready.plan, asked=replace(ready.asked, model="")))


def test_a_server_can_import_what_workers_share(ready: Prepared) -> None:
    assert find_spec(find_engine(ready.plan.runtime).PRELOAD) is not None


def test_a_network_says_what_it_is(runtime: Runtime, ready: Prepared) -> None:
    assert runtime.task.name in TASKS
    assert runtime.facts.names
    assert runtime.channels in {1, 3}
    assert runtime.best_batch >= 1
    assert runtime.description


def test_rows_are_of_the_task_and_no_image_changes_another(runtime: Runtime) -> None:
    noise = np.random.default_rng(0)
    canvases = [
        letterbox(noise.integers(0, 256, (96, 160, runtime.channels), np.uint8), runtime.frame) for _ in range(3)
    ]
    together = runtime.infer(canvases)
    for canvas, raw in zip(canvases, together, strict=True):
        assert raw.rows.dtype == np.float32
        assert raw.rows.shape[1] == COLUMNS + runtime.task.extra(runtime.facts)
        assert (raw.rows[:, CONFIDENCE] > CONFIDENCE_ASKED).all()
        np.testing.assert_allclose(raw.rows, runtime.infer([canvas])[0].rows, atol=1e-3)


def test_its_lock_lets_one_thread_at_a_time_in(ready: Prepared) -> None:
    inside, most = 0, 0
    pause = threading.Event()

    def work() -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        pause.wait(0.01)
        inside -= 1

    behind = find_engine(ready.plan.runtime).lock()(work)
    threads = [threading.Thread(target=behind) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
