"""Pictures of images that were done before, from the journal and the images themselves."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from yolocli.errors import ImageError, one_line
from yolocli.executors.pictures import Pictures, make_again
from yolocli.images import fonts
from yolocli.machine.cpus import usable_cpus
from yolocli.output.formats import files_of
from yolocli.output.formats.pictures import PictureFiles, formats_of
from yolocli.output.journal import mend
from yolocli.output.ownership import DAMAGED_FILE, JOURNAL, JOURNAL_FILE, RUN, refuse_foreign
from yolocli.output.past import Past
from yolocli.output.projection import names_of, opened, project, roots_of
from yolocli.output.run_file import read_json
from yolocli.results import DRAW, ImageFailure, ImageResult, Outcome
from yolocli.sources import source_of
from yolocli.sources.base import Notice
from yolocli.tasks import DEFAULT_TASK, find_task
from yolocli.tasks.base import Task

WAITING = 2
"""Images a thread that are being drawn, or wait to be written."""


class Painter:
    """A `Writer` that reads images again and makes their pictures, several at once.

    Attributes:
        failed: Images of which none could be made.
        first: Of these.
        left: Images left out because of a stop.
    """

    def __init__(
        self,
        files: PictureFiles,
        task: str,
        told: Callable[[Outcome], None] = lambda outcome: None,
        *,
        missing: bool = False,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """Draws nothing yet.

        Args:
            files: Where pictures go, and which are wanted.
            task: Of the model that the records are by.
            told: Called for each image when its pictures are written, or with a failure in their place.
            missing: Make those alone that are not there, or not whole, of images that are.
            stopped: Asked before each image.
        """
        self._files = files
        self._make = partial(make_again, task=find_task(task, "run.json"), wanted=files.wanted)
        self._told = told
        self._missing = missing
        self._stopped = stopped
        self._threads = usable_cpus()
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: deque[tuple[ImageResult, Future[dict[str, bytes]]]] = deque()
        self.failed = self.left = 0
        self.first: ImageFailure | None = None

    def add(self, outcome: Outcome) -> None:
        """See `Writer.add`."""
        if not isinstance(outcome, ImageResult):
            self._told(outcome)
        elif not self._missing or (self._files.lacks(outcome) and not _is_gone(outcome)):
            if self._stopped():
                self.left += 1
                return
            pool = self._pool = self._pool or ThreadPoolExecutor(self._threads, thread_name_prefix="yolocli-draw")
            self._waiting.append((outcome, pool.submit(self._make, outcome)))
            if len(self._waiting) == self._threads * WAITING:
                self._write_first()

    def close(self) -> None:
        """See `Writer.close`."""
        while self._waiting:
            self._write_first()
        if self._pool is not None:
            self._pool.shutdown()

    def _write_first(self) -> None:
        outcome, made = self._waiting.popleft()
        try:
            files = made.result()
        except Exception as error:
            kind = error.kind if isinstance(error, ImageError) else type(error).__name__
            failure = ImageFailure(outcome.ref, DRAW, kind, one_line(error))
            self.failed += 1
            self.first = self.first or failure
            self._told(failure)
        else:
            self._files.keep(replace(outcome, files=files), redone=False)
            self._told(outcome)


def draw(
    root: Path,
    wanted: Pictures,
    told: Callable[[Outcome], None] = lambda outcome: None,
    count: Callable[[int], None] = lambda images: None,
    notice: Notice = lambda message: None,
) -> int:
    """Makes pictures of all images in an output folder, the same as a run makes.

    Args:
        root: The folder; no run may be using it.
        wanted: Which to make.
        told: See `Painter`.
        count: Told how many images there are, failures among them.
        notice: Told of damage to the journal, and of what cannot be made.

    Returns:
        Images of which none could be made.

    Raises:
        UsageError: If it holds no journal, a run is writing to it, or files of somebody else stand in the way.
        OutputError: If the journal is damaged or a file cannot be written.
    """
    folder = opened(root)
    refuse_foreign(root, (JOURNAL_FILE, DAMAGED_FILE), files_of(formats_of(wanted))[1])
    with folder.held():
        mend(folder, notice)
        with closing(Past(root / JOURNAL)) as past:
            count(past.images)
        run = read_json(folder, RUN) or {}
        names = {int(index): name for index, name in names_of(folder, run).items()}
        task = run.get("task") or DEFAULT_TASK
        for what in trouble(wanted, find_task(task, RUN)):
            notice(what)
        painter = Painter(PictureFiles(folder, wanted, names), task, told)
        project(folder, [painter], roots_of(folder) or ())
        folder.sync()
        return painter.failed


def trouble(wanted: Pictures, task: Task) -> Iterator[str]:
    """Yields what stands in the way of the pictures that are wanted, before any is made."""
    if wanted.crops and task.whole:
        yield f"--save-crops: models for {task.name} find no boxes"
    if wanted.images and (what := fonts.trouble()):
        yield what


def _is_gone(outcome: Outcome) -> bool:
    """Tells whether the image itself is not there any more: a run counts it as vanished, and that is no failure."""
    return source_of(outcome.ref.source).gone(outcome.ref.source)
