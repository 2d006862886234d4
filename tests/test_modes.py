"""The contract of every mode: a new row in EXECUTORS is tested by being there."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests import fakes
from tests.ray_nodes import wait_until
from tests.support import (
    assert_same_boxes,
    clean_environment,
    detector,
    projections,
    records,
    run,
    run_config,
    write_image,
)
from tests.test_images import BAD
from yolocli.config import Limits
from yolocli.detector import Loader, YoloLoader
from yolocli.errors import ExitCode, ModelError, UsageError
from yolocli.executors import EXECUTORS, make_executor
from yolocli.executors.base import Executor, Worker
from yolocli.executors.chunk import chunk_size, detect_images
from yolocli.executors.crew import AT_ONCE, WORKER_BYTES, Crew
from yolocli.executors.feed import AHEAD, Feed
from yolocli.executors.settle import settle, worker_spec
from yolocli.images.letterbox import Canvas
from yolocli.observer import Observer
from yolocli.pipeline import Run
from yolocli.results import Detection, ImageFailure, ImageRef, ImageResult, Item, Outcome
from yolocli.runtimes.plan import Prepared
from yolocli.summary import RunSummary
from yolocli.tasks.base import Raw

MODES = list(EXECUTORS)
every_mode = pytest.mark.parametrize("mode", MODES)


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> list[fakes.FakeDetector]:
    return fakes.install(monkeypatch)


def executor(loader: Loader, *inputs: str | os.PathLike[str], **options: Any) -> Executor:
    """Returns the executor of a run."""
    config = run_config(*inputs, **options)
    return make_executor(config.mode, worker_spec(config, loader, settle(config, loader, print)))


def test_a_made_up_mode_is_one_module_and_one_row(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yolocli.executors.EXECUTORS", {**EXECUTORS, "turns": "tests.made_up_mode:TurnsExecutor"})
    outcomes, this = run(many, mode="turns", workers=2, loader=fakes.FakeLoader())
    assert len(outcomes) == 40
    assert this.summary.mode == "turns"
    with pytest.raises(UsageError, match="--timeout needs --mode process or ray"):
        run(many, mode="turns", limits=Limits(timeout=1), loader=fakes.FakeLoader())
    with pytest.raises(UsageError, match="--mode turn: did you mean turns"):
        run(many, mode="turn", loader=fakes.FakeLoader())


# With the real network


@pytest.fixture(scope="module")
def run_of(
    weights: Path, images: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., tuple[Path, RunSummary, list[Outcome]]]:
    """Runs a mode over all photographs, once for each way to ask."""
    done: dict[tuple[str, int, int, int], tuple[Path, RunSummary, list[Outcome]]] = {}

    def run_of(mode: str, workers: int, batch: int = 1) -> tuple[Path, RunSummary, list[Outcome]]:
        key = (mode, workers, batch)
        if key not in done:
            output = tmp_path_factory.mktemp(f"{mode}-{workers}-{batch}")
            outcomes, this = run(
                images,
                model=str(weights),
                mode=mode,
                workers=workers,
                batch=batch,
                threads=1,
                output=output,
                formats=("json", "csv", "csv-per-image"),
            )
            done[key] = output, this.summary, outcomes
        return done[key]

    return run_of


@every_mode
def test_records_equal_ultralytics_own(
    mode: str, run_of: Callable, images: Path, reference: dict[Path, tuple[Detection, ...]]
) -> None:
    output, summary, _ = run_of(mode, 2)
    assert (summary.exit_code, summary.images, summary.failures, summary.mode) == (0, len(reference), 0, mode)
    lines = records(output / "results.jsonl")
    assert sorted(line["path"] for line in lines) == sorted(str(path.relative_to(images)) for path in reference)
    assert sum(len(line["detections"]) for line in lines) > 0
    for line in lines:
        found = [Detection.from_dict(item) for item in line["detections"]]
        assert_same_boxes(found, reference[images / line["path"]], where=line["path"])
        assert [box.confidence for box in found] == sorted((box.confidence for box in found), reverse=True)


def test_the_runtime_chosen_by_itself_gives_ultralytics_boxes_too(
    weights: Path, photos: list[Path], reference: dict[Path, tuple[Detection, ...]]
) -> None:
    outcomes, _ = run(*photos, model=str(weights), runtime="auto", workers=2, ordered=True)
    for path, outcome in zip(photos, outcomes, strict=True):
        assert_same_boxes(outcome.detections, reference[path], where=str(path))


@pytest.mark.parametrize(
    ("mode", "workers"),
    [(mode, workers) for mode in MODES for workers in (1, 2, 4) if mode == "thread" or workers == 2] + [("process", 4)],
)
def test_projections_are_the_same_bytes_whatever_the_mode_and_the_workers(
    mode: str, workers: int, run_of: Callable, photos: list[Path]
) -> None:
    expected = projections(run_of("thread", 1)[0])
    assert len(expected) == 2 * len(photos) + 2
    assert projections(run_of(mode, workers)[0]) == expected


def test_a_batch_changes_float_noise_alone(run_of: Callable) -> None:
    alone = {line["path"]: line for line in records(run_of("thread", 1)[0] / "results.jsonl")}
    batched = {line["path"]: line for line in records(run_of("locked", 2, batch=4)[0] / "results.jsonl")}
    assert alone.keys() == batched.keys()
    for path, line in alone.items():
        assert (line["width"], line["height"]) == (batched[path]["width"], batched[path]["height"])
        assert_same_boxes(
            map(Detection.from_dict, batched[path]["detections"]),
            map(Detection.from_dict, line["detections"]),
            pixels=0.02,
            confidence=2e-4,
            where=path,
        )


@every_mode
def test_bad_images_are_accounted_for_and_touch_no_other(
    mode: str, run_of: Callable, weights: Path, images: Path, open_folder: Path
) -> None:
    good = {str(path.relative_to(images)): path for path in sorted(images.rglob("*.jpg"))[:4]}
    for number, (name, path) in enumerate(good.items()):
        target = open_folder / f"{number}" / name
        target.parent.mkdir(parents=True)
        target.write_bytes(path.read_bytes())
    for name, (data, _, _) in BAD.items():
        (open_folder / "2" / name).write_bytes(data())
    os.mkfifo(open_folder / "1/fifo.jpg")
    (open_folder / "1/dangling.png").symlink_to("nowhere")
    expected = {f"2/{name}": (stage, kinds) for name, (_, stage, kinds) in BAD.items()}
    expected |= {"1/fifo.jpg": ("read", {"NotAFile"}), "1/dangling.png": ("read", {"FileNotFoundError"})}

    outcomes, this = run(
        open_folder, model=str(weights), mode=mode, workers=2, batch=3, threads=1, output=open_folder / "out"
    )
    assert this.summary.exit_code == ExitCode.SOME_FAILED
    assert (this.summary.images, this.summary.failures) == (4, len(expected))
    lines = {line["path"]: line for line in records(open_folder / "out/results.jsonl")}
    assert len(outcomes) == len(lines) == 4 + len(expected)
    for path, (stage, kinds) in expected.items():
        assert (lines[path]["stage"], lines[path]["error"] in kinds) == (stage, True), lines[path]
    assert {line["path"] for line in records(open_folder / "out/failures.jsonl")} == set(expected)
    alone = {line["path"]: line for line in records(run_of("thread", 1)[0] / "results.jsonl")}
    for number, name in enumerate(good):
        assert_same_boxes(
            map(Detection.from_dict, lines[f"{number}/{name}"]["detections"]),
            map(Detection.from_dict, alone[name]["detections"]),
            pixels=0.02,
            confidence=2e-4,
        )


@every_mode
def test_the_summary_adds_up(mode: str, run_of: Callable, photos: list[Path]) -> None:
    _, summary, outcomes = run_of(mode, 2)
    assert summary.images == len(outcomes) == len(photos)
    assert summary.detections == sum(len(outcome.detections) for outcome in outcomes) == sum(summary.classes.values())
    assert all(summary.stages[stage] > 0 for stage in ("read", "decode", "prepare", "infer", "post", "write"))
    assert summary.wall_seconds > 0
    assert summary.load_seconds > 0
    assert summary.peak_memory_bytes > 50 << 20
    assert "cpu" in summary.runtime or "cuda" in summary.runtime


@every_mode
def test_a_crew_says_what_its_model_knows(mode: str, weights: Path) -> None:
    with Crew(executor(YoloLoader(), "x", model=str(weights), mode=mode), 1) as crew:
        loaded = crew.load()
        assert loaded is not None
        assert loaded.names == detector(weights, runtime="torch").names != {}


@every_mode
@pytest.mark.parametrize("defect", ["text", "unknown class"])
def test_a_model_that_cannot_be_used_ends_the_run_before_any_image(
    mode: str, defect: str, weights: Path, tmp_path: Path
) -> None:
    write_image(tmp_path / "a.jpg")
    (tmp_path / "no.pt").write_text("no checkpoint")
    if defect == "text":
        with pytest.raises(ModelError, match=r"no\.pt"):
            run(tmp_path, model=str(tmp_path / "no.pt"), mode=mode, workers=2)
    else:
        with pytest.raises(UsageError, match=r"--classes unicorn: "):
            run(tmp_path, model=str(weights), mode=mode, workers=2, classes=("unicorn",))


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "ray"])
def test_workers_have_the_environment_of_now(mode: str, many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a store is may stand in it, and the server that forks children outlives a run."""
    for told in ("one", "two"):
        monkeypatch.setenv("YOLOCLI_TEST_TOLD", told)
        with pytest.raises(ModelError, match=f"told: {told}"):
            run(many, loader=fakes.TellingLoader(), mode=mode, workers=1)


