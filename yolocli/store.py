"""The results on disk: the lock, the settings, the journal and its projections, as one thing to open and close."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from yolocli.config import RunConfig, changed_settings
from yolocli.errors import OutputError, UsageError
from yolocli.exporters import PER_IMAGE, TABLES, exporter_factory, open_exporter
from yolocli.exporters.failures import Failures
from yolocli.folder import OutputFolder, per_image
from yolocli.journal import JOURNAL, Journal, Known, Past, recover, replay
from yolocli.results import ImageFailure, Outcome
from yolocli.summary import RunSummary
from yolocli.walk import Notice
from yolocli.worker import Item

RUN = "run.json"
SUMMARY = "summary.json"
LOCK = ".lock"


class Store:
    """An output folder in use by one run.

    Attributes:
        skipped: Images found done, so far.
        skipped_failures: Among them, failures that are not tried again.
        vanished: Images in the journal that the walk has not met, so far.
    """

    def __init__(self, config: RunConfig, fingerprint: Mapping[str, Any], notice: Notice) -> None:
        assert config.output is not None
        self._config = config
        self._fingerprint = dict(fingerprint)
        self._notice = notice
        self._folder = OutputFolder(config.output)
        self._stack = ExitStack()
        self.skipped = self.skipped_failures = self.vanished = 0
        self._started = _now()

    def __enter__(self) -> Store:
        """Locks the folder, checks that it may be gone on with, and opens the journal.

        Raises:
            UsageError: If another run has the folder, or its records were made with other settings.
            OutputError: If it cannot be written.
        """
        with ExitStack() as stack:
            _own(self._folder, stack)
            if self._config.overwrite:
                self._clear()
            self._check_fingerprint()
            recover(self._folder)
            self._past = Past(self._folder.root / JOURNAL)
            self.vanished = self._past.images
            stack.callback(self._past.close)
            formats = dict.fromkeys(self._config.formats)
            self._late = self._new_formats(formats)
            self._compare_inputs()
            self._folder.remove(SUMMARY)  # that of an earlier run would speak for this one
            self._write_run(None)
            self._journal = Journal(self._folder, self._config.timings)
            stack.callback(self._journal.close)
            self._live = [
                open_exporter(name, self._folder, self._config.timings)
                for name in formats
                if exporter_factory(name).live
            ]
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def pending(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yields what is still to be done, and counts what is not."""
        for item in items:
            known = self._past.status(item.ref if isinstance(item, ImageFailure) else item)
            self.vanished -= known is not Known.NEW
            if known is Known.DONE or (known is Known.FAILED and not self._config.retry_failed):
                self.skipped += 1
                self.skipped_failures += known is Known.FAILED
            else:
                yield item

    def add(self, outcome: Outcome) -> None:
        """Writes an outcome down. The journal comes last, so that what it holds has its files, too.

        Raises:
            OutputError: If it cannot be written.
        """
        for exporter in self._live:
            exporter.add(outcome)
        self._journal.append(outcome)

    def finish(self) -> None:
        """Makes the projections of the whole journal.

        Raises:
            OutputError: If they cannot be written.
        """
        formats = [
            name
            for name in dict.fromkeys(self._config.formats)
            if name in self._late or not exporter_factory(name).live
        ]
        project(self._folder, formats, self._config.timings)

    def conclude(self, summary: RunSummary) -> None:
        """Writes the summary and the end of the run.

        Raises:
            OutputError: If they cannot be written.
        """
        self._folder.write_json(SUMMARY, summary.to_dict())
        self._write_run(_now())

    def _clear(self) -> None:
        """Removes what an earlier run made, by its journal, and nothing that anybody else put there."""
        if self._folder.read_json(RUN) is None:
            return
        for path in self._recorded():
            self._folder.remove_images(per_image(name, path, suffix) for name, suffix in PER_IMAGE.items())
        self._folder.remove(*TABLES, JOURNAL, SUMMARY, RUN)

    def _recorded(self) -> Iterator[str]:
        """Yields the images of the journal; of one that is damaged or gone, what it can still name."""
        with suppress(OutputError, FileNotFoundError):
            for outcome in replay(self._folder.root / JOURNAL):
                yield outcome.path

    def _check_fingerprint(self) -> None:
        journal = self._folder.root / JOURNAL
        if not journal.exists() or not journal.stat().st_size:
            return
        before = (self._folder.read_json(RUN) or {}).get("fingerprint")
        if not isinstance(before, dict):
            raise UsageError(f"{journal}: a journal without its run.json; use another --output")
        changed = changed_settings(before, self._fingerprint)
        if changed:
            raise UsageError(
                f"{self._folder.root} holds results of other settings ({'; '.join(changed)}); "
                "use another --output, or --overwrite to start anew"
            )

    def _compare_inputs(self) -> None:
        """Says what may surprise: images are known by their path below the input."""
        before = ((self._folder.read_json(RUN) or {}).get("settings") or {}).get("inputs")
        if self._past.images and before is not None and before != _printable(self._config.source.inputs):
            self._notice(f"{self._folder.root} holds results of other inputs; images of equal path replace each other")

    def _new_formats(self, formats: Iterable[str]) -> list[str]:
        """Returns the formats that images done before were not written in."""
        if not self._past.images:
            return []
        settings = (self._folder.read_json(RUN) or {}).get("settings") or {}
        return [name for name in formats if name not in settings.get("formats", ())]

    def _write_run(self, finished: str | None) -> None:
        config = self._config
        settings = {
            "inputs": _printable(config.source.inputs),
            "files_from": config.source.files_from,
            "model": config.detector.model,
            "runtime": config.detector.runtime.value,
            "runtime_chosen": config.detector.chosen or "asked for",
            "precision": config.detector.precision.value if config.detector.precision else None,
            "mode": config.mode.value,
            "workers": config.workers,
            "threads_per_worker": config.detector.threads,
            "batch": config.batch,
            "devices": list(config.devices),
            # a format that is new to the folder is in it from the end of the run on, not before
            "formats": [name for name in config.formats if finished or name not in self._late],
        }
        self._folder.write_json(
            RUN,
            {
                "fingerprint": self._fingerprint,
                "settings": settings,
                "versions": _versions(),
                "started": self._started,
                "finished": finished,
            },
        )


