"""A Ray cluster on this machine, of several nodes with little memory."""

from __future__ import annotations

import logging
from typing import Any

import pytest

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
        pytest.importorskip("ray", reason="the extra is not installed: pip install '.[ray]'")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
            from ray.cluster_utils import Cluster

            logging.getLogger("ray").setLevel(logging.CRITICAL)
            self._cluster = Cluster(initialize_head=True, head_node_args=self._node)
            self.address: str = self._cluster.address
            for _ in range(self._count - 1):
                self.add()
        return self

    def __exit__(self, *exception: object) -> None:
        self._cluster.shutdown()

    def add(self) -> Any:
        self.added.append(self._cluster.add_node(**self._node))
        return self.added[-1]

    def kill(self, node: Any) -> None:
        """Ends a node as a power cut does."""
        self._cluster.remove_node(node, allow_graceful=False)
        self.added.remove(node)
