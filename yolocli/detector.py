"""Pixels in, detections out, in three steps, so that only the middle one needs the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from yolocli.config import DetectorConfig
from yolocli.images.letterbox import Canvas, letterbox, to_image
from yolocli.images.picture import Picture
from yolocli.results import CONFIDENCE_DIGITS, PIXEL_DIGITS, Detection
from yolocli.runtimes import load_runtime
from yolocli.runtimes.choose import prepare_detector
from yolocli.runtimes.plan import Prepared
from yolocli.tasks.boxes import suppress
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
        model: Its path, for messages.
    """

    channels: int
    description: str
    best_batch: int
    names: Mapping[int, str]
    model: str

    def prepare(self, picture: Picture) -> tuple[Canvas, ...]:
        """Letterboxes one image: onto one canvas, or onto several that show parts of it."""
        ...

    def infer(self, batch: Sequence[Canvas]) -> list[NDArray[np.float32]]:
        """Runs the network on canvases of one shape; an array (n, 6) of candidates for each."""
        ...

    def finish(self, found: Sequence[NDArray[np.float32]], canvases: Sequence[Canvas]) -> tuple[Detection, ...]:
        """Turns the candidates on each canvas of one image into its detections."""
        ...


class YoloDetector:
    """A detector that runs YOLO; see `Detector`."""

    def __init__(self, runtime: Runtime, prepared: Prepared) -> None:
        asked = prepared.asked
        self._runtime = runtime
        self._asked = asked
        self._wanted = None if asked.classes is None else class_ids(asked.classes, runtime.names, asked.verbose)
        self.channels = runtime.channels
        self.description = runtime.description
        self.best_batch = runtime.best_batch
        self.names = runtime.names
        self.model = str(prepared.model)

    def prepare(self, picture: Picture) -> tuple[Canvas, ...]:
        """Letterboxes one image; see `Detector.prepare`."""
        return (letterbox(picture.pixels, self._runtime.frame),)

    def infer(self, batch: Sequence[Canvas]) -> list[NDArray[np.float32]]:
        """Runs the network; see `Detector.infer`."""
        return self._runtime.infer(batch)

    def finish(self, found: Sequence[NDArray[np.float32]], canvases: Sequence[Canvas]) -> tuple[Detection, ...]:
        """Suppresses overlaps and maps boxes to the image; see `Detector.finish`."""
        import numpy as np

        (candidates,), (canvas,) = found, canvases  # as `prepare` makes one of each image
        # a network that overflows gives rows that are no boxes, for which JSON has no numbers
        candidates = candidates[np.isfinite(candidates).all(axis=1)]
        if self._wanted is not None:
            candidates = candidates[np.isin(candidates[:, 5], self._wanted)]
        limit = self._asked.max_detections
        kept = candidates[:limit] if self._runtime.suppressed else suppress(candidates, self._asked.iou, limit)
        # double precision, so that a rounded number is written with no more digits than it was rounded to
        boxes = to_image(kept[:, :4], canvas).astype(np.float64).round(PIXEL_DIGITS).tolist()
        scores = kept[:, 4].astype(np.float64).round(CONFIDENCE_DIGITS).tolist()
        ids = kept[:, 5].astype(np.int64).tolist()
        return tuple(
            Detection(self.names[class_id], class_id, score, (x1, y1, x2, y2))
            for (x1, y1, x2, y2), score, class_id in zip(boxes, scores, ids, strict=True)
        )


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
        self.model = detector.model
        self.prepare = detector.prepare
        self.infer = lock(lambda batch: owner.submit(detector.infer, batch).result())
        self.finish = detector.finish


class Loader(Protocol):
    """How a run comes by its detectors. Picklable, as worker processes are handed one."""

    def prepare(self, asked: DetectorConfig, devices: Sequence[str], notice: Callable[[str], None]) -> Prepared:
        """Settles what was asked for, and makes it ready on this machine; see `prepare_detector`."""
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

    def load(self, prepared: Prepared) -> Detector:
        """See `Loader.load`."""
        return load_detector(prepared)


def load_detector(prepared: Prepared) -> Detector:
    """Builds a detector; see `Loader.load`."""
    return YoloDetector(load_runtime(prepared), prepared)
