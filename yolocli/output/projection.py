"""The journal of an output folder, made into files for people and programs: all of it, or the surer part of it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from yolocli.errors import UsageError
from yolocli.output.disk import writing
from yolocli.output.earlier import root_of_earlier
from yolocli.output.folder import OutputFolder
from yolocli.output.formats import files_of, find_formats, noted, open_final, open_live, trees_of
from yolocli.output.formats.base import Context, Format, Writer
from yolocli.output.journal import mend
from yolocli.output.ownership import DAMAGED_FILE, JOURNAL, JOURNAL_FILE, RUN, refuse_foreign
from yolocli.output.past import heads, replay
from yolocli.output.run_file import read_json, write_json
from yolocli.output.sink import ImageFiles, Sink
from yolocli.output.trees import refuse_changed
from yolocli.results import ImageResult, Outcome
from yolocli.sources.base import Notice
from yolocli.sources.names import Root
from yolocli.tasks import DEFAULT_TASK


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


class WhereMissing:
    """A `Writer` of the files of images, for those alone of which a file is not there or empty."""

    def __init__(self, writer: Writer, images: Sequence[ImageFiles], sink: Sink) -> None:
        self._writer = writer
        self._images = images
        self._sink = sink

    def add(self, outcome: Outcome) -> None:
        """See `Writer.add`."""
        if not all(self._sink.has_image(files, outcome.path) for files in self._images):
            self._writer.add(outcome)

    def close(self) -> None:
        """See `Writer.close`."""
        self._writer.close()


def project(folder: OutputFolder, writers: Iterable[Writer], roots: Sequence[Root] = ()) -> Totals:
    """Makes projections from the journal of a folder.

    Args:
        folder: An output folder that no run is writing to.
        writers: What is given every outcome, in input order, and closed.
        roots: What tells where an image lies whose record does not, as an earlier version wrote it.

    Returns:
        What the journal holds.

    Raises:
        OutputError: If the journal is damaged or a file cannot be written.
    """
    writers = list(writers)
    images = failures = detections = 0
    with writing(folder.root):
        for outcome in outcomes_of(folder, roots):
            if isinstance(outcome, ImageResult):
                images += 1
                detections += len(outcome.detections)
            else:
                failures += 1
            for writer in writers:
                writer.add(outcome)
        for writer in writers:
            writer.close()
    folder.check()
    return Totals(images, failures, detections)


def rebuild(root: Path, formats: Iterable[str], timings: bool = False, notice: Notice = lambda message: None) -> int:
    """Makes projections of the journal in an output folder that no run is using; see `project`.

    Args:
        root: The folder.
        formats: See `find_formats`.
        timings: Put the milliseconds of each stage into them, if the journal has them.
        notice: Told of damage to the journal, and of what a format has no place for.

    Returns:
        Images in it.

    Raises:
        UsageError: If it holds no journal, a run is writing to it, or files of somebody else stand in the way.
        OutputError: If the journal is damaged or a file cannot be written.
    """
    wanted = find_formats(formats)
    folder = opened(root)
    files, images = files_of(wanted.values())
    refuse_foreign(root, (JOURNAL_FILE, DAMAGED_FILE, *files), images, trees_of(wanted.values()))
    with folder.held():
        refuse_changed(folder, trees_of(wanted.values()))
        mend(folder, notice)
        _note(folder, wanted)
        totals = project_all(folder, wanted.values(), timings, notice)
        folder.sync()
        return totals.images + totals.failures


def _note(folder: OutputFolder, formats: Iterable[str]) -> None:
    """Has later runs keep formats up to date, as those that they wrote themselves; before there are any."""
    run = read_json(folder, RUN)
    if run is not None:
        settings = run.get("settings") or {}
        written = noted(formats, settings.get("formats", ()))
        if written != settings.get("formats"):
            write_json(folder, RUN, {**run, "settings": {**settings, "formats": written}}, durable=True)


def project_all(
    folder: OutputFolder, formats: Iterable[Format], timings: bool, notice: Notice = lambda message: None
) -> Totals:
    """Makes all projections of a folder anew; see `project` and `Context.notice`."""
    run = read_json(folder, RUN) or {}
    roots = roots_of(folder) or ()
    model = model_in(run)
    names = {int(index): name for index, name in names_of(folder, model).items()}
    context = Context(
        folder,
        names,
        model["task"],
        tuple(roots),
        run.get("settings") or {},
        timings,
        run.get("fingerprint") or {},
        keypoints=model["keypoints"],
        notice=notice,
    )
    formats = list(formats)
    return project(folder, open_live(formats, context) + open_final(formats, context), roots)


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


def known_roots(folder: OutputFolder, settings: Mapping[str, Any]) -> list[Root]:
    """Returns the roots of a folder that is to be gone on with.

    Args:
        folder: The folder.
        settings: As its run.json has them.

    Raises:
        UsageError: If an earlier version wrote it and they cannot be found out.
    """
    roots = roots_of(folder)
    if roots is None:
        inputs = settings.get("inputs") or [settings.get("files_from")]
        raise UsageError(
            f"{folder.root} was written by an earlier version, which did not note where the images of "
            f"{', '.join(map(str, inputs))} lie, and it cannot be told from here: use another --output, or "
            "--overwrite to start anew (`yolocli export` still reads it)"
        )
    return roots


def model_in(run: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a run.json keeps of the model, which may be of an earlier version."""
    return {
        "task": run.get("task") or DEFAULT_TASK,
        "names": run.get("names") or {},
        "keypoints": run.get("keypoints") or 0,
    }


def names_of(folder: OutputFolder, run: Mapping[str, Any]) -> Mapping[str, str]:
    """Returns class names by id, of the model; those in the records where a folder does not keep them.

    Args:
        folder: The folder.
        run: Its run.json.
    """
    if run.get("names"):
        return dict(run["names"])
    results = (outcome for outcome in replay(folder.root / JOURNAL) if isinstance(outcome, ImageResult))
    return {str(box.class_id): box.name for outcome in results for box in outcome.detections}


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
