"""What Ultralytics' guide on threads warns of, reproduced, and shown to be out of reach of every mode.

https://docs.ultralytics.com/guides/yolo-thread-safe-inference
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import pytest

from tests import fakes
from tests.support import assert_same_boxes, run, write_image
from yolocli.executors import EXECUTORS
from yolocli.results import Detection, ImageResult
from yolocli.runtimes import RUNTIMES, find_engine

PATIENCE = 30.0

every_mode = pytest.mark.parametrize("mode", list(EXECUTORS))


def _in_threads(count: int, work: Callable[[int], object]) -> list[object]:
    """Runs the work in threads and returns what each gave or raised."""
    results: list[object] = [None] * count

    def call(number: int) -> None:
        try:
            results[number] = work(number)
        except BaseException as error:
            results[number] = error

    threads = [threading.Thread(target=call, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive(), "a thread hangs"
    return results


# The hazard


@pytest.fixture
def shared(weights: Path) -> Any:
    """One YOLO, as a script has it that hands one to all its threads."""
    from yolocli.runtimes.torch.library import import_ultralytics

    import_ultralytics()
    from ultralytics import YOLO

    return YOLO(str(weights))


@pytest.mark.parametrize(("threads", "built"), [(1, 1), (2, 2)])
def test_a_shared_model_builds_its_predictor_in_every_thread_that_comes_first(
    shared: Any, photos: list[Path], monkeypatch: pytest.MonkeyPatch, threads: int, built: int
) -> None:
    """`if not self.predictor: self.predictor = ...` is check-then-act: who is between the two builds one more."""
    from ultralytics.models.yolo.detect import DetectionPredictor

    made: list[object] = []
    between = threading.Barrier(threads, timeout=PATIENCE)
    plain = DetectionPredictor.__init__

    def init(self: object, *arguments: Any, **options: Any) -> None:
        made.append(self)
        between.wait()  # all have checked, none has acted
        plain(self, *arguments, **options)

    monkeypatch.setattr(DetectionPredictor, "__init__", init)
    _in_threads(threads, lambda number: shared.predict(str(photos[number]), verbose=False))
    assert len(made) == built
    assert shared.predictor in made
    shared.predict(str(photos[0]), verbose=False)
    assert len(made) == built, "once built, it is not built again"


def test_a_shared_model_changes_its_arguments_under_a_running_call(
    shared: Any, photos: list[Path], reference: dict[Path, tuple[Detection, ...]]
) -> None:
    """`self.predictor.args = ...` comes before the lock: another thread's confidence becomes that of a running call."""
    photo = next(path for path in photos if reference[path])
    assert len(shared.predict(str(photo), verbose=False)[0].boxes) == len(reference[photo])
    predictor = shared.predictor
    others: list[threading.Thread] = []
    plain = predictor.preprocess

    def preprocess(images: object) -> object:
        if not others:  # the first call is on its way: enter a second, with other arguments
            options = {"conf": 0.99, "verbose": False}
            others.append(threading.Thread(target=shared.predict, args=(str(photo),), kwargs=options, daemon=True))
            others[0].start()
            deadline = time.monotonic() + PATIENCE
            while predictor.args.conf != 0.99 and time.monotonic() < deadline:
                time.sleep(0.001)
        return plain(images)

    predictor.preprocess = preprocess
    (answer,) = shared.predict(str(photo), conf=0.25, verbose=False)
    others[0].join(PATIENCE)
    assert not others[0].is_alive()
    assert len(answer.boxes) < len(reference[photo]), "the call asked for 0.25 and got what 0.99 leaves"


# Out of reach


