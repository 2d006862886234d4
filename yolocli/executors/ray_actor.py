"""What runs on a node of a Ray cluster: an actor owns a detector, and answers calls as a child process does."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version

from yolocli.detector import Loader
from yolocli.errors import ModelError
from yolocli.executors import child
from yolocli.executors.base import Loaded
from yolocli.executors.pictures import Pictures
from yolocli.machine.memory import keep_freed_memory
from yolocli.runtimes.plan import Prepared


@dataclass(frozen=True, slots=True)
class Place:
    """Where an actor is.

    Attributes:
        node: Ray's name of the node.
        host: Its name among people.
        version: Of yolocli there.
    """

    node: str
    host: str
    version: str


def installed_version() -> str:
    """Returns the version of yolocli here."""
    return version("yolocli")


class Actor:
    """Owns a detector once it is told which. Ray runs the calls one after the other, in one thread."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Starts in a process of its own.

        Args:
            environment: Variables that libraries read when they are imported, as they are for the driver.
        """
        os.environ.update(environment)
        keep_freed_memory()

    def place(self) -> Place:
        """Says where it is."""
        import ray

        return Place(ray.get_runtime_context().get_node_id(), platform.node(), installed_version())

    def answer(self, call: bytes) -> bytes:
        """Returns what a function gives or raises; see `child.answer`. What Ray would do to an exception is lost so."""
        return child.answer(call)


def own_detector(loader: Loader, prepared: Prepared, pictures: Pictures) -> Loaded:
    """Builds the detector, of what is or can be made ready on this node.

    Raises:
        ModelError: If it cannot be; it names the node.
    """
    try:
        return child.own_detector(loader, loader.prepare_here(prepared), pictures)
    except ModelError as error:
        raise ModelError(f"{error} (on node {platform.node()})") from error
