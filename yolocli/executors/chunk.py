"""The one worker function: files in, an Outcome for each out, whatever a file does.

Every mode calls it; what differs is only whose Detector it is given.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from yolocli.detector import Detector
from yolocli.errors import ImageError, ModelError, YolocliError, one_line
from yolocli.executors.pictures import COLOUR, NO_PICTURES, Pictures, make_again, make_pictures
from yolocli.images.decode import decode
from yolocli.images.exif import EXIF, read_exif
from yolocli.images.letterbox import PADDING_VALUE, Canvas
from yolocli.images.picture import Picture
from yolocli.results import DRAW, ImageFailure, ImageRef, ImageResult, Item, Outcome
from yolocli.sources import read as read_source
from yolocli.sources.suffixes import suffix_of
from yolocli.tasks.base import Raw, Task

BATCHES_PER_CHUNK = 2
KEPT_BYTES = 128 << 20
"""Of decoded images that a chunk keeps to make pictures of; the others are read again for it."""
ORDINARY = ((480, 640), (640, 640))
"""Height and width of pictures, letterboxed to two shapes by most models, that a network can be expected to work on."""


@dataclass(slots=True)
class _Job:
    """An image on its way through the stages."""

    ref: ImageRef
    timings: dict[str, float] = field(default_factory=dict)
    parts: list[_Part] = field(default_factory=list)
    exif: Mapping[str, Any] = field(default_factory=dict)
    outcome: Outcome | None = None
    picture: Picture | None = None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Times a stage, and turns an error in it into the image's record."""
        started = time.perf_counter()
        try:
            yield
        except YolocliError:
            raise
        except Exception as error:
            self.fail(name, error)
        finally:
            self.timings[name] = (time.perf_counter() - started) * 1000

    def fail(self, stage: str, error: Exception) -> None:
        kind = error.kind if isinstance(error, ImageError) else type(error).__name__
        self.outcome = ImageFailure(self.ref, stage, kind, one_line(error), self.timings)
        self.parts.clear()
        self.picture = None


@dataclass(slots=True)
class _Part:
    """A canvas of an image, and what the network found on it."""

    job: _Job
    canvas: Canvas
    found: Raw | None = None


def chunk_size(batch: int) -> int:
    """Returns how many images a worker is handed at once, so that many batches of equal shape are full ones."""
    return batch if batch == 1 else batch * BATCHES_PER_CHUNK


def _read_now(ref: ImageRef) -> bytes:
    return read_source(ref.source, ref.hint)


def detect_images(
    detector: Detector,
    items: Sequence[Item],
    *,
    batch: int,
    max_pixels: int,
    exif: bool = False,
    pictures: Pictures = NO_PICTURES,
    read: Callable[[ImageRef], bytes] = _read_now,
) -> list[Outcome]:
    """Takes a chunk of files through all stages.

    Images of equal letterboxed shape go through the network together; no result depends on that. A batch that fails,
    for one image in it or for want of memory, is halved until the images that can be done are done. What fails alone
    is the image's failure, if the network works on a blank canvas.

    Args:
        detector: Used by this call alone, unless it says otherwise.
        items: Files, and failures of discovery, which are given back as they are.
        batch: Images that go through the network together at most.
        max_pixels: See `images.decode`.
        exif: Put what `read_exif` finds into the records.
        pictures: To be made of each image that gives a result. One that cannot be made is missing, and no more.
        read: Returns the bytes of a file, and raises, as `sources.read` does.

    Returns:
        One Outcome for each item, in their order.

    Raises:
        ModelError: If the network fails on everything.
    """
    jobs = {position: _Job(item) for position, item in enumerate(items) if isinstance(item, ImageRef)}
    shapes: dict[tuple[int, ...], list[_Part]] = {}
    room = KEPT_BYTES if pictures and detector.channels == COLOUR else 0
    for job in jobs.values():
        room -= _load(detector, job, max_pixels, exif, room, read)
        for part in job.parts:
            shapes.setdefault(part.canvas.shape, []).append(part)
    for same in shapes.values():
        for start in range(0, len(same), batch):
            for job in _infer(detector, same[start : start + batch]):
                _finish(detector, job, pictures)
    return [_outcome(jobs[position]) if position in jobs else item for position, item in enumerate(items)]  # type: ignore[misc]