def rebuild(root: Path, formats: Iterable[str], timings: bool = False) -> int:
    """Makes projections of the journal in an output folder that no run is using; see `project`.

    Raises:
        UsageError: If it holds no journal, or a run is writing to it.
        OutputError: If the journal is damaged or a file cannot be written.
    """
    if not (root / JOURNAL).exists():
        raise UsageError(f"{root}: holds no {JOURNAL}; name the output folder of a run")
    folder = OutputFolder(root)
    with ExitStack() as stack:
        _own(folder, stack)
        recover(folder)
        return project(folder, formats, timings)


def project(folder: OutputFolder, formats: Iterable[str], timings: bool = False) -> int:
    """Makes projections from the journal of a folder.

    Args:
        folder: An output folder that no run is writing to.
        formats: Names from the registry.
        timings: Put the milliseconds of each stage into them, if the journal has them.

    Returns:
        Images in the journal.

    Raises:
        OutputError: If the journal is damaged or a file cannot be written.
        UsageError: If there is no such format.
    """
    exporters = [open_exporter(name, folder, timings) for name in formats]
    count = 0
    with folder.writing(folder.root):
        every = [*exporters, Failures(folder, timings)]
        for outcome in replay(folder.root / JOURNAL):
            count += 1
            for exporter in every:
                exporter.add(outcome)
        for exporter in every:
            exporter.close()
    return count


def _printable(names: Iterable[str]) -> list[str]:
    return [name.encode("utf-8", "backslashreplace").decode() for name in names]


def _own(folder: OutputFolder, stack: ExitStack) -> None:
    """Makes the folder one's own until the stack is closed, by a lock that the system drops when its process dies.

    Raises:
        UsageError: If another run has it.
        OutputError: If it cannot be written.
    """
    path = folder.root / LOCK
    lock = FileLock(path)
    with folder.writing(folder.root):
        folder.root.mkdir(parents=True, exist_ok=True)
    with folder.writing(path):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise UsageError(f"{folder.root}: another run is writing here; wait for it or use --output") from None
    stack.callback(lock.release)
    folder.create()
    stack.callback(folder.close)


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("yolocli", "ultralytics", "torch", "openvino", "opencv-python", "numpy"):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
