"""Pixels in, findings out, in three steps, so that only the middle one needs the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from yolocli.config import DetectorConfig
from yolocli.images.fit import fit
from yolocli.images.letterbox import Canvas
from yolocli.images.picture import Picture
from yolocli.results import Findings
from yolocli.runtimes import load_runtime
from yolocli.runtimes.choose import prepare_again, prepare_detector
from yolocli.runtimes.plan import Prepared
from yolocli.tasks.base import Raw, Task, Wanted
from yolocli.tasks.candidates import numbers, of_one_class, usable
from yolocli.tasks.classes import class_ids

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from yolocli.runtimes.base import Lock, Runtime


class Detector(Protocol):
    """What a worker needs of a model.

    `prepare` and `finish` touch no shared state: any number of threads may call them at once. `infer` belongs to one
    thread at a time.

    Attributes:
        channels: Of the pixels that `prepare` takes: 3 (BGR) or 1 (grey).
        description: What runs where, for the summary.
        best_batch: Images that should go through the network together, where the user does not say.
        names: Class names by class index, of all the model knows.
        task: What the model is for.
        keypoints: How many each record has.
        model: Its path, for messages.
    """

    channels: int
    description: str
    best_batch: int
    names: Mapping[int, str]
    task: Task
    keypoints: int
    model: str

    def prepare(self, picture: Picture) -> tuple[Canvas, ...]:
        """Fits one image into the network's input: onto one canvas, or onto several that show parts of it."""
        ...

    def infer(self, batch: Sequence[Canvas]) -> list[Raw]:
        """Runs the network on canvases of one shape; gives what it found on each."""
        ...

    def finish(self, found: Sequence[Raw], canvases: Sequence[Canvas]) -> Findings:
        """Turns what was found on each canvas of one image into what is recorded of it."""
        ...


class YoloDetector:
    """A runtime and the task of its model; see `Detector`."""

    def __init__(self, runtime: Runtime, prepared: Prepared) -> None:
        asked = prepared.asked
        self._runtime = runtime
        self._asked = asked
        self.channels = runtime.channels
        self.description = runtime.description
        self.best_batch = runtime.best_batch
        self.names = runtime.facts.names
        self.task = runtime.task
        self.keypoints = runtime.task.keypoints(runtime.facts)
        self.model = str(prepared.model)
        classes = None if asked.classes is None else frozenset(class_ids(asked.classes, self.names, asked.verbose))
        self._wanted = Wanted(classes, asked.masks, asked.save_maps)

    def prepare(self, picture: Picture) -> tuple[Canvas, ...]:
        """Fits one image into the network's input; see `Detector.prepare`."""
        return (fit(picture.pixels, self._runtime.frame),)

    def infer(self, batch: Sequence[Canvas]) -> list[Raw]:
        """Runs the network; see `Detector.infer`."""
        return self._runtime.infer(batch)

    def finish(self, found: Sequence[Raw], canvases: Sequence[Canvas]) -> Findings:
        """Has the task suppress and read what is usable; see `Detector.finish`."""
        (raw,), (canvas,) = found, canvases  # as `prepare` makes one of each image
        rows, limit = usable(raw.rows, self._wanted.classes), self._asked.max_detections
        kept = rows[:limit] if self._runtime.suppressed else self._suppress(rows, limit)
        return self.task.read(Raw(kept, raw.maps), canvas, self._runtime.facts, self._wanted)

    def _suppress(self, rows: NDArray[np.float32], limit: int) -> NDArray[np.float32]:
        if not self._runtime.facts.agnostic:
            return self.task.suppress(rows, self._asked.iou, limit)
        kept = self.task.suppress(of_one_class(rows), self._asked.iou, limit)
        return rows[numbers(kept)]


class LockedDetector:
    """One detector for many threads: the network behind a lock and in one thread, the rest outside.

    The lock alone would be safe. The thread is for memory: OpenMP keeps a team of threads, and the allocator freed
    pages, for each thread that ever ran the network (PyTorch, eight workers: 963 MiB in place of 881).
    """

    def __init__(self, detector: Detector, lock: Lock, owner: Executor) -> None:
        """Makes a detector safe to use from many threads.

        Args:
            detector: Built in the one thread of `owner`.
            lock: Lets one thread at a time into a function.
            owner: Runs the network.
        """
        self.channels = detector.channels
        self.description = detector.description
        self.best_batch = detector.best_batch
        self.names = detector.names
        self.task = detector.task
        self.keypoints = detector.keypoints
        self.model = detector.model
        self.prepare = detector.prepare
        self.infer = lock(lambda batch: owner.submit(detector.infer, batch).result())
        self.finish = detector.finish


class Loader(Protocol):
    """How a run comes by its detectors. Picklable, as worker processes are handed one."""

    def prepare(self, asked: DetectorConfig, devices: Sequence[str], notice: Callable[[str], None]) -> Prepared:
        """Settles what was asked for, and makes it ready on this machine; see `prepare_detector`."""
        ...

    def prepare_here(self, prepared: Prepared) -> Prepared:
        """Makes ready on this machine what was settled and made ready on another; see `prepare_again`."""
        ...

    def load(self, prepared: Prepared) -> Detector:
        """Builds a detector, in the thread or process that will own it.

        Raises:
            ModelError: If the model cannot be loaded, is not trusted, or is no detector.
            UsageError: If a class is asked for that the model does not know.
        """
        ...


@dataclass(frozen=True, slots=True)
class YoloLoader:
    """The loader of real models; see `Loader`."""

    def prepare(self, asked: DetectorConfig, devices: Sequence[str], notice: Callable[[str], None]) -> Prepared:
        """See `Loader.prepare`."""
        return prepare_detector(asked, devices, notice)

    def prepare_here(self, prepared: Prepared) -> Prepared:
        """See `Loader.prepare_here`."""
        return prepare_again(prepared)

    def load(self, prepared: Prepared) -> Detector:
        """See `Loader.load`."""
        return load_detector(prepared)


def load_detector(prepared: Prepared) -> Detector:
    """Builds a detector; see `Loader.load`."""
    return YoloDetector(load_runtime(prepared), prepared)
