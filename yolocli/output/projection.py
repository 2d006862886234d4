"""The journal of an output folder, made into files for people and programs: all of it, or the surer part of it."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

from yolocli.errors import UsageError
from yolocli.output.earlier import root_of_earlier
from yolocli.output.folder import PARTIAL, OutputFolder
from yolocli.output.formats import open_exporter, written_by
from yolocli.output.formats.base import Exporter, LiveExporter
from yolocli.output.formats.failures import Failures
from yolocli.output.journal import Journal, heads, mend, replay
from yolocli.output.ownership import JOURNAL, LOCK, RUN, refuse_foreign
from yolocli.results import ImageResult, Outcome
from yolocli.sources.base import Notice
from yolocli.sources.names import Root
from yolocli.tasks.classes import class_ids


def _unheard(message: str) -> None: ...


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


@dataclass(frozen=True, slots=True)
class Choice:
    """Which boxes of a run to keep.

    Attributes:
        confidence: Boxes below this score are left out, in [0, 1]; None keeps all.
        classes: Names or ids of the classes to keep; None keeps all.
    """

    confidence: float | None = None
    classes: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.confidence is not None and not 0 <= self.confidence <= 1:
            raise UsageError(f"--conf {self.confidence}: must be in [0, 1]")


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
    with folder.writing(folder.root):
        every = [*exporters, Failures(folder, timings)]
        for outcome in _outcomes(folder, roots):
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


def rebuild(root: Path, formats: Iterable[str], timings: bool = False, notice: Notice = _unheard) -> int:
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
    folder = _opened(root)
    files, sub_folders = written_by(formats)
    refuse_foreign(root, (JOURNAL, *files), sub_folders)
    with folder.held():
        mend(folder, notice)
        totals = project(folder, formats, timings, roots_of(folder) or ())
        folder.sync()
        return totals.images + totals.failures


def extract(
    root: Path,
    target: Path,
    formats: Sequence[str],
    choice: Choice,
    timings: bool = False,
    notice: Notice = _unheard,
) -> int:
    """Makes a new output folder of the boxes that a run with stricter settings would have kept.

    It is what such a run would leave, but for boxes whose score rounds to the threshold, and for images with as many
    boxes as --max-det allows.

    Args:
        root: The output folder of a run.
        target: The new folder; must be empty, if it is there.
        formats: Names from the registry.
        choice: What to keep.
        timings: See `project`.
        notice: Told of damage to the journal.

    Returns:
        Images in it.

    Raises:
        UsageError: If there is no journal, the target is in use, or what is asked for is not in the records.
        OutputError: If the journal is damaged or a file cannot be written.
    """
    source, made = _opened(root), OutputFolder(target)
    refuse_foreign(root, [JOURNAL], {})
    if target.exists() and any(entry.name != LOCK for entry in target.iterdir()):
        raise UsageError(f"--output {target}: is not empty; name a new folder")
    with ExitStack() as stack:
        stack.enter_context(source.held())
        mend(source, notice)
        roots = roots_of(source)
        run = source.read_json(RUN) or {}
        fingerprint = dict(run.get("fingerprint") or {})
        keep = _keeping(choice, fingerprint, run.get("names") or _names_in(source))
        stack.enter_context(made.held())
        if choice.confidence is not None:
            fingerprint["confidence"] = choice.confidence
        if choice.classes is not None:
            fingerprint["classes"] = sorted(set(choice.classes))
        settings = (run.get("settings") or {}) | {"formats": list(formats), "exported_from": os.path.abspath(root)}
        stored = {} if roots is None else {"roots": [asdict(entry) for entry in roots]}  # unknown is not none
        run |= {"fingerprint": fingerprint, "settings": settings} | stored
        stack.enter_context(_nothing_left(made))
        made.write_json(RUN, run | {"finished": None})
        with closing(Journal(made, timings)) as journal:
            for outcome in _outcomes(source, roots or ()):
                if isinstance(outcome, ImageResult):
                    kept = tuple(box for box in outcome.detections if keep(box.class_id, box.confidence))
                    outcome = replace(outcome, detections=kept)
                journal.append(outcome)
        totals = project(made, formats, timings)
        made.conclude({RUN: run})
        return totals.images + totals.failures


@contextmanager
def _nothing_left(made: OutputFolder) -> Iterator[None]:
    """Empties a folder that was empty before, if the block fails: half of it would be in the way of another try."""
    try:
        yield
    except BaseException:
        made.remove(*(entry.name for entry in made.root.iterdir() if entry.name not in {LOCK, PARTIAL}))
        raise


def roots_of(folder: OutputFolder) -> list[Root] | None:
    """Returns the roots of a folder; None if an earlier version wrote it and they cannot be found out."""
    run = folder.read_json(RUN) or {}
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


class _Keep(Protocol):
    def __call__(self, class_id: int, confidence: float, /) -> bool: ...


def _keeping(choice: Choice, fingerprint: Mapping[str, Any], names: Mapping[str, str]) -> _Keep:
    """Returns what tells whether a box is chosen.

    Raises:
        UsageError: If boxes are asked for that the run did not keep.
    """
    least = fingerprint.get("confidence", 0.0)
    if choice.confidence is not None and choice.confidence < least:
        raise UsageError(
            f"--conf {choice.confidence}: the run kept no box below {least}; that needs a run of its own, with detect"
        )
    by_id = {int(index): name for index, name in names.items()}
    wanted = None if choice.classes is None else set(class_ids(choice.classes, by_id))
    had = fingerprint.get("classes")
    if wanted is not None and had is not None and (missing := wanted - set(class_ids(had, by_id))):
        known = ", ".join(by_id[index] for index in sorted(missing))
        raise UsageError(f"--classes {known}: the run kept {', '.join(had)} only; that needs a run of its own")
    threshold = choice.confidence or 0.0
    return lambda class_id, confidence: confidence >= threshold and (wanted is None or class_id in wanted)


def _names_in(folder: OutputFolder) -> dict[str, str]:
    """Returns the class names that are in the records, of a folder that does not keep those of the model."""
    results = (outcome for outcome in replay(folder.root / JOURNAL) if isinstance(outcome, ImageResult))
    return {str(box.class_id): box.name for outcome in results for box in outcome.detections}


def _opened(root: Path) -> OutputFolder:
    if not (root / JOURNAL).exists():
        raise UsageError(f"{root}: holds no {JOURNAL}; name the output folder of a run")
    return OutputFolder(root)


def _outcomes(folder: OutputFolder, roots: Sequence[Root]) -> Iterator[Outcome]:
    for outcome in replay(folder.root / JOURNAL):
        if outcome.ref.source:
            yield outcome
        else:
            yield replace(outcome, ref=replace(outcome.ref, source=below_nameless(roots, outcome.path)))
