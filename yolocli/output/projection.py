"""The journal of an output folder, made into files for people and programs: all of it, or the surer part of it."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from yolocli.errors import UsageError
from yolocli.output.disk import writing
from yolocli.output.earlier import root_of_earlier
from yolocli.output.folder import OutputFolder
from yolocli.output.formats import open_exporter, written_by
from yolocli.output.formats.base import Exporter, LiveExporter
from yolocli.output.formats.failures import Failures
from yolocli.output.journal import mend
from yolocli.output.ownership import JOURNAL, RUN, refuse_foreign
from yolocli.output.past import heads, replay
from yolocli.output.run_file import read_json
from yolocli.results import ImageResult, Outcome
from yolocli.sources.names import Root
from yolocli.sources.walk import Notice


@dataclass(frozen=True, slots=True)
class Totals:
    """What an output folder holds.

    Attributes:
        images: Images that gave a result.
        failures: Images that failed.
        detections: Boxes.
    """

    images: int = 0
    failures: int = 0
    detections: int = 0


class _WhereMissing:
    """An exporter that writes only the files that are not there or empty; see `Exporter`."""

    live: ClassVar[bool] = True

    def __init__(self, exporter: LiveExporter) -> None:
        self._exporter = exporter

    def add(self, outcome: Outcome) -> None:
        if not self._exporter.holds(outcome.path):
            self._exporter.add(outcome)

    def close(self) -> None:
        self._exporter.close()


def project(
    folder: OutputFolder,
    formats: Iterable[str],
    timings: bool = False,
    roots: Sequence[Root] = (),
    written: Collection[str] = (),
) -> Totals:
    """Makes projections from the journal of a folder.

    Args:
        folder: An output folder that no run is writing to.
        formats: Names from the registry.
        timings: Put the milliseconds of each stage into them, if the journal has them.
        roots: What tells where an image lies whose record does not, as an earlier version wrote it.
        written: Formats with a file per image of which only missing and empty files are to be made.

    Returns:
        What the journal holds.

    Raises:
        OutputError: If the journal is damaged or a file cannot be written.
        UsageError: If there is no such format.
    """
    exporters: list[Exporter] = []
    for name in formats:
        exporter = open_exporter(name, folder, timings)
        if name in written and isinstance(exporter, LiveExporter):
            exporter = _WhereMissing(exporter)
        exporters.append(exporter)
    images = failures = detections = 0
    with writing(folder.root):
        every = [*exporters, Failures(folder, timings)]
        for outcome in outcomes_of(folder, roots):
            if isinstance(outcome, ImageResult):
                images += 1
                detections += len(outcome.detections)
            else:
                failures += 1
            for exporter in every:
                exporter.add(outcome)
        for exporter in every:
            exporter.close()
    folder.check()
    return Totals(images, failures, detections)


def rebuild(root: Path, formats: Iterable[str], timings: bool = False, notice: Notice = lambda message: None) -> int:
    """Makes projections of the journal in an output folder that no run is using; see `project`.

    Args:
        root: The folder.
        formats: Names from the registry.
        timings: See `project`.
        notice: Told of damage to the journal.

    Returns:
        Images in it.

    Raises:
        UsageError: If it holds no journal, a run is writing to it, or files of somebody else stand in the way.
        OutputError: If the journal is damaged or a file cannot be written.
    """
    folder = opened(root)
    files, sub_folders = written_by(formats)
    refuse_foreign(root, (JOURNAL, *files), sub_folders)
    with folder.held():
        mend(folder, notice)
        totals = project(folder, formats, timings, roots_of(folder) or ())
        folder.sync()
        return totals.images + totals.failures


def roots_of(folder: OutputFolder) -> list[Root] | None:
    """Returns the roots of a folder; None if an earlier version wrote it and they cannot be found out."""
    run = read_json(folder, RUN) or {}
    if "roots" in run:
        return [Root(entry["path"], entry["name"]) for entry in run["roots"]]
    first = next(iter(heads(folder.root / JOURNAL)), None)
    if first is None:
        return []
    found = root_of_earlier(run.get("settings") or {}, heads(folder.root / JOURNAL))
    return None if found is None else [found]


def below_nameless(roots: Sequence[Root], path: str) -> str:
    """Returns where an image lies whose record does not say it: below the only root that there was then."""
    nameless = next((root for root in roots if not root.name), None)
    return os.path.join(nameless.path, *path.split("/")) if nameless else ""


def opened(root: Path) -> OutputFolder:
    """Returns the output folder of a run.

    Raises:
        UsageError: If it holds no journal.
    """
    if not (root / JOURNAL).exists():
        raise UsageError(f"{root}: holds no {JOURNAL}; name the output folder of a run")
    return OutputFolder(root)


def outcomes_of(folder: OutputFolder, roots: Sequence[Root]) -> Iterator[Outcome]:
    """Yields what a folder holds, each with what opens its image; see `replay` and `below_nameless`."""
    for outcome in replay(folder.root / JOURNAL):
        if outcome.ref.source:
            yield outcome
        else:
            yield replace(outcome, ref=replace(outcome.ref, source=below_nameless(roots, outcome.path)))
