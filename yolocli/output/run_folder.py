"""The results on disk: the lock, the settings, the journal and its projections, as one thing to open and close."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import ExitStack, suppress
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from yolocli.config import RunConfig
from yolocli.errors import OutputError, UsageError
from yolocli.executors.settle import Settled
from yolocli.output.fingerprint import changed_settings, fingerprint
from yolocli.output.folder import OutputFolder, places
from yolocli.output.formats import EXPORTERS, PER_IMAGE, TABLES, exporter_factory, open_exporter, written_by
from yolocli.output.journal import DAMAGED, Head, Journal, Known, Past, mend, named, replay
from yolocli.output.ownership import JOURNAL, RUN, SUMMARY, refuse_foreign
from yolocli.output.projection import Totals, below_nameless, project, roots_of
from yolocli.results import ImageFailure, Item, Outcome
from yolocli.sources import source_of
from yolocli.sources.base import Notice
from yolocli.sources.names import LONGEST, Names, Root
from yolocli.summary import RunSummary
from yolocli.tasks.classes import class_ids


class Store:
    """An output folder in use by one run.

    Attributes:
        names: What images are called in it.
        skipped: Images found done, so far.
        skipped_failures: Among them, failures that are not tried again.
        vanished: Images in the journal that are gone from the folders walked; known at the end.
        pruned: Among them, those whose records were dropped.
        damaged: Lines of the journal that were found damaged.
        totals: Of all that the folder holds; known at the end.
    """

    def __init__(self, config: RunConfig, settled: Settled, notice: Notice) -> None:
        assert config.output is not None
        self._config = config
        self._settled = settled
        self._fingerprint = fingerprint(settled.detector.plan)
        self._notice = notice
        self._folder = OutputFolder(config.output)
        self._stack = ExitStack()
        self.skipped = self.skipped_failures = self.vanished = self.pruned = self.damaged = 0
        self.totals = Totals()
        self._started = _now()

    def __enter__(self) -> Store:
        """Locks the folder, checks that it may be gone on with, and opens the journal.

        Raises:
            UsageError: If another run has the folder, its records were made with other settings, or files of somebody
                else stand in the way.
            OutputError: If it cannot be written.
        """
        self._refuse_foreign(self._config.formats)
        with ExitStack() as stack:
            stack.enter_context(self._folder.held())
            if self._config.overwrite:
                self._clear()
            self._before = self._folder.read_json(RUN) or {}
            self._classes: dict[str, str] = self._before.get("names") or {}
            self._check_fingerprint()
            self.damaged = mend(self._folder, self._notice)
            self._past = Past(self._folder.root / JOURNAL)
            stack.callback(self._past.close)
            self.names = Names(self._known_roots(), self._past.first_parts)
            # those that earlier runs wrote must not fall behind
            before = [name for name in self._settings_before.get("formats", ()) if name in EXPORTERS]
            self._formats = list(dict.fromkeys([*self._config.formats, *before]))
            self._late = self._new_formats(self._formats)
            if self._unsure:
                for head in self._past.dropped():
                    self._remove_files(head.path)
            self._folder.remove(SUMMARY)  # that of an earlier run would speak for this one
            self._noted = False
            if self._before:  # an empty folder has nothing to lose before its first line
                self._note_run()
            else:
                self._folder.write_json(RUN, self._run(None))
            self._journal = Journal(self._folder, self._config.timings)
            stack.callback(self._journal.close)
            self._live = [
                open_exporter(name, self._folder, self._config.timings)
                for name in self._formats
                if exporter_factory(name).live
            ]
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def start(self, bases: Iterable[Root]) -> None:
        """Makes roots of what the run was told to search, and says so if the folder holds results of others.

        Args:
            bases: See `Names.start`.
        """
        for root in self.names.start(bases):
            self._notice(f"{root.path}: new to {self._folder.root}; images there are called {root.name}/...")

    def pending(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yields what is still to be done, and counts what is not."""
        for item in items:
            known = self._past.look_up(item.ref if isinstance(item, ImageFailure) else item)
            if known is Known.DONE or (known is Known.FAILED and not self._config.retry_failed):
                self.skipped += 1
                self.skipped_failures += known is Known.FAILED
            else:
                yield item

    def knows_classes(self, names: Mapping[int, str]) -> None:
        """Keeps the class names of the model, for run.json."""
        self._classes = {str(index): name for index, name in names.items()}

    def add(self, outcome: Outcome) -> None:
        """Writes an outcome down. The journal comes last, so that what it holds has its files, too.

        Raises:
            OutputError: If it cannot be written.
        """
        if self.names.changed or not self._noted:  # before a name that depends on it
            self._note_run()
        for exporter in self._live:
            exporter.add(outcome)
        self._journal.append(outcome)

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
            source = self._source(head)
            if not any(folder in walked for folder in _upwards(source)):
                continue
            if head.stage == "discover" and source_of(source).can_list(source):
                self._drop(head)
            elif source_of(source).gone(source):
                self.vanished += 1
                if self._config.prune:
                    self._drop(head)
                    self.pruned += 1

    def finish(self) -> None:
        """Makes the projections of the whole journal.

        Raises:
            OutputError: If they cannot be written.
        """
        self._journal.check()
        self._refuse_foreign(self._formats)  # of what came during the run
        live = [name for name in self._formats if exporter_factory(name).live]
        # where there was nothing before, this run has just written all of them
        formats = self._formats if self._past.images else [name for name in self._formats if name not in live]
        written = [name for name in live if name not in self._late]
        self.totals = project(self._folder, formats, self._config.timings, self.names.roots, written)
        self._journal.check()

    def conclude(self, summary: RunSummary) -> None:
        """Makes all outlive a power cut, and only then writes the summary and the end of the run.

        Raises:
            OutputError: If that cannot be done; then there is no summary.
        """
        self._journal.sync()
        try:
            self._folder.conclude({SUMMARY: summary.to_dict(), RUN: self._run(_now())})
        except OutputError:
            with suppress(OutputError):
                self._folder.remove(SUMMARY)
            raise

    def _refuse_foreign(self, formats: Iterable[str]) -> None:
        files, sub_folders = written_by(formats)
        refuse_foreign(self._folder.root, (RUN, JOURNAL, SUMMARY, *files), sub_folders)

    def _clear(self) -> None:
        """Removes what an earlier run made, by its journal, and nothing that anybody else put there."""
        images = named(self._folder)
        if self._folder.read_json(RUN) is None and not images:
            return
        self._folder.refuse_foreign_images(self._recorded(), written_by(self._config.formats)[1])
        for path in images:
            self._remove_files(path)
        self._folder.remove_own(*TABLES)
        self._folder.remove(JOURNAL, DAMAGED, SUMMARY, RUN)
        self._folder.sync_names()  # or a power cut might bring the old journal back, beside a new run.json

    def _recorded(self) -> Iterator[str]:
        """Yields the images of the journal; of one that is damaged or gone, what it can still name."""
        with suppress(OutputError, FileNotFoundError):
            for outcome in replay(self._folder.root / JOURNAL):
                yield outcome.path

    def _has_records(self) -> bool:
        journal = self._folder.root / JOURNAL
        return journal.exists() and journal.stat().st_size > 0

    def _check_fingerprint(self) -> None:
        if not self._has_records():
            return
        wanted = self._config.detector.classes
        if wanted is not None and self._classes:
            class_ids(wanted, {int(index): name for index, name in self._classes.items()})  # or a typo is a setting
        before = self._before.get("fingerprint")
        if not isinstance(before, dict):
            raise UsageError(
                f"{self._folder.root / RUN}: is missing or cannot be read, and so it is not known what settings "
                f"{JOURNAL} was made with; put it back, use another --output, or --overwrite to start anew"
            )
        changed = changed_settings(before, self._fingerprint, self._classes)
        if before.get("weights_sha256") != self._fingerprint["weights_sha256"]:
            was, now = self._settings_before.get("model"), str(self._settled.detector.model)
            changed.append(f"--model was {was}, is {now}" if was != now else f"the file of --model {now} has changed")
        if changed:
            raise UsageError(
                f"{self._folder.root} holds results of other settings ({'; '.join(changed)}); "
                "use another --output, or --overwrite to start anew"
            )

    def _known_roots(self) -> list[Root]:
        """Returns the roots of the folder.

        Raises:
            UsageError: If an earlier version wrote it and they cannot be found out.
        """
        roots = roots_of(self._folder)
        if roots is None:
            inputs = self._settings_before.get("inputs") or [self._settings_before.get("files_from")]
            raise UsageError(
                f"{self._folder.root} was written by an earlier version, which did not note where the images of "
                f"{', '.join(map(str, inputs))} lie, and it cannot be told from here: use another --output, or "
                "--overwrite to start anew (`yolocli export` still reads it)"
            )
        return roots

    @property
    def _settings_before(self) -> Mapping[str, Any]:
        return self._before.get("settings") or {}

    def _source(self, head: Head) -> str:
        return head.source or below_nameless(self.names.roots, head.path)

    def _drop(self, head: Head) -> None:
        self._journal.drop(head)
        self._remove_files(head.path)

    def _remove_files(self, path: str) -> None:
        """Removes the files of an image."""
        self._folder.remove_images(place for name, suffix in PER_IMAGE.items() for place in places(name, path, suffix))

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
        self._folder.write_json(RUN, self._run(None), durable=True)
        self.names.changed, self._noted = False, True

    def _run(self, finished: str | None) -> dict[str, Any]:
        config, detector = self._config, self._settled.detector
        plan = detector.plan
        settings = {
            "inputs": _printable(config.source.inputs),
            "files_from": config.source.files_from,
            "model": str(detector.model),
            "runtime": plan.runtime,
            "runtime_chosen": plan.why or "asked for",
            "precision": plan.precision.value if plan.precision else None,
            "mode": config.mode,
            "workers": self._settled.workers,
            "threads_per_worker": detector.threads,
            "batch": self._settled.batch,
            "devices": list(config.devices),
            # a format that is new to the folder is in it from the end of the run on, not before
            "formats": [name for name in self._formats if finished or name not in self._late],
        }
        return {
            "fingerprint": self._fingerprint,
            "settings": settings,
            "roots": [asdict(root) for root in self.names.roots],
            "names": self._classes,
            "versions": _versions(),
            "started": self._started,
            "finished": finished,
        }


def has_run(output: Path) -> bool:
    """Tells whether a run has written to a folder before."""
    return (output / RUN).exists()


def _upwards(path: str) -> Iterator[str]:
    """Yields the folders that hold a path, the nearest first."""
    path = path[: LONGEST + 1]
    while (parent := os.path.dirname(path)) != path:
        yield parent
        path = parent


def _printable(names: Iterable[str]) -> list[str]:
    return [name.encode("utf-8", "backslashreplace").decode() for name in names]


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("yolocli", "ultralytics", "torch", "openvino", "opencv-python", "numpy"):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