@every_mode
def test_no_mode_makes_what_can_be_shared(
    mode: str,
    weights: Path,
    photos: list[Path],
    reference: dict[Path, tuple[Detection, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither a YOLO nor a predictor is ever made, in this process or in a worker's."""
    fakes.forbid_shared_state(monkeypatch)
    from ultralytics import YOLO

    with pytest.raises(AssertionError, match="was made"):
        YOLO(str(weights))
    some = photos[:4]
    loader = fakes.GuardedLoader() if mode == "process" else None  # in this process it is forbidden for this test alone
    outcomes, _ = run(*some, model=str(weights), mode=mode, workers=2, ordered=True, loader=loader)
    for path, outcome in zip(some, outcomes, strict=True):
        assert isinstance(outcome, ImageResult)
        assert_same_boxes(outcome.detections, reference[path])


def test_the_guard_of_worker_processes_guards(weights: Path, tmp_path: Path) -> None:
    """A detector that makes a YOLO in a worker process does not pass the test above."""
    write_image(tmp_path / "a.png")
    with pytest.raises(AssertionError, match="YOLO was made"):
        run(tmp_path, model=str(weights), mode="process", workers=1, loader=fakes.GuiltyLoader())


@pytest.fixture
def many(tmp_path: Path) -> Path:
    write_image(tmp_path / "000.png")
    for number in range(1, 24):
        os.link(tmp_path / "000.png", tmp_path / f"{number:03}.png")
    return tmp_path


def test_thread_mode_uses_each_detector_in_the_thread_that_made_it(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = fakes.install(monkeypatch, fakes.FakeLoader(0.005))
    run(many, mode="thread", workers=3)
    assert len(made) == 3
    assert len({detector.born for detector in made}) == 3
    assert threading.get_ident() not in {detector.born for detector in made}
    for detector in made:
        assert detector.inferred_in == {detector.born}
        assert detector.together == 1


def test_locked_mode_runs_the_network_in_the_thread_that_built_it(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = fakes.install(monkeypatch)
    run(many, mode="locked", workers=4)
    (detector,) = made
    assert detector.inferred_in == {detector.born}


class _ThreadForEach(Executor):
    """Runs every call in a thread of its own; they end together, as the number of one that has ended is used again."""

    def __init__(self) -> None:
        self._ended = threading.Event()

    def submit(self, function: Callable[..., Any], /, *args: Any, **names: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def call() -> None:
            future.set_result(function(*args, **names))
            self._ended.wait()

        threading.Thread(target=call, daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._ended.set()


@pytest.fixture
def many_owners(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives locked mode many threads for the network, so that the lock alone keeps them apart."""
    monkeypatch.setattr("yolocli.executors.locked.ThreadPoolExecutor", lambda count, **names: _ThreadForEach())


@pytest.mark.usefixtures("many_owners")
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_locked_mode_lets_one_thread_at_a_time_into_the_network(runtime: str, many: Path) -> None:
    loader = fakes.FakeLoader(0.005)
    run(many, mode="locked", workers=4, runtime=runtime, loader=loader)
    (detector,) = loader.made
    assert detector.together == 1
    assert len(detector.inferred_in) > 1, "only one thread ever came: this test has seen nothing"


@pytest.mark.usefixtures("many_owners")
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_without_the_lock_threads_do_meet_in_the_network(
    runtime: str, many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the test above would see if locked mode forgot its lock."""
    monkeypatch.setattr(find_engine(runtime), "lock", lambda: lambda function: function)
    loader = fakes.FakeLoader(0.005)
    run(many, mode="locked", workers=4, runtime=runtime, loader=loader)
    assert loader.made[0].together > 1


def test_the_lock_of_pytorch_is_that_of_ultralytics_guide() -> None:
    from ultralytics.utils import ThreadingLocked

    assert isinstance(find_engine("torch").lock(), ThreadingLocked)


def test_locked_mode_decodes_outside_the_lock(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads meet in `prepare` while a third is in `infer`."""
    fakes.install(monkeypatch)
    meeting = threading.Barrier(3, timeout=PATIENCE)
    first, met = threading.Lock(), threading.Event()
    plain_prepare, plain_infer = fakes.FakeDetector.prepare, fakes.FakeDetector.infer

    def meet() -> None:
        if not met.is_set():
            meeting.wait()
            met.set()

    def prepare(self: fakes.FakeDetector, pixels: Any) -> Any:
        if not first.acquire(blocking=False):  # all but the first image, which goes on to `infer`
            meet()
        return plain_prepare(self, pixels)

    def infer(self: fakes.FakeDetector, batch: Any) -> Any:
        meet()
        return plain_infer(self, batch)

    monkeypatch.setattr(fakes.FakeDetector, "prepare", prepare)
    monkeypatch.setattr(fakes.FakeDetector, "infer", infer)
    outcomes, _ = run(many, mode="locked", workers=3)
    assert {outcome.status for outcome in outcomes} == {"ok"}
    assert met.is_set()


def test_process_mode_has_a_process_for_each_detector(many: Path) -> None:
    outcomes, _ = run(many, mode="process", workers=3, loader=fakes.FakeLoader(0.05))
    pids = {outcome.detections[0].name for outcome in outcomes if isinstance(outcome, ImageResult)}
    assert len(pids) == 3
    assert f"pid {os.getpid()}" not in pids
