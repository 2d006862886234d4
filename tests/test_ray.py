"""Ray mode on a cluster of three nodes that loses nodes, actors and its driver."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, cast

import pytest

import yolocli
from tests import fakes
from tests.ray_nodes import Nodes, wait_until
from tests.support import REPOSITORY, clean_environment, projections, records, run, run_config, write_image
from tests.test_modes import Notices
from yolocli.builtin import WEIGHTS
from yolocli.config import DetectorConfig
from yolocli.errors import ExitCode, ModelError, UsageError, WorkerError
from yolocli.executors import ray as ray_mode
from yolocli.executors.base import Loaded, WorkerSpec
from yolocli.executors.colleagues import Colleagues
from yolocli.executors.mortal import DiedError, ExpiredError
from yolocli.executors.ray import RayWorker
from yolocli.executors.ray_actor import Place, installed_version, own_detector
from yolocli.executors.ray_cluster import Connection
from yolocli.images.letterbox import Canvas
from yolocli.parsing import parse_resources, parse_workers
from yolocli.pipeline import Run
from yolocli.results import Detection, Findings, ImageFailure, ImageRef, ImageResult, Outcome
from yolocli.runtimes.choose import prepare_again
from yolocli.runtimes.plan import Prepared
from yolocli.tasks.base import Raw

slow = pytest.mark.slow
COUNT = 120
HTTP2 = b"\0\0\0\4\0\0\0\0\0"
"""What a server of HTTP/2 begins with, and so one of gRPC."""
A_NODE_EACH: dict[str, Any] = {"mode": "ray", "ray_resources": (("cpu", 4.0),)}


class Detector(fakes.FakeDetector):
    """Finds the same in every process."""

    def finish(self, found: Sequence[Raw], canvases: Sequence[Canvas]) -> Findings:
        return Findings((Detection("thing", 0, 0.5, (0, 0, canvases[0].width, canvases[0].height)),))


class Loader(fakes.FakeLoader):
    def load(self, prepared: Prepared) -> Detector:
        return Detector(prepared.asked, self.delay)


class BlindLoader(fakes.FakeLoader):
    """Has no file be there for workers on some nodes, those that its digest names."""

    def load(self, prepared: Prepared) -> fakes.FakeDetector:
        import ray

        if ray.get_runtime_context().get_node_id() in self.digest:
            from yolocli.sources.disk import Disk

            def read(*arguments: object, **options: object) -> bytes:
                raise FileNotFoundError(2, "No such file or directory")

            Disk.read = read  # type: ignore[method-assign]
        return super().load(prepared)


@pytest.fixture
def cluster(ray_cluster: Nodes) -> Nodes:
    """Three nodes with nobody on them."""
    assert wait_until(lambda: not ray_cluster.actors())
    while len(ray_cluster.added) < 2:
        ray_cluster.add()
    assert wait_until(lambda: ray_cluster.alive() == 3)
    return ray_cluster


@pytest.fixture
def many(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    write_image(tmp_path / "in/000.png")
    for number in range(1, COUNT):
        os.link(tmp_path / "in/000.png", tmp_path / f"in/{number:03}.png")
    return tmp_path / "in"


@slow
def test_nodes_and_actors_that_die_cost_no_image_and_no_word(
    cluster: Nodes, many: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (many / "077.png").unlink()
    write_image(many / "077.png", value=fakes.DEADLY)
    expected = tmp_path / "expected"
    run(many, loader=Loader(), workers=1, output=expected, exclude=("077.png",))

    over = threading.Event()
    killed: list[int] = []

    def kill() -> None:
        while not over.wait(2):
            for pid in cluster.actors()[:1]:
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)

    outcomes: list[Outcome] = []
    this = Run(run_config(many, **A_NODE_EACH, output=tmp_path / "out"), loader=Loader(0.3))
    for outcome in this:
        outcomes.append(outcome)
        if len(outcomes) == 10:
            cluster.kill(cluster.added[-1])
            killer = threading.Thread(target=kill)
            killer.start()
    over.set()
    killer.join()
    assert len(killed) >= 3
    assert this.summary.workers == 3
    assert capfd.readouterr() == ("", "")
    failures = [(outcome.path, outcome.error) for outcome in outcomes if isinstance(outcome, ImageFailure)]
    assert failures == [("077.png", "WorkerDied")]
    assert len(outcomes) == len({outcome.path for outcome in outcomes}) == COUNT
    assert len(records(tmp_path / "out/results.jsonl")) == COUNT
    found = projections(tmp_path / "out", "json")
    del found["json/077.png.json"]
    assert found == projections(expected, "json")
    assert wait_until(lambda: not cluster.actors())


@slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=str)
def test_a_driver_that_is_stopped_or_killed_leaves_no_actor_and_goes_on(
    cluster: Nodes, number: signal.Signals, images: Path, tmp_path: Path
) -> None:
    words = [sys.executable, "-m", "yolocli", "detect", str(images), "-m", "builtin", "--mode", "ray", "-q", "--stdout"]
    words += ["--ray-resources", "cpu=4", "-o", str(tmp_path / "out")]
    environment = clean_environment()
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "bufsize": 0}
    driver = subprocess.Popen(words, env=environment, start_new_session=True, **pipes)
    assert driver.stdout is not None
    first = driver.stdout.readline()
    assert json.loads(first)["schema"] == 1
    assert cluster.actors()
    (os.kill if number == signal.SIGKILL else os.killpg)(driver.pid, number)
    rest, said = driver.communicate(timeout=60)
    codes = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED}
    assert (driver.returncode, said) == (codes.get(number, -signal.SIGKILL), b"")
    done = [json.loads(line)["path"] for line in [first, *rest.splitlines()]]
    assert wait_until(lambda: not cluster.actors())

    again = subprocess.run(words, capture_output=True, env=environment, timeout=120, check=False)
    assert (again.returncode, again.stderr) == (ExitCode.OK, b"")
    done += [json.loads(line)["path"] for line in again.stdout.splitlines()]
    assert sorted(done) == sorted(str(path.relative_to(images)) for path in images.rglob("*.jpg"))
    run(images, model="builtin", runtime="auto", threads=1, output=tmp_path / "expected")
    assert projections(tmp_path / "out") == projections(tmp_path / "expected")


@slow
def test_what_a_node_does_not_see_is_read_on_another_and_said_once(cluster: Nodes, many: Path) -> None:
    ids = [cluster.id_of(node) for node in (*cluster.added, cluster.head)]
    notices = Notices()
    outcomes = list(
        Run(run_config(many, **A_NODE_EACH, workers=3, least_workers=3), [notices], BlindLoader(0.02, ids[0]))
    )
    assert len(outcomes) == COUNT
    assert {outcome.status for outcome in outcomes} == {"ok"}
    (said,) = notices.said
    assert f"does not see {many}" in said

    notices = Notices()
    outcomes = list(
        Run(
            run_config(many, **A_NODE_EACH, workers=3, least_workers=3, batch=8),
            [notices],
            BlindLoader(0, " ".join(ids)),
        )
    )
    assert {(outcome.stage, outcome.error) for outcome in outcomes if isinstance(outcome, ImageFailure)} == {
        ("read", "FileNotFoundError")
    }
    assert len(outcomes) == COUNT
    assert 1 <= len(notices.said) <= 3


@slow
def test_a_run_begins_with_what_there_is_room_for_and_grows_with_the_cluster(
    cluster: Nodes, many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yolocli.executors.crew.PLACE_SECONDS", 0.5)
    monkeypatch.setattr(ray_mode, "ROOM_SECONDS", 1.0)
    cluster.kill(cluster.added[-1])
    assert wait_until(lambda: cluster.alive() == 2)
    pids: list[set[str]] = [set(), set()]
    notices = Notices()
    this = Run(run_config(many, **A_NODE_EACH, workers=9, least_workers=2), [notices], fakes.FakeLoader(0.4))
    for done, outcome in enumerate(this):
        assert isinstance(outcome, ImageResult)
        pids[done >= 20].add(outcome.detections[0].name)
        if done == 20:
            cluster.add()
    assert (len(pids[0]), len(pids[1])) == (2, 3)
    assert this.summary.workers == 3
    (said,) = notices.said
    assert said.startswith("waiting for room: a worker holds 4 CPU, and the cluster has 8 CPU")


TWICE = """
import sys, yolocli
if __name__ == "__main__":
    for _ in range(2):
        outcomes = list(yolocli.detect(sys.argv[1], model="builtin", mode="ray", workers=2))
        print(len(outcomes), sum(outcome.status == "ok" for outcome in outcomes))