def test_locked_mode_does_not_try_again_what_cannot_be_loaded(tmp_path: Path) -> None:
    write_image(tmp_path / "in/a.jpg")
    tried: list[object] = []

    class Loader(fakes.FakeLoader):
        def load(self, prepared: Prepared) -> fakes.FakeDetector:
            tried.append(prepared)
            raise ModelError("no")

    with pytest.raises(ModelError, match="no"):
        run(tmp_path, mode="locked", workers=8, loader=Loader())
    assert len(tried) == 1


def test_a_model_that_cannot_be_used_does_not_cost_the_results_that_were_to_be_overwritten(
    weights: Path, tmp_path: Path
) -> None:
    write_image(tmp_path / "in/a.jpg")
    output = tmp_path / "out"
    run(tmp_path / "in", model=str(weights), workers=1, output=output)
    before = (output / "results.jsonl").read_bytes()
    with pytest.raises(UsageError, match="unicorn"):
        run(tmp_path / "in", model=str(weights), workers=1, output=output, overwrite=True, classes=("unicorn",))
    assert (output / "results.jsonl").read_bytes() == before


# What lies around the network


def _opened(items: Iterable[Item], batch: int, workers: int) -> Feed[Item]:
    feed = Feed(items)
    feed.open(batch, workers)
    return feed


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Forty hard links to one small image."""
    write_image(tmp_path / "in/000.png")
    for number in range(1, 40):
        os.link(tmp_path / "in/000.png", tmp_path / f"in/{number:03}.png")
    return tmp_path / "in"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()


@every_mode
@pytest.mark.usefixtures("faked")
@pytest.mark.parametrize("batch", [1, 3])
def test_ordered_output_is_in_input_order(mode: str, batch: int, many: Path) -> None:
    outcomes, _ = run(many, mode=mode, workers=3, batch=batch, ordered=True)
    assert [outcome.path for outcome in outcomes] == [f"{number:03}.png" for number in range(40)]


@pytest.mark.parametrize("mode", ["thread"])
def test_unordered_output_comes_as_images_end(
    mode: str, faked: list[fakes.FakeDetector], many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first image waits for the last: in order this would never end, so here nothing may wait for the first."""
    others = threading.Semaphore(0)
    plain = fakes.FakeDetector.prepare
    first_taken = threading.Event()

    def prepare(self: fakes.FakeDetector, pixels: object) -> object:
        if not first_taken.is_set():
            first_taken.set()
            assert all(others.acquire(timeout=20) for _ in range(20))
        return plain(self, pixels)  # type: ignore[arg-type]

    monkeypatch.setattr(fakes.FakeDetector, "prepare", prepare)
    outcomes: list[str] = []
    for outcome in Run(run_config(many, mode=mode, workers=2)):
        outcomes.append(outcome.path)
        others.release()
    assert sorted(outcomes) != outcomes
    assert len(set(outcomes)) == 40


