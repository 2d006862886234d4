"""The page of a run: from its journal, in two passes, as the first decides what the second shows."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from yolocli import __version__
from yolocli.config import DEFAULT_SAMPLE
from yolocli.output.disk import writing
from yolocli.output.folder import OutputFolder
from yolocli.output.formats.page import DATA, PAGE, PARTS, PICTURES, clear_parts
from yolocli.output.journal import mend
from yolocli.output.ownership import DAMAGED_FILE, JOURNAL, JOURNAL_FILE, RUN, SUMMARY, refuse_foreign
from yolocli.output.projection import opened, outcomes_of, roots_of
from yolocli.output.run_file import read_json
from yolocli.report.figures import Figures
from yolocli.report.page import Facts, page
from yolocli.report.parts import Parts, percent
from yolocli.report.pictures import with_pictures
from yolocli.report.sample import Sample
from yolocli.results import Outcome
from yolocli.sources.base import Notice
from yolocli.tasks import DEFAULT_TASK, find_task

BODY = re.compile(f'<body data-parts="{PARTS}/([0-9a-f]+)" data-sample="(\\d+|all)" data-seed="(-?\\d+)">', re.ASCII)


def make_report(
    root: Path,
    sample: int | None = DEFAULT_SAMPLE,
    seed: int = 0,
    notice: Notice = lambda message: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Makes the page of an output folder that no run is using.

    Its figures are of all images. Pictures that the page before has are taken from it, so that they stay where the
    originals are gone. What it needs beside it goes to a new sub-folder, so that the page before shows what it showed
    until the new one takes its place.

    Args:
        root: The folder.
        sample: Images to show at most, drawn by their names; None shows all.
        seed: Another one draws others.
        notice: Told of damage to the journal, and of originals that are gone.
        progress: Told, from time to time, of how many images the pictures are made.

    Returns:
        The page, as an absolute path.

    Raises:
        UsageError: If there is no journal, a run is writing to it, or files of somebody else stand in the way.
        OutputError: If the journal is damaged or a file cannot be written.
        ModelError: If the records are of a task that this version does not know.
    """
    folder = opened(root)
    refuse_foreign(root, (JOURNAL_FILE, DAMAGED_FILE, PAGE), [DATA, PICTURES])
    with folder.held(), writing(root):
        mend(folder, notice)
        run, roots = read_json(folder, RUN) or {}, roots_of(folder) or ()
        task = find_task(run.get("task") or DEFAULT_TASK, root)
        figures, drawing = Figures(task), Sample(sample, seed)
        for outcome in outcomes_of(folder, roots):
            figures.add(outcome)
            drawing.add(outcome)
        positions = drawing.positions()
        total = drawing.images if positions is None else len(positions)
        page_before = _page_before(root)
        before = page_before and root / PARTS / page_before[1]
        name = _digest(folder, sample, seed)
        parts = Parts(folder, name, task, list(figures.classes()))
        chosen = _chosen(outcomes_of(folder, roots), positions)
        for done, (outcome, pictures) in enumerate(with_pictures(chosen, before)):
            progress(done, total)
            parts.add(outcome, pictures)
        parts.close({"least": 0 if task.whole else _least(run)})
        facts = Facts(figures, run, read_json(folder, SUMMARY), task, parts.images, sample, seed, f"{PARTS}/{name}")
        with folder.open(PAGE.name) as stream:
            stream.write(page(facts))
        clear_parts(folder, keep=name)
        folder.sync()
    if parts.missing:
        many = f"{parts.missing:,} image{'s' * (parts.missing > 1)}"
        notice(f"{many} without a picture in the report: the originals are gone, or have changed since the run")
    return Path(os.path.abspath(root / PAGE.name))


def asked_before(root: Path) -> tuple[int | None, int]:
    """Returns sample and seed of the page that is in an output folder; those by default, if there is none."""
    found = _page_before(root)
    if found is None:
        return DEFAULT_SAMPLE, 0
    return None if found[2] == "all" else int(found[2]), int(found[3])


def _page_before(root: Path) -> re.Match[str] | None:
    """Returns what the page in an output folder says of itself: folder of its parts, sample and seed."""
    with suppress(OSError):
        return BODY.search((root / PAGE.name).read_text("utf-8", "replace"))
    return None


def _chosen(outcomes: Iterator[Outcome], positions: frozenset[int] | None) -> Iterator[Outcome]:
    return (outcome for place, outcome in enumerate(outcomes) if positions is None or place in positions)


def _least(run: Mapping[str, Any]) -> int:
    """Returns the threshold of the run, in percent; what is between two whole ones counts as the lesser."""
    return percent((run.get("fingerprint") or {}).get("confidence", 0.0))


def _digest(folder: OutputFolder, sample: int | None, seed: int) -> str:
    """Returns a name for what a page of just this would show."""
    digest = hashlib.blake2b(f"{__version__}\0{sample}\0{seed}\0".encode(), digest_size=8)
    with open(folder.root / JOURNAL, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
