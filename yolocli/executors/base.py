"""What every mode is made of: an executor opens workers, and a worker owns or shares a detector."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Protocol

from yolocli.config import Cluster, DetectorConfig
from yolocli.detector import Detector, Loader
from yolocli.executors.chunk import check_network, detect_images
from yolocli.executors.pictures import NO_PICTURES, Pictures
from yolocli.executors.reads import Reads
from yolocli.results import Item, Outcome
from yolocli.runtimes.plan import Prepared


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a worker that is ready says of itself.

    Attributes:
        description: What runs where.
        best_batch: Images that should go through the network together there.
        names: The model's class names by class index.
        task: What the model is for.
        keypoints: How many each of its records has.
    """

    description: str
    best_batch: int
    names: Mapping[int, str]
    task: str
    keypoints: int = 0


class Worker(Protocol):
    """One detector and the hand that feeds it. All its methods are called from one thread.

    Attributes:
        loaded: What it says of itself.
    """

    loaded: Loaded

    def detect(self, items: Sequence[Item], batch: int) -> list[Outcome]:
        """Returns one Outcome for each item, in their order; so many go through the network together at most."""
        ...

    def expect(self, items: Sequence[Item]) -> None:
        """Begins to read files that are far away, which it will be given; called for no others."""
        ...

    def close(self) -> int:
        """Ends the worker; returns the peak memory in bytes of processes that were its own."""
        ...


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """What the workers of a run are made from.

    Attributes:
        loader: Builds a detector.
        detector: What it is to be, made ready on this machine.
        devices: Devices that workers are dealt over; empty lets the runtime choose.
        timeout: Seconds an image may take; None for no limit.
        pictures: To be made of each image.
        workers: As many as were asked for; 0 for any number.
        cluster: Where they are, in a mode that has them on others.
        notice: Told of what somebody may want to know; called from any thread.
        stopped: Tells whether the run is to end, and nothing to be waited for.
    """

    loader: Loader
    detector: Prepared
    devices: tuple[str, ...] = ()
    timeout: float | None = None
    pictures: Pictures = NO_PICTURES
    workers: int = 0
    cluster: Cluster = field(default_factory=Cluster)
    notice: Callable[[str], None] = lambda _: None
    stopped: Callable[[], bool] = lambda: False

    def prepared(self, slot: int) -> Prepared:
        """Returns what a slot's detector is to be: devices are dealt like cards."""
        if not self.devices:
            return self.detector
        return replace(self.detector, device=self.devices[slot % len(self.devices)])


class Executor(Protocol):
    """A mode.

    Attributes:
        grace: Seconds that images in flight have once the run was stopped; None where workers cannot be killed.
        least: Workers without which the run must not begin; others may wait for a place for as long as it lasts. None
            where all that it begins with must be there.
        most: Workers that it can have; None where the memory of this machine decides.
    """

    grace: float | None
    least: int | None
    most: int | None

    def open_worker(self, slot: int) -> Worker:
        """Builds a worker, in the thread that will use it. Slots count from 0.

        Raises:
            YolocliError: If the model cannot be loaded or the worker cannot be started.
        """
        ...

    def kill(self) -> None:
        """Ends the workers that are still at work, and those about to be opened, where they can be killed."""
        ...

    def close(self) -> None:
        """Ends what the workers shared; they have ended before."""
        ...


class LocalWorker:
    """A worker whose detector lives in this process."""

    def __init__(self, detector: Detector, asked: DetectorConfig, pictures: Pictures = NO_PICTURES) -> None:
        self._detector = detector
        self._asked = asked
        self._pictures = pictures
        self._reads = Reads()
        self.loaded = Loaded(
            detector.description, detector.best_batch, dict(detector.names), detector.task.name, detector.keypoints
        )

    def detect(self, items: Sequence[Item], batch: int) -> list[Outcome]:
        """See `Worker.detect`."""
        asked, pictures, read = self._asked, self._pictures, self._reads.take
        return detect_images(
            self._detector,
            items,
            batch=batch,
            max_pixels=asked.max_pixels,
            exif=asked.exif,
            pictures=pictures,
            read=read,
        )

    def expect(self, items: Sequence[Item]) -> None:
        """See `Worker.expect`."""
        self._reads.expect(items)

    def check(self) -> None:
        """See `check_network`."""
        check_network(self._detector)

    def close(self) -> int:
        """See `Worker.close`; there is no process of its own."""
        self._reads.close()
        return 0


class ExecutorFactory(Protocol):
    """What a row of the registry leads to: a class of executors.

    Attributes:
        shares: All workers share one detector, on one device.
        ends_images: A worker can be ended in the midst of an image, so that there can be a limit of time.
        package: What must be installed for it, by the extra of the same name; None for nothing.
        elsewhere: Workers are on a cluster: neither the CPUs nor the memory of this machine are theirs.
    """

    shares: ClassVar[bool]
    ends_images: ClassVar[bool]
    elsewhere: ClassVar[bool]
    package: ClassVar[str | None]

    def __call__(self, spec: WorkerSpec) -> Executor:
        """Makes an executor; no worker is opened yet."""
        ...