def _load(
    detector: Detector, job: _Job, max_pixels: int, exif: bool, room: int, read: Callable[[ImageRef], bytes]
) -> int:
    """Reads, decodes and prepares an image; returns the bytes of its pixels, if there is room to keep them."""
    data, picture = b"", None
    with job.stage("read"):
        data = read(job.ref)
    if job.outcome is None:
        with job.stage("decode"):
            picture = decode(data, suffix_of(job.ref.source), channels=detector.channels, max_pixels=max_pixels)
            job.exif = read_exif(data) if exif else {}
    if picture is not None:
        with job.stage("prepare"):
            job.parts = [_Part(job, canvas) for canvas in detector.prepare(picture)]
    if picture is None or job.outcome is not None or picture.pixels.nbytes > room:
        return 0
    job.picture = picture
    return picture.pixels.nbytes


def check_network(detector: Detector, canvas: Canvas | None = None) -> None:
    """Runs the network on blank canvases until it works on one.

    Args:
        detector: Used by this call alone, unless it says otherwise.
        canvas: One that it failed on. A blank one of its shape comes first, as its pixels may be the reason; then such
            as photographs have, as its shape may be: one that a graph cannot be compiled for, say.

    Raises:
        ModelError: If it works on none.
    """
    import numpy as np

    blanks = [] if canvas is None else [replace(canvas, pixels=np.full_like(canvas.pixels, PADDING_VALUE))]
    for height, width in ORDINARY:
        blanks += detector.prepare(Picture(np.full((height, width, detector.channels), PADDING_VALUE, np.uint8)))
    failure: Exception | None = None
    for blank in {blank.shape: blank for blank in blanks}.values():
        answer = _attempt(detector, [blank])
        if not isinstance(answer, Exception):
            return
        failure = failure or answer
    assert failure is not None
    raise ModelError(
        f"{detector.model}: the network fails on a blank image, too: {one_line(failure)}; "
        "try another --runtime or --device, or fewer --workers if memory is short"
    )


def _infer(detector: Detector, batch: list[_Part], last: bool = False) -> Iterator[_Job]:
    """Runs the network; yields the images of which it has seen all parts."""
    canvases = [part.canvas for part in batch]
    started = time.perf_counter()
    answer = _attempt(detector, canvases)
    if not isinstance(answer, Exception):
        share = (time.perf_counter() - started) * 1000 / len(batch)
        for part, found in zip(batch, answer, strict=True):
            job, part.found = part.job, found
            job.timings["infer"] = job.timings.get("infer", 0.0) + share
            if job.outcome is None and all(other.found is not None for other in job.parts):
                yield job
    elif len(batch) > 1:
        middle = len(batch) // 2
        yield from _infer(detector, batch[:middle])
        yield from _infer(detector, batch[middle:])
    elif last:
        batch[0].job.fail("infer", answer)
    else:
        check_network(detector, canvases[0])
        yield from _infer(detector, batch, last=True)  # memory may have been short for a moment


def _attempt(detector: Detector, canvases: Sequence[Canvas]) -> list[Raw] | Exception:
    """Returns what the network gives, or raises; without the frames of the call, whose memory the next may need."""
    try:
        return detector.infer(canvases)
    except Exception as error:
        return error.with_traceback(None)


def _finish(detector: Detector, job: _Job, pictures: Pictures) -> None:
    canvases = [part.canvas for part in job.parts]
    with job.stage("post"):
        found = detector.finish([part.found for part in job.parts if part.found is not None], canvases)
        width, height = canvases[0].width, canvases[0].height
        more = {**found.more, EXIF: job.exif} if job.exif else found.more
        job.outcome = ImageResult(job.ref, width, height, found.detections, job.timings, more, found.files)
    job.parts.clear()  # they hold the job in turn, and are large
    if pictures and isinstance(job.outcome, ImageResult):
        job.outcome = _with_pictures(job, job.outcome, detector.task, pictures)


def _with_pictures(job: _Job, result: ImageResult, task: Task, pictures: Pictures) -> ImageResult:
    """Returns a result with its pictures; without those that cannot be made, as they are not what it is about."""
    started = time.perf_counter()
    made: dict[str, bytes] = {}
    with suppress(Exception):
        if job.picture is None:
            made = make_again(result, task, pictures)
        else:
            made = make_pictures(job.picture, result, task, pictures)
    job.picture = None
    job.timings[DRAW] = (time.perf_counter() - started) * 1000
    return replace(result, files={**result.files, **made})


def _outcome(job: _Job) -> Outcome:
    assert job.outcome is not None, "every job ends in an outcome"
    return job.outcome
