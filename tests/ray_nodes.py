"""A Ray cluster on this machine, of several nodes with little memory."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.stores import moto
from tests.support import REPOSITORY
from yolocli.executors.ray_cluster import QUIET

STORE = 80 << 20


class Nodes:
    """A cluster, while its block lasts.

    Attributes:
        address: Where drivers find it.
        added: Its nodes, the head not among them.
    """

    def __init__(self, count: int, cpus: int) -> None:
        self._count = count
        self._node = {"num_cpus": cpus, "object_store_memory": STORE, "include_dashboard": False}
        self.added: list[Any] = []

    def __enter__(self) -> Nodes:
        with self._environment():
            pytest.importorskip("ray", reason="the extra is not installed: pip install '.[ray]'")
            from ray.cluster_utils import Cluster

            logging.getLogger("ray").setLevel(logging.CRITICAL)
            self._cluster = Cluster(initialize_head=True, head_node_args=self._node)
        self.address: str = self._cluster.address
        for _ in range(self._count - 1):
            self.add()
        return self

    def __exit__(self, *exception: object) -> None:
        self._cluster.shutdown()

    @property
    def head(self) -> Any:
        return self._cluster.head_node

    def id_of(self, node: Any) -> str:
        """Returns Ray's name of a node."""
        return str(node.node_id)

    def alive(self) -> int:
        """Returns how many nodes Ray knows to be alive; it takes some seconds to see that one is not."""
        return sum(node["Alive"] for node in self._cluster.global_state.node_table())

    def actors(self) -> list[int]:
        """Returns the process ids of our actors on all nodes."""
        nodes = [self.head, *self.added]
        raylets = {process.process.pid for node in nodes for process in node.all_processes["raylet"]}
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                title = (folder / "cmdline").read_bytes()
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:  # it has ended meanwhile
                continue
            if title.startswith(b"ray::Actor") and parent in raylets:
                found.append(int(folder.name))
        return found

    def add(self) -> Any:
        with self._environment():
            self.added.append(self._cluster.add_node(**self._node))
        return self.added[-1]

    @contextmanager
    def _environment(self) -> Iterator[None]:
        """Has nodes find our tests, as they would find what is installed there, and the store, which they read from."""
        store = moto.variables(moto.moto()) if moto.MOTO.exists() else {}
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**QUIET, **store, "PYTHONPATH": str(REPOSITORY)}.items():
                patch.setenv(name, value)
            yield

    def kill(self, node: Any) -> None:
        """Ends a node as a power cut does."""
        self._cluster.remove_node(node, allow_graceful=False)
        self.added.remove(node)


def wait_until(true: Callable[[], bool], seconds: float = 30.0) -> bool:
    """Waits until something is true, and tells whether it is."""
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)
    return true()
