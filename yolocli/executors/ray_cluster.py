"""The connection to a Ray cluster: what there is room for, actors that are started there, and how they all end."""

from __future__ import annotations

import logging
import math
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from typing import Any

from yolocli.errors import UsageError, WorkerError
from yolocli.executors.base import WorkerSpec
from yolocli.executors.mortal import TICK_SECONDS, DiedError, ExpiredError, ticks
from yolocli.executors.owner import Owner
from yolocli.executors.ray_actor import Actor
from yolocli.machine.cpus import WORKERS_PER_GPU, usable_cpus
from yolocli.runtimes import find_engine

KNOCK_SECONDS = 5.0
"""How long a cluster has to answer at all."""
CONNECT_SECONDS = 30.0
"""How long Ray has to connect to one."""
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
"""What a client of gRPC, which Ray speaks, begins with: HTTP/2 and settings, none of them its own."""
SETTINGS = 4
"""What the server's first frame holds; its kind stands behind three bytes of its length."""
SLIP = "what answers there is not Ray; the port of its head is 6379, mostly, and 8265 that of its dashboard"
SILENT = logging.CRITICAL + 1
STORE_BYTES = 128 << 20
"""Of a Ray that is started here: what goes to and fro is paths and records."""
QUIET: Mapping[str, str] = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
    "RAY_DEDUP_LOGS_SKIP_REGEX": "^",
}
"""Set for Ray where nobody else did, before it is imported: it is to report nothing, to take the nodes' environments as
they are, to show an actor no GPU that it did not ask for, and to print nothing on our stdout when a worker dies."""
HANDED_ON = ("OPENCV_IO_MAX_IMAGE_PIXELS", "OPENCV_LOG_LEVEL")
"""Variables that libraries in an actor are to find as they are here."""


class Connection:
    """This process as the driver of a job on a cluster; when it ends, however it does, Ray ends its actors.

    Attributes:
        ended: No more is to be waited for.
    """

    def __init__(self, spec: WorkerSpec) -> None:
        """Connects, or starts a Ray on this machine.

        Raises:
            WorkerError: If that fails.
            UsageError: If no actor can hold what was asked for.
        """
        self._holds = _resources(spec)
        self._folder: str | None = None
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        self._connected = _connected()
        self.ended = False
        self._actors: list[Any] = []
        self._guard = threading.Lock()
        self._owner = Owner("yolocli-ray")
        self._address = spec.cluster.ray_address or os.environ.get("RAY_ADDRESS")
        if not self._connected:
            try:
                self._reach(spec)
            except BaseException:
                self.close()
                raise
        if self.ended:
            return
        import ray

        cpu, gpu, others = self._holds.get("CPU", 0), self._holds.get("GPU", 0), dict(self._holds)
        others.pop("CPU", None), others.pop("GPU", None)
        try:
            self._kind = ray.remote(
                num_cpus=cpu, num_gpus=gpu, resources=others, max_restarts=0, max_task_retries=0,
                scheduling_strategy="SPREAD",
            )(Actor)  # fmt: skip
        except ValueError as error:
            raise _refused(error) from error

    @property
    def holds(self) -> str:
        """What an actor holds, for people."""
        return ", ".join(f"{number:g} {name}" for name, number in self._holds.items()) or "nothing"

    def has(self) -> str:
        """Says what the cluster has of what an actor holds, for people."""
        import ray

        whole = ray.cluster_resources()
        return ", ".join(f"{whole.get(name, 0):g} {name}" for name in self._holds) or "nodes"

    def capacity(self) -> int:
        """Returns how many actors the nodes would hold, were they empty; none if the run has ended."""
        if self.ended:
            return 0
        import ray

        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        needs = {name: number for name, number in self._holds.items() if number}
        if not needs:
            return len(nodes)
        return sum(int(min(node.get(name, 0) / number for name, number in needs.items()) + 1e-9) for node in nodes)

    def start(self) -> Any:
        """Returns a new actor, which has to wait for a place, perhaps.

        Raises:
            WorkerError: If the run has ended.
            UsageError: If Ray takes no such resources.
        """
        environment = {name: os.environ[name] for name in HANDED_ON if name in os.environ}
        with self._guard:
            if self.ended:
                raise WorkerError("the run has ended")
            try:
                actor = self._kind.remote(environment)
            except ValueError as error:  # Ray looks at some of them only now
                raise _refused(error) from error
            self._actors.append(actor)
        return actor

    def end(self, actor: Any) -> None:
        """Ends an actor, whatever it does."""
        import ray

        with self._guard:
            if actor not in self._actors:  # it has ended, or never began; Ray would connect to somewhere to end it
                return
            self._actors.remove(actor)
        with suppress(Exception):  # it is dead, or Ray is
            ray.kill(actor, no_restart=True)

    def wait(self, answer: Any, seconds: float | None = None) -> Any:
        """Returns what a call of an actor gave.

        Args:
            answer: Ray's promise of it.
            seconds: The longest to wait; None for as long as the run lasts.

        Raises:
            DiedError: If the actor or its node is dead.
            ExpiredError: If it takes longer.
            WorkerError: If the run has ended.
        """
        import ray

        for tick in _forever() if seconds is None else ticks(seconds):
            if ray.wait([answer], timeout=tick)[0]:
                break
            if self.ended:
                raise WorkerError("the run has ended")
        else:
            raise ExpiredError
        try:
            return ray.get(answer)
        except ray.exceptions.RayError as error:
            raise DiedError(str(error)) from error

    def kill(self) -> None:
        """Ends all actors, and those that are about to start."""
        with self._guard:
            self.ended = True
            actors = list(self._actors)
        for actor in actors:
            self.end(actor)

    def close(self) -> None:
        """Disconnects; a Ray that was started here ends."""
        import ray

        stuck = self._address and self._owner.busy  # it tries to connect, for minutes: nothing is there
        if not self._connected and not stuck:
            self._owner.do(ray.shutdown).result()
        self._owner.end()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _reach(self, spec: WorkerSpec) -> None:
        """Waits until it is connected, or the run has ended.

        Raises:
            WorkerError: If nothing answers.
        """
        connected = self._owner.do(lambda: self._connect(spec))
        for tick in ticks(CONNECT_SECONDS) if self._address else _forever():
            if spec.stopped():
                self.ended = True
                return
            with suppress(FutureTimeoutError):
                connected.result(tick)
                return
        raise self._unreached(SLIP)

    def _connect(self, spec: WorkerSpec) -> None:
        """Connects, in the thread that calls it, which must live as long: with it, Linux ends what it has started."""
        import ray

        # a supervisor sends SIGTERM to the whole group; what is blocked when a process starts stays so
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        address = self._address
        common: dict[str, Any] = {"log_to_driver": False, "logging_level": SILENT, "job_config": _job_apart()}
        logging.getLogger("ray").setLevel(SILENT)
        try:
            if address:
                _knock(address)
                ray.init(address, **common)
                return
            self._folder = tempfile.mkdtemp(prefix="yolocli-ray-")
            ray.init(
                "local",
                num_cpus=max(usable_cpus(), math.ceil(spec.workers * self._holds["CPU"])),
                include_dashboard=False,
                object_store_memory=STORE_BYTES,
                _temp_dir=self._folder,
                _node_ip_address="127.0.0.1",
                **common,
            )
        except Exception as error:  # whatever it is, the way out is the same
            raise self._unreached(_first_line(error)) from error

    def _unreached(self, reason: str) -> WorkerError:
        place = f"no connection to Ray at {self._address}" if self._address else "Ray cannot be started here"
        return WorkerError(f"{place}: {reason}; check --ray-address, or use --mode process")