@every_mode
@pytest.mark.usefixtures("faked")
@pytest.mark.parametrize("ordered", [False, True])
def test_no_more_than_a_window_is_pulled_ahead(mode: str, ordered: bool, many: Path) -> None:
    workers, batch = 2, 2
    chunk = chunk_size(batch)
    window, total = workers * chunk * AHEAD, 4 * workers * chunk * AHEAD
    pulled = 0

    def refs() -> Iterator[ImageRef]:
        nonlocal pulled
        for number in range(total):
            pulled += 1
            yield ImageRef(f"{number}.png", str(many / "000.png"))

    ahead = []
    with Crew(executor(fakes.FakeLoader(), many, mode=mode, workers=workers, batch=batch), workers) as crew:
        crew.load()
        done = 0
        for _ in crew.run(_opened(refs(), batch, workers), ordered=ordered):
            if done in {0, total // 2}:  # a slow consumer: the workers run ahead as far as they may
                deadline = time.monotonic() + 0.3
                while time.monotonic() < deadline:
                    time.sleep(0.02)
            ahead.append(pulled - done)
            done += 1
    assert done == total
    assert max(ahead) <= window
    assert max(ahead) > window - 2 * chunk, "the workers never ran ahead: this test has seen nothing"


@every_mode
def test_work_starts_before_the_list_of_images_ends(mode: str, faked: list[fakes.FakeDetector], many: Path) -> None:
    """The walk goes on only after an outcome has come out."""
    go_on = threading.Event()

    def refs() -> Iterator[ImageRef]:
        yield ImageRef("0.png", str(many / "000.png"))
        assert go_on.wait(20), "nothing came out before the walk ended"
        yield ImageRef("1.png", str(many / "000.png"))

    with Crew(executor(fakes.FakeLoader(), many, mode=mode), 2) as crew:
        crew.load()
        outcomes = []
        for outcome in crew.run(_opened(refs(), 1, 2)):
            outcomes.append(outcome)
            go_on.set()
    assert len(outcomes) == 2


@every_mode
@pytest.mark.usefixtures("faked")
def test_one_poisoned_image_costs_its_batch_nothing_but_itself(mode: str, many: Path) -> None:
    bad = {"000.png", "007.png", "013.png", "014.png", "039.png"}
    for name in bad:
        (many / name).unlink()
        write_image(many / name, value=fakes.POISONED)
    outcomes, _ = run(many, mode=mode, workers=2, batch=8)
    failures = {outcome.path: outcome for outcome in outcomes if isinstance(outcome, ImageFailure)}
    assert failures.keys() == bad
    assert {(failure.stage, failure.error, failure.message) for failure in failures.values()} == {
        ("infer", "RuntimeError", "poisoned")
    }
    assert len(outcomes) == 40


@every_mode
@pytest.mark.usefixtures("faked")
@pytest.mark.parametrize("batch", [1, 4])
def test_a_network_that_fails_on_everything_is_the_failure_of_the_run(mode: str, batch: int, many: Path) -> None:
    with pytest.raises(
        ModelError, match=r"^fake\.pt: the network fails on a blank image, too: no kernel for this CPU; "
    ):
        run(many, mode=mode, workers=2, batch=batch, classes=(fakes.BROKEN,))


@every_mode
@pytest.mark.usefixtures("faked")
@pytest.mark.parametrize("batch", [1, 4])
def test_a_shape_that_cannot_be_compiled_is_the_failure_of_its_images(mode: str, batch: int, many: Path) -> None:
    odd = {"000.png", "013.png", "014.png"}
    for name in odd:
        (many / name).unlink()
        write_image(many / name, width=fakes.ODD_WIDTH)
    outcomes, _ = run(many, mode=mode, workers=2, batch=batch)
    failures = {outcome.path: outcome for outcome in outcomes if isinstance(outcome, ImageFailure)}
    assert failures.keys() == odd
    assert {(failure.stage, failure.message) for failure in failures.values()} == {
        ("infer", "cannot compile the model")
    }
    assert len(outcomes) == 40


@pytest.mark.parametrize("mode", ["process", "ray"])
@pytest.mark.usefixtures("faked")
def test_a_network_that_ends_its_process_on_everything_is_the_failure_of_the_run(mode: str, many: Path) -> None:
    with pytest.raises(ModelError, match=r"^fake\.pt: the worker process dies of a blank image, too"):
        run(many, mode=mode, workers=1, classes=(fakes.CRASHING,))


def test_memory_that_is_short_for_a_moment_costs_no_image(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")

    class Short(fakes.FakeDetector):
        def infer(self, batch: Sequence[Canvas]) -> list[Raw]:
            self.batches.append(len(batch))
            if len(self.batches) == 1:
                raise RuntimeError("CUDA out of memory")
            return super().infer(batch)

    (outcome,) = detect_images(Short(), [ImageRef("a.png", str(tmp_path / "a.png"))], batch=1, max_pixels=10**6)
    assert outcome.status == "ok"


def test_images_of_one_shape_share_a_batch_and_others_do_not(
    many: Path, fake_detectors: list[fakes.FakeDetector]
) -> None:
    others = (0, 5, 6)
    for number in others:
        (many / f"{number:03}.png").unlink()
        write_image(many / f"{number:03}.png", 30, 20)
    run(many, workers=1, batch=2)
    batches = fake_detectors[0].batches
    assert sum(batches) == 40
    assert max(batches) == 2
    chunk = chunk_size(2)
    alike = [chunk - sum(start <= number < start + chunk for number in others) for start in range(0, 40, chunk)]
    assert len(batches) == sum(-(-len_ // 2) for same in alike for len_ in (same, chunk - same))


@every_mode
@pytest.mark.usefixtures("faked")
def test_a_run_that_is_abandoned_leaves_no_thread(mode: str, many: Path) -> None:
    walk = iter(Run(run_config(many, mode=mode, workers=2)))
    next(walk)
    walk.close()  # type: ignore[attr-defined]
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("yolocli-worker")]


@pytest.mark.usefixtures("fake_detectors")
def test_a_run_that_has_run_says_so_and_keeps_its_summary(many: Path) -> None:
    _, this = run(many, workers=2)
    with pytest.raises(RuntimeError, match="a Run runs once"):
        next(iter(this))
    assert this.summary.images == 40


# How many workers


class Notices(Observer):
    """Keeps what a run says."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def notice(self, message: str) -> None:
        self.said.append(message)


def _few(folder: Path, count: int) -> Path:
    for number in range(count):
        write_image(folder / f"in/{number}.png")
    return folder / "in"


@every_mode
@pytest.mark.usefixtures("faked")
@pytest.mark.parametrize("overwrite", [False, True])
def test_there_are_no_more_workers_than_images(mode: str, overwrite: bool, tmp_path: Path) -> None:
    notices = Notices()
    inputs = _few(tmp_path, 3)
    this = Run(run_config(inputs, mode=mode, workers=50, output=tmp_path / "out", overwrite=overwrite), [notices])
    assert len(list(this)) == 3
    assert this.summary.workers == 3
    assert notices.said == ["50 workers wanted, 3 images: no more than 3 at work"]


def test_nothing_is_said_of_workers_that_nobody_asked_for(
    fake_detectors: list[fakes.FakeDetector], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yolocli.executors.settle.usable_cpus", lambda: 8)
    notices = Notices()
    this = Run(run_config(_few(tmp_path, 3)), [notices])
    assert len(list(this)) == 3
    assert (this.summary.workers, len(fake_detectors), notices.said) == (3, 3, [])


def test_a_list_that_trickles_in_is_the_work_of_one_worker(many: Path) -> None:
    more = threading.Semaphore(1)

    def refs() -> Iterator[ImageRef]:
        for number in range(10):
            assert more.acquire(timeout=20)
            yield ImageRef(f"{number}.png", str(many / "000.png"))

    feed = Feed(refs(), 8)
    feed.wait(8)
    assert (feed.seen, feed.whole) == (1, False)
    loader = fakes.FakeLoader()
    with Crew(executor(loader, many), 8) as crew:
        crew.load(feed.seen)
        feed.open(1, 8)
        for _ in crew.run(feed):
            more.release()
    assert crew.workers == len(loader.made) == 1


@every_mode
def test_workers_are_added_while_work_waits(mode: str, many: Path) -> None:
    refs = [ImageRef(f"{number}.png", str(many / "000.png")) for number in range(40)]
    delay = 0.3 if mode == "ray" else 0.05  # an actor is longer in coming, and one that came for nothing is not counted
    with Crew(executor(fakes.FakeLoader(delay), many, mode=mode), 3) as crew:
        crew.load(1)
        assert crew.workers == 1
        assert len(list(crew.run(_opened(refs, 1, 3)))) == 40
        assert crew.workers == 3


@every_mode
def test_a_worker_that_cannot_join_leaves_its_part_to_the_others(mode: str, many: Path) -> None:
    refs = [ImageRef(f"{number}.png", str(many / "000.png")) for number in range(40)]

    def one_worker_alone() -> Executor:
        one = executor(fakes.FakeLoader(), many, mode=mode)
        plain = one.open_worker

        def open_worker(slot: int) -> Worker:
            if slot:
                raise ModelError("there is no memory for one more")
            return plain(slot)

        one.open_worker = open_worker  # type: ignore[method-assign]
        return one

    said: list[str] = []
    with Crew(one_worker_alone(), 3, said.append) as crew:
        crew.load(1)
        assert len(list(crew.run(_opened(refs, 1, 3)))) == 40
    assert crew.workers == 1
    assert set(said) == {"one more worker could not be started: there is no memory for one more"}
    with Crew(one_worker_alone(), 3) as crew, pytest.raises(ModelError, match="no memory"):
        crew.load()


@pytest.mark.parametrize(("left", "most"), [(900, 2 + 450 // 150), (1100, 2 + 550 // (WORKER_BYTES >> 20)), (None, 50)])
def test_there_are_no_more_workers_than_memory_for_their_models(
    left: int | None, most: int, many: Path, fake_detectors: list[fakes.FakeDetector], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two models take what the machine has less when they are loaded; half of the rest is for more of them."""
    monkeypatch.setattr("yolocli.executors.crew.usable_cpus", lambda: 1)
    monkeypatch.setattr("yolocli.executors.crew.AT_ONCE", 2)
    monkeypatch.setattr("yolocli.executors.crew.available_memory", lambda: memory and next(memory) << 20)
    memory = None if left is None else iter([1200, left])
    notices = Notices()
    this = Run(run_config(many, workers=50, output=None), [notices])
    assert len(list(this)) == 40
    assert this.summary.workers <= most
    if left is None:
        assert notices.said == ["50 workers wanted, 40 images: no more than 40 at work"]
    else:
        assert notices.said == [f"50 workers wanted, memory for {most}: no more than {most} at work"]


@every_mode
def test_a_stop_while_models_load_waits_for_no_more_than_those_that_have_begun(
    mode: str, many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes.install(monkeypatch)
    monkeypatch.setattr("yolocli.executors.crew.usable_cpus", lambda: 2)
    begun: list[int] = []
    busy = executor(fakes.FakeLoader(), many, mode=mode)
    plain = busy.open_worker

    def open_worker(slot: int) -> Worker:
        begun.append(slot)
        this.stop(ExitCode.TERMINATED)
        return plain(slot)

    monkeypatch.setattr(busy, "open_worker", open_worker)
    monkeypatch.setattr("yolocli.pipeline.make_executor", lambda mode, spec: busy)
    this = Run(run_config(many, mode=mode, workers=30))
    assert list(this) == []
    assert this.summary.exit_code == ExitCode.TERMINATED
    assert not this.summary.complete
    assert len(begun) <= (busy.most or AT_ONCE)


# Processes


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def _all_end(pids: set[int]) -> bool:
    """Tells whether processes are gone; actors are told to go, and go a moment later."""
    return wait_until(lambda: not any(map(_alive, pids)), 10)


def _pids(outcomes: list[Outcome]) -> set[int]:
    return {int(outcome.detections[0].name.split()[1]) for outcome in outcomes if isinstance(outcome, ImageResult)}


@pytest.mark.parametrize("mode", ["process", "ray"])
@pytest.mark.usefixtures("faked")
def test_workers_are_processes_and_none_outlives_the_run(mode: str, many: Path) -> None:
    outcomes, _ = run(many, mode=mode, workers=2)
    pids = _pids(outcomes)
    assert os.getpid() not in pids
    assert 1 <= len(pids) <= 2
    assert _all_end(pids) if mode == "ray" else not [pid for pid in pids if _alive(pid)]


@pytest.mark.parametrize("mode", ["process", "ray"])
@pytest.mark.usefixtures("faked")
def test_a_worker_that_is_killed_costs_no_image(mode: str, many: Path) -> None:
    outcomes: list[Outcome] = []
    for outcome in Run(run_config(many, mode=mode, workers=2)):
        outcomes.append(outcome)
        if len(outcomes) == 5:
            os.kill(_pids([outcome]).pop(), signal.SIGKILL)
    assert sorted(outcome.path for outcome in outcomes) == [f"{number:03}.png" for number in range(40)]
    assert {outcome.status for outcome in outcomes} == {"ok"}
    assert len(_pids(outcomes)) >= 2
    pids = _pids(outcomes)
    assert _all_end(pids) if mode == "ray" else not [pid for pid in pids if _alive(pid)]


@pytest.mark.parametrize("mode", ["process", "ray"])
@pytest.mark.usefixtures("faked")
def test_an_image_that_kills_its_worker_is_a_failure_and_its_chunk_is_saved(mode: str, many: Path) -> None:
    (many / "007.png").unlink()
    write_image(many / "007.png", value=fakes.DEADLY)
    outcomes, this = run(many, mode=mode, workers=2, batch=4)
    failures = [outcome for outcome in outcomes if isinstance(outcome, ImageFailure)]
    assert [(failure.path, failure.stage, failure.error) for failure in failures] == [
        ("007.png", "worker", "WorkerDied")
    ]
    assert len(outcomes) == 40
    assert this.summary.exit_code == ExitCode.SOME_FAILED


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["process", "ray"])
@pytest.mark.usefixtures("faked")
def test_the_limit_of_time_is_an_images_and_not_its_chunks(mode: str, many: Path) -> None:
    for name in ("007.png", "008.png"):
        (many / name).unlink()
    write_image(many / "007.png", value=fakes.SLOW)
    limits = Limits(timeout=fakes.SLOW_SECONDS / 4)  # a chunk of eight would have twice what the image takes
    outcomes, this = run(many, mode=mode, workers=2, batch=4, limits=limits)
    assert [(outcome.path, outcome.error) for outcome in outcomes if isinstance(outcome, ImageFailure)] == [
        ("007.png", "Timeout")
    ]
    assert len(outcomes) == 39
    assert this.summary.batch == 1


LIMITED = """
import resource, sys
from yolocli.__main__ import main
limit = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
main()
"""


def run_with_descriptors(limit: int, folder: Path) -> subprocess.CompletedProcess[str]:
    words = ["detect", str(folder), "--model", "builtin", "--mode", "process", "--workers", "20", "--stdout"]
    return subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit), *words],
        capture_output=True,
        text=True,
        env=clean_environment(),
        timeout=120,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="no limit of descriptors")
@pytest.mark.parametrize("limit", [12, 18])
def test_too_few_file_descriptors_for_worker_processes_are_said(limit: int, many: Path) -> None:
    done = run_with_descriptors(limit, many)
    assert done.returncode == ExitCode.RUN_FAILED
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1] == (
        "yolocli: worker processes cannot be started: Too many open files; raise the limit (ulimit -n), or use fewer "
        "--workers or --mode thread"
    )


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="no limit of descriptors")
def test_descriptors_for_some_worker_processes_are_enough(many: Path) -> None:
    done = run_with_descriptors(40, many)
    assert done.returncode == ExitCode.OK, done.stderr
    assert len(done.stdout.splitlines()) == 40


@pytest.mark.usefixtures("fake_detectors")
def test_no_shared_memory_is_needed(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("multiprocessing.synchronize._multiprocessing.SemLock", refuse)
    assert len(run(many, mode="process", workers=1)[0]) == 40
