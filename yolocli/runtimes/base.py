"""The seam between a detector and the library that runs its network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar

from yolocli.config import DetectorConfig, Precision
from yolocli.errors import ModelError, UsageError
from yolocli.images.letterbox import Canvas, Fit, Frame
from yolocli.tasks.base import ModelFacts, Raw, Task

if TYPE_CHECKING:
    from yolocli.runtimes.plan import Plan, Prepared


P = ParamSpec("P")
T = TypeVar("T")

BATCH_OF_MANY_THREADS = 4
"""Threads of one network share four images out with less waiting for one another than one: a fifth to a half more
images/s on two cores, in locked mode. For networks of which an image's outputs do not depend on its batch."""


class Lock(Protocol):
    """Lets one thread at a time into the functions that it is put around."""

    def __call__(self, function: Callable[P, T], /) -> Callable[P, T]:
        """Returns the function behind the lock."""
        ...


class ConversionError(ModelError):
    """A runtime cannot run this model as the checkpoint says."""


class Engine(Protocol):
    """What a row of the registry leads to: a module with these functions, which imports nothing heavy itself.

    Attributes:
        PRELOAD: Module that a server imports before it forks worker processes, so that they share its memory.
    """

    PRELOAD: str

    def installed(self) -> bool:
        """Tells whether there is a library to run it with."""
        ...

    def suits(self, model: Path, devices: Sequence[str]) -> tuple[bool, str]:
        """Tells whether `auto` should take it for a model, and why, or why not."""
        ...

    def precision(self, wanted: Precision | None, model: Path, devices: Sequence[str]) -> Precision | None:
        """Returns the precision to compute in; None for a converted model that has its own and does not say it.

        Args:
            wanted: What was asked for; None takes the model's own.
            model: A file or folder that exists.
            devices: Devices that workers are dealt over; empty lets the runtime choose.

        Raises:
            UsageError: If it does not go together with the runtime, the model or the devices, or they do not.
            ModelError: If a package is missing.
        """
        ...

    def convert(self, plan: Plan, model: Path, notice: Callable[[str], None]) -> Path | None:
        """Returns the model in the runtime's own form, made if need be; None where it runs as it is.

        Raises:
            ConversionError: If it cannot be converted, or computes something else than before.
            ModelError: If it cannot be loaded, or is not trusted.
        """
        ...

    def gpus(self, devices: Sequence[str]) -> int:
        """Returns how many GPUs networks will run on, of the devices, or of those that the runtime would choose."""
        ...

    def lock(self) -> Lock:
        """Returns what lets one thread at a time into a network that many share."""
        ...

    def load(self, prepared: Prepared) -> Runtime:
        """Loads a model; see `load_runtime`."""
        ...


class Runtime(Protocol):
    """A loaded network.

    Attributes:
        task: What its model is for.
        facts: What its model says of its output.
        frame: What images must be fitted into.
        channels: Of an input image: 3 (BGR) or 1 (grey).
        suppressed: NMS has been done by the network itself, or on its device.
        description: What runs where, for the summary.
        best_batch: Images that should go through it together, where the user does not say.
    """

    task: Task
    facts: ModelFacts
    frame: Frame
    channels: int
    suppressed: bool
    description: str
    best_batch: int

    def infer(self, batch: Sequence[Canvas]) -> list[Raw]:
        """Runs the network on canvases of one shape.

        Returns:
            What was found on each canvas: the rows above the configured confidence, before NMS; or, if `suppressed`,
            after it and by falling confidence.
        """
        ...


def fixed_imgsz(fixed: Sequence[int], config: DetectorConfig) -> Sequence[int]:
    """Returns the size of a converted model that takes no other.

    Raises:
        UsageError: If another was asked for.
    """
    if config.imgsz is not None and tuple(config.imgsz) != tuple(fixed):
        raise UsageError(f"--imgsz: {config.model} was exported for {fixed[0]}x{fixed[1]} and takes no other")
    return fixed


def frame_for(imgsz: Sequence[int], stride: int, rectangular: bool, fit: Fit = "letterbox") -> Frame:
    """Returns the frame for an image size, each side rounded up to a multiple of the stride."""
    height, width = (max(-(-side // stride), 1) * stride for side in imgsz)
    return Frame(height, width, stride, rectangular, fit)
