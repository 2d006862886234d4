"""Files of images that are made of their pixels, and so are no projections of the journal: maps and pictures."""

from __future__ import annotations

from collections.abc import Callable

from yolocli.config import RunConfig
from yolocli.executors.pictures import Pictures
from yolocli.output.draw import Painter, trouble
from yolocli.output.folder import OutputFolder
from yolocli.output.formats.base import Context, Writer
from yolocli.output.formats.maps import Maps
from yolocli.output.formats.pictures import PictureFiles, formats_of
from yolocli.output.ownership import RUN
from yolocli.output.past import Past
from yolocli.results import Outcome
from yolocli.sources.base import Notice
from yolocli.tasks import find_task
from yolocli.tasks.whole import MAP


class Made:
    """What is kept of them in the output folder of a run.

    Attributes:
        formats: Stand for what is written.
        undrawn: Images that have no picture though they should; known at the end.
        unfinished: Pictures are left to be made, as the run was stopped.
    """

    def __init__(self, folder: OutputFolder, config: RunConfig, notice: Notice) -> None:
        self._folder = folder
        self._notice = notice
        self._maps = Maps(folder, config.detector.save_maps)
        self._wanted = Pictures(config.save_images, config.save_crops)
        self._pictures: PictureFiles | None = None
        self._painter: Painter | None = None
        self.formats = (*self._maps.formats, *formats_of(self._wanted))
        self.undrawn = 0
        self.unfinished = False

    def open(self, context: Context, earlier: bool) -> None:
        """Gets ready to keep; once the names of classes are known.

        Args:
            context: Of formats.
            earlier: There may be files of earlier runs.
        """
        self._pictures = PictureFiles(self._folder, self._wanted, context.names, earlier)
        task = find_task(context.task, RUN)
        if self._maps.formats and MAP not in task.image_fields:
            self._notice(f"--save-maps: models for {task.name} give no map")
        for what in trouble(self._wanted, task):
            self._notice(what)

    def keep(self, outcome: Outcome) -> Outcome:
        """Writes the files of an image in place of earlier ones; see `Maps.keep` and `PictureFiles.keep`."""
        assert self._pictures is not None
        return self._pictures.keep(self._maps.keep(outcome))

    def has_lost(self, past: Past, path: str) -> bool:
        """Tells whether an image must be done again for a file that is gone, as its pixels alone are not enough."""
        return self._maps.has_lost(past, path)

    def missing(self, context: Context, stopped: Callable[[], bool]) -> list[Writer]:
        """Returns what makes those that can be made of records.

        Args:
            context: Of formats.
            stopped: Make no more of them, as they can take long.
        """
        if self._pictures is None:
            self.open(context, earlier=True)
        assert self._pictures is not None
        if not self._wanted or not (self._pictures.earlier or self._pictures.missing):
            return []
        self._painter = Painter(self._pictures, context.task, missing=True, stopped=stopped)
        return [self._painter]

    def tell(self) -> None:
        """Says what is not there, once all that was missing has been tried."""
        if self._painter is None:
            return
        self.undrawn, self.unfinished = self._painter.failed, self._painter.left > 0
        if self._painter.first is not None:
            failure = self._painter.first
            many = f"{self.undrawn:,} image{'s have' if self.undrawn > 1 else ' has'} no picture"
            self._notice(f"{many}; {failure.path}: {failure.message}")
        if self.unfinished:
            self._notice(f"pictures of {self._painter.left:,} images are left to be made; the same command goes on")