def _job_apart() -> Any:
    """Returns the settings of a job whose actors import nothing from the current folder, which may have another owner.

    Ray puts it first among the places that they import from, as they may be given functions of a script there.
    """
    from ray.job_config import JobConfig

    class Apart(JobConfig):  # type: ignore[misc, unused-ignore]
        def _runtime_env_has_working_dir(self) -> bool:
            """Says that they have a folder of their own, the one reason for which Ray leaves that one out."""
            return True

    return Apart()


def _knock(address: str) -> None:
    """Makes sure that somebody listens who speaks as Ray does, which tries for minutes, and says so from C++ each time.

    Raises:
        OSError: If nobody does.
    """
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if not colon or not port.isdecimal():
        return
    with socket.create_connection((host.strip("[]"), int(port)), KNOCK_SECONDS) as connection:
        if os.environ.get("RAY_USE_TLS", "0").lower() in {"1", "true"}:
            return
        connection.settimeout(KNOCK_SECONDS)
        connection.sendall(PREFACE)
        answer = connection.makefile("rb").read(4)
    if len(answer) < 4 or answer[3] != SETTINGS:
        raise OSError(SLIP)


def _connected() -> bool:
    """Tells whether whoever calls this library has connected to a cluster."""
    import ray

    return bool(ray.is_initialized())


def _resources(spec: WorkerSpec) -> dict[str, float]:
    """Returns what an actor holds, by Ray's names."""
    asked = dict(spec.cluster.ray_resources or ())
    gpus = find_engine(spec.detector.plan.runtime).gpus(spec.devices)
    holds = {"CPU": asked.pop("cpu", float(spec.detector.threads or 1))}
    gpu = asked.pop("gpu", 1 / WORKERS_PER_GPU if gpus else 0.0)
    return holds | ({"GPU": gpu} if gpu else {}) | asked


def _refused(error: ValueError) -> UsageError:
    return UsageError(f"--ray-resources: {''.join(map(str, error.args))}")  # some of Ray's have two halves


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _forever() -> Iterator[float]:
    while True:
        yield TICK_SECONDS