"""


@slow
def test_without_an_address_a_ray_is_started_and_ended(many: Path, tmp_path: Path) -> None:
    """By two calls in one process, which leave no warning, no word and no file."""
    pytest.importorskip("ray")
    (tmp_path / "script.py").write_text(TWICE)
    with TemporaryDirectory(prefix="y") as folder:  # sockets must not have long names
        environment = clean_environment(TMPDIR=folder, PYTHONPATH=str(REPOSITORY))
        environment.pop("RAY_ADDRESS", None)
        command = [sys.executable, "-W", "error", str(tmp_path / "script.py"), str(many)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=200, check=False)
        assert (done.returncode, done.stdout.split(), done.stderr) == (0, 2 * [str(COUNT), str(COUNT)], "")
        assert os.listdir(folder) == []


def test_without_the_extra_it_is_named(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yolocli.executors.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"--mode ray needs a package: pip install '\.\[ray\]'"):
        run(many, mode="ray", loader=fakes.FakeLoader())


@pytest.mark.parametrize(
    "options",
    [{"workers": "2..8"}, {"ray_address": "auto"}, {"ray_resources": {"cpu": 2}}],
    ids=lambda given: next(iter(given)),
)
def test_other_modes_refuse_what_is_for_clusters(options: dict[str, Any], many: Path) -> None:
    with pytest.raises(UsageError, match=r"^--workers MIN\.\.MAX, --ray-address and --ray-resources need --mode ray$"):
        yolocli.detect(many, model="builtin", **options)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("8", (0, 8)), ("2..8", (2, 8)), ("0", (0, 0)), ("0..8", None), ("8..2", None), ("2..", None)],
)
def test_workers_are_a_number_or_a_least_and_a_most(text: str, expected: tuple[int, int] | None) -> None:
    if expected is not None:
        assert parse_workers(text) == expected
        return
    with pytest.raises(UsageError, match=rf"--workers {re.escape(text)}: give a number, such as 8, or for ray mode"):
        parse_workers(text)


def test_resources_are_numbers_by_name() -> None:
    assert parse_resources("CPU=2, gpu=.25,Disk=1") == (("cpu", 2.0), ("gpu", 0.25), ("Disk", 1.0))
    for text in ("gpu", "gpu=", "gpu=x", "=1", "gpu=1,GPU=2", "gpu=-1"):
        with pytest.raises(UsageError, match="--ray-resources"):
            parse_resources(text)


@slow
def test_a_cluster_that_is_not_there_is_said(many: Path) -> None:
    pytest.importorskip("ray")
    with pytest.raises(WorkerError, match=r"^no connection to Ray at 127\.0\.0\.1:9: .*; check --ray-address"):
        run(many, mode="ray", ray_address="127.0.0.1:9", loader=fakes.FakeLoader())


@pytest.fixture
def deaf() -> Iterator[Callable[[bytes], str]]:
    """Starts a server that says something to whoever connects, and no more; its address."""
    with ExitStack() as stack:

        def start(said: bytes) -> str:
            server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def serve() -> None:
                with suppress(OSError):  # the server is closed
                    while True:
                        connection, _ = server.accept()
                        stack.enter_context(connection)
                        connection.sendall(said)

            threading.Thread(target=serve, daemon=True).start()
            return f"127.0.0.1:{server.getsockname()[1]}"

        yield start


def driver(address: str, images: Path) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "yolocli", "detect", str(images), "-m", "builtin", "--mode", "ray", "-q"]
    return subprocess.Popen([*words, "--ray-address", address], stderr=subprocess.PIPE, env=clean_environment())


@slow
@pytest.mark.parametrize("said", [b"HTTP/1.1 505 Not Supported\r\n\r\n", HTTP2], ids=["web server", "HTTP/2"])
def test_what_answers_and_is_not_ray_is_said(said: bytes, deaf: Callable[[bytes], str], many: Path) -> None:
    pytest.importorskip("ray")
    address = deaf(said)
    with driver(address, many) as running:
        _, error = running.communicate(timeout=60)
    assert running.returncode == ExitCode.RUN_FAILED
    assert error.startswith(f"yolocli: no connection to Ray at {address}: what answers there is not Ray".encode())
    assert b"6379" in error
    assert error.count(b"\n") == 1


@slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=str)
def test_a_signal_ends_the_wait_for_a_cluster(number: signal.Signals, deaf: Callable[[bytes], str], many: Path) -> None:
    pytest.importorskip("ray")
    with driver(deaf(HTTP2), many) as running:
        time.sleep(8)  # it waits by then
        running.send_signal(number)
        _, error = running.communicate(timeout=8)
    codes = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED}
    assert (running.returncode, error) == (codes[number], b"")


@slow
@pytest.mark.parametrize("name", ["gpu", "memory"])
def test_resources_that_ray_does_not_take_are_refused(cluster: Nodes, many: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"^--ray-resources: (GPU resource|The resources) .* "):
        run(many, mode="ray", ray_resources=((name, 1.5),), loader=fakes.FakeLoader())


class NoPlace:
    """A cluster that has a place for the first actor alone, which then dies."""

    holds = "1 CPU"

    def __init__(self) -> None:
        self.started = 0

    def has(self) -> str:
        return "1 CPU"

    def start(self) -> Any:
        self.started = number = self.started + 1
        answer = SimpleNamespace(remote=lambda call: (number, call))
        return SimpleNamespace(place=SimpleNamespace(remote=lambda: number), answer=answer)

    def end(self, actor: Any) -> None: ...

    def wait(self, promise: Any, seconds: float | None = None) -> Any:
        if promise == 1:
            return Place("a", "a", installed_version())
        if isinstance(promise, int):
            raise ExpiredError
        number, call = promise
        assert number == 1, "an actor without a place is asked"
        if pickle.loads(call)[0] is own_detector:
            return pickle.dumps((Loaded("", 1, {}, "detect"), None, None))
        raise DiedError


def test_a_worker_without_a_place_hands_its_chunk_on_and_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_mode, "ROOM_SECONDS", 0.1)
    loader = fakes.FakeLoader()
    spec = WorkerSpec(loader, loader.prepare(DetectorConfig(), (), None))
    item = ImageRef("a.png", "/a.png")
    done: list[Outcome] = [ImageResult(item, 1, 1, ())]
    colleagues = Colleagues(print)
    worker = RayWorker(spec, 0, cast("Connection", NoPlace()), colleagues)
    colleagues.join(cast("RayWorker", SimpleNamespace(node="b", lend_a_hand=lambda items, batch: ("b", done))))
    assert worker.detect([item], 1) == done
    assert worker.node == ""
    worker.expect([item])
    assert worker.detect([item], 1) == done
    assert worker.close() == 0


def test_a_model_is_looked_for_and_compared_where_it_is_to_run(tmp_path: Path) -> None:
    from tests.support import prepared

    here = prepared("builtin", runtime="torch")
    there = replace(here, model=tmp_path / "elsewhere/builtin.pt", threads=3, device="cpu")
    assert prepare_again(there) == replace(here, threads=3, device="cpu")
    other = tmp_path / "other.pt"
    other.write_bytes(WEIGHTS.read_bytes() + b"\0")
    with pytest.raises(ModelError, match=r"other\.pt: is another model here"):
        prepare_again(replace(here, model=other))
    gone = replace(here, plan=replace(here.plan, asked=replace(here.asked, model="/gone/best.pt")))
    with pytest.raises(ModelError, match=r"/gone/best\.pt: no such model"):
        prepare_again(replace(gone, model=Path("/gone/best.pt")))
