"""The results on disk: the lock, the settings, the journal and its projections, as one thing to open and close."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import ExitStack, suppress
from dataclasses import asdict
from typing import Any

from yolocli.config import RunConfig
from yolocli.errors import OutputError
from yolocli.executors.base import Loaded
from yolocli.executors.settle import Settled
from yolocli.output.beside import besides
from yolocli.output.fingerprint import fingerprint, refuse_other_settings, refuse_root
from yolocli.output.folder import OutputFolder
from yolocli.output.formats import and_earlier, every_format, files_of, find_formats, open_final, open_live, trees_of
from yolocli.output.formats.base import Context, Format, Writer
from yolocli.output.journal import Journal, mend
from yolocli.output.lines import Head
from yolocli.output.made import Made
from yolocli.output.overwrite import clear
from yolocli.output.ownership import JOURNAL, OWN_FILES, RUN, SUMMARY, refuse_foreign
from yolocli.output.past import Known, Past
from yolocli.output.projection import Totals, WhereMissing, below_nameless, known_roots, model_in, names_of, project
from yolocli.output.run_file import conclude, now, read_json, settings_of, versions, write_json
from yolocli.output.trees import refuse_changed
from yolocli.results import ImageFailure, Item, Outcome
from yolocli.sources import holders, source_of
from yolocli.sources.base import Notice
from yolocli.sources.names import Names, Root
from yolocli.summary import RunSummary


class RunFolder:
    """An output folder in use by one run.

    Attributes:
        names: What images are called in it.
        skipped: Images found done, so far.
        skipped_failures: Among them, failures that are not tried again.
        vanished: Images in the journal that are gone from the folders walked; known at the end.
        pruned: Among them, those whose records were dropped.
        damaged: Lines of the journal that were found damaged.
        made: Files that are made of pixels.
        totals: Of all that the folder holds; known at the end.
    """

    def __init__(self, config: RunConfig, settled: Settled, notice: Notice) -> None:
        assert config.output is not None
        self._config = config
        self._settled = settled
        self._notice = notice
        self._folder = OutputFolder(config.output)
        self.made = Made(self._folder, config, notice)
        self._stack, self.totals = ExitStack(), Totals()
        self.skipped = self.skipped_failures = self.vanished = self.pruned = self.damaged = 0
        self._started = now()

    def __enter__(self) -> RunFolder:
        """Locks the folder, checks that it may be gone on with, and opens the journal.

        Raises:
            UsageError: If another run has the folder, its records were made with other settings, or files of somebody
                else stand in the way.
            OutputError: If it cannot be written.
        """
        asked = find_formats(self._config.written)
        self._refuse_foreign(asked)
        for beside in besides(self._folder, trees_of(asked.values())):
            beside.check_inputs(str(self._folder.root), self._config.source)
        with ExitStack() as stack:
            stack.enter_context(self._folder.held())
            if self._config.overwrite:
                clear(self._folder, (*asked.values(), *self.made.formats))
            self._before = read_json(self._folder, RUN) or {}
            self._model = model_in(self._before)
            journal = self._folder.root / JOURNAL
            if journal.exists() and journal.stat().st_size:
                shard = self._config.source.shard
                refuse_other_settings(self._folder.root, self._before, self._settled.detector, shard)
            self.damaged = mend(self._folder, self._notice)
            self._past = Past(journal)
            stack.callback(self._past.close)
            self.names = Names(known_roots(self._folder, self._settings_before), self._past.first_parts)
            self._formats = and_earlier(asked, self._settings_before.get("formats", ()))
            refuse_changed(self._folder, trees_of(self._formats.values()))
            self._besides = besides(self._folder, trees_of(self._formats.values()))
            self._late = self._new_formats(self._formats)
            if self._unsure:
                for head in self._past.dropped():
                    self._remove_files(head.path)
            self._folder.remove(SUMMARY)  # that of an earlier run would speak for this one
            self._noted = False
            if self._before:  # an empty folder has nothing to lose before its first line
                self._note_run()
            else:
                write_json(self._folder, RUN, self._run(None))
            self._journal = Journal(self._folder, self._config.timings)
            stack.callback(self._journal.close)
            self._live: list[Writer] | None = None
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def start(self, bases: Iterable[Root]) -> None:
        """Makes roots of what the run was told to search, and says so if the folder holds results of others.

        Args:
            bases: See `Names.start`.

        Raises:
            UsageError: If the folder holds a shard, and they are not what it began with.
        """
        for root in self.names.start(bases):
            refuse_root(root.path, self._folder.root, self._config.source.shard)
            self._notice(f"{root.path}: new to {self._folder.root}; images there are called {root.name}/...")

    def pending(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yields what is still to be done, and counts what is not.

        Raises:
            UsageError: If a link to an image would lie among pictures of somebody else; see `Beside`.
        """
        for item in items:
            for beside in self._besides:
                beside.check(item)
            known = self._past.look_up(item.ref if isinstance(item, ImageFailure) else item)
            done = known is Known.DONE and not self.made.has_lost(self._past, item.path)
            if done or (known is Known.FAILED and not self._config.retry_failed):
                self.skipped += 1
                self.skipped_failures += known is Known.FAILED
            else:
                yield item

    def knows_model(self, model: Loaded) -> None:
        """Keeps what run.json and formats are told of the model; to be called before `add`.

        Args:
            model: Without class names if none was loaded, as the run was stopped.
        """
        if model.names:
            names = {str(index): name for index, name in model.names.items()}
            self._model = {"task": model.task, "names": names, "keypoints": model.keypoints}

    def add(self, outcome: Outcome) -> Outcome:
        """Writes an outcome down. The journal comes last, so that what it holds has its files, too.

        Returns:
            It, as it was written down.

        Raises:
            OutputError: If it cannot be written.
        """
        if self.names.changed or not self._noted:  # before a name that depends on it
            self._note_run()
        if self._live is None:  # not before the class names are known
            context = self._context()
            self._live = open_live(self._formats.values(), context)
            self.made.open(context, earlier=bool(self._before))
        outcome = self.made.keep(outcome)
        for writer in self._live:
            writer.add(outcome)
        self._journal.append(outcome)
        return outcome

    def settle_gone(self, walked: Set[str]) -> None:
        """Deals with what the journal holds and a walk that came to its end has not met.

        A folder that could not be listed and now can is no failure any more. An image that is gone has vanished; its
        record stays unless it is to be pruned.

        Args:
            walked: Folders that were walked, with all below them.

        Raises:
            OutputError: If the journal cannot be written.
        """
        for head in self._past.unseen():
            source = head.source or below_nameless(self.names.roots, head.path)
            if walked.isdisjoint((source, *holders(source))):
                continue
            if head.stage == "discover" and source_of(source).can_list(source):
                self._drop(head)
            elif source_of(source).gone(source):
                self.vanished += 1
                if self._config.prune:
                    self._drop(head)
                    self.pruned += 1

    def finish(self, stopped: Callable[[], bool] = lambda: False) -> None:
        """Makes the projections of the whole journal, and pictures that are missing.

        Args:
            stopped: Make no more pictures, as they can take long.

        Raises:
            OutputError: If they cannot be written.
        """
        self._journal.check()
        self._refuse_foreign(self._formats)  # of what came during the run
        for writer in self._live or ():
            writer.close()
        context = self._context()
        writers = open_final(self._formats.values(), context)
        if self._past.images:  # or this run has just written all files of images
            writers += self._complete(context)
        self.totals = project(self._folder, writers + self.made.missing(context, stopped), self.names.roots)
        self.made.tell()
        self._journal.check()

    def conclude(self, summary: RunSummary) -> None:
        """Makes all outlive a power cut, and only then writes the summary and the end of the run.

        Raises:
            OutputError: If that cannot be done; then there is no summary.
        """
        self._journal.sync()
        try:
            conclude(self._folder, {SUMMARY: summary.to_dict(), RUN: self._run(now(), summary.complete)})
        except OutputError:
            with suppress(OutputError):
                self._folder.remove(SUMMARY)
            raise

    def _refuse_foreign(self, formats: Mapping[str, Format]) -> None:
        files, images = files_of((*formats.values(), *self.made.formats))
        refuse_foreign(self._folder.root, (*OWN_FILES, *files), images, trees_of(formats.values()))

    def _context(self) -> Context:
        return Context(
            self._folder,
            {int(index): name for index, name in names_of(self._folder, self._model).items()},
            self._model["task"],
            tuple(self.names.roots),
            settings_of(self._config, self._settled, list(self._formats)),
            self._config.timings,
            fingerprint(self._settled.detector.plan),
            keypoints=self._model["keypoints"],
            notice=self._notice,
        )

    def _complete(self, context: Context) -> list[Writer]:
        """Returns what writes the files that images done before do not have."""
        return [
            writer if text in self._late else WhereMissing(writer, wanted.images, self._folder)
            for text, wanted in self._formats.items()
            for writer in open_live([wanted], context)
        ]

    @property
    def _settings_before(self) -> Mapping[str, Any]:
        return self._before.get("settings") or {}

    def _drop(self, head: Head) -> None:
        self._journal.drop(head)
        self._remove_files(head.path)

    def _remove_files(self, path: str) -> None:
        """Removes the files of an image, in every format that there is."""
        self._folder.remove_images(files_of(every_format())[1], path)

    def _new_formats(self, formats: Iterable[str]) -> list[str]:
        """Returns the formats that images done before were not written in, or not for sure."""
        if not self._past.images:
            return []
        if "roots" not in self._before:  # what an earlier version wrote does not say which file it is about
            return list(formats)
        written = () if self._unsure else self._settings_before.get("formats", ())
        return [name for name in formats if name not in written]

    @property
    def _unsure(self) -> bool:
        """Whether files of images may not be what the journal says.

        What a run wrote that did not come to its end may be empty, torn or still there after a power cut. And where a
        line was damaged, an older one counts.
        """
        return not self._before.get("finished") or self.damaged > 0

    def _note_run(self) -> None:
        """Writes down what resuming needs, before what depends on it."""
        write_json(self._folder, RUN, self._run(None), durable=True)
        self.names.changed, self._noted = False, True

    def _run(self, finished: str | None, complete: bool = False) -> dict[str, Any]:
        # a format that is new to the folder is in it from the end of the run on, not before
        formats = [name for name in self._formats if finished or name not in self._late]
        return {
            "fingerprint": fingerprint(self._settled.detector.plan),
            "settings": settings_of(self._config, self._settled, formats),
            "roots": [asdict(root) for root in self.names.roots],
            **self._model,
            "versions": versions(),
            "started": self._started,
            "finished": finished,
            "complete": complete,
        }
