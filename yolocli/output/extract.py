"""A new output folder of the boxes that a run with stricter settings would have kept."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from yolocli.checks import check_share
from yolocli.errors import UsageError
from yolocli.output.at_hand import kept_still, name_of, to_read
from yolocli.output.formats import find_formats
from yolocli.output.formats.maps import without_map
from yolocli.output.journal import Journal
from yolocli.output.new_folder import new_folder, refuse_used
from yolocli.output.ownership import DAMAGED_FILE, JOURNAL_FILE, RUN, refuse_foreign
from yolocli.output.projection import names_of, opened, outcomes_of, project_all, roots_of
from yolocli.output.run_file import conclude, read_json, write_json
from yolocli.results import ImageResult
from yolocli.sources.base import Notice
from yolocli.tasks import DEFAULT_TASK, find_task
from yolocli.tasks.base import Task
from yolocli.tasks.classes import class_ids


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
        if self.confidence is not None:
            check_share("--conf", self.confidence)


def extract(
    place: str | os.PathLike[str],
    target: Path,
    formats: Sequence[str],
    choice: Choice,
    timings: bool = False,
    notice: Notice = lambda message: None,
) -> int:
    """Makes a new output folder of the boxes that a run with stricter settings would have kept.

    It is what such a run would leave, but for boxes whose score rounds to the threshold, and for images with as many
    boxes as --max-det allows. There are no maps in it, and none are named.

    Args:
        place: The output folder of a run: a path or a URL.
        target: The new folder; must be empty, if it is there.
        formats: See `find_formats`.
        choice: What to keep.
        timings: See `rebuild`.
        notice: See `rebuild`.

    Returns:
        Images in it.

    Raises:
        UsageError: If there is no journal, the target is in use, or what is asked for is not in the records.
        OutputError: If the journal is damaged or a file cannot be written.
    """
    wanted = find_formats(formats)
    refuse_used(target)
    with ExitStack() as stack:
        root = stack.enter_context(to_read(place))
        source = opened(root)
        refuse_foreign(root, [JOURNAL_FILE, DAMAGED_FILE], [])
        stack.enter_context(kept_still(source, notice))
        roots = roots_of(source)
        run = read_json(source, RUN) or {}
        fingerprint = dict(run.get("fingerprint") or {})
        fingerprint.pop("save_maps", None)
        _refuse(choice, find_task(run.get("task") or DEFAULT_TASK, root))
        keep = _keeping(choice, fingerprint, names_of(source, run))
        if choice.confidence is not None:
            fingerprint["confidence"] = choice.confidence
        if choice.classes is not None:
            fingerprint["classes"] = sorted(set(choice.classes))
        settings = (run.get("settings") or {}) | {"formats": list(wanted), "exported_from": name_of(place)}
        stored = {} if roots is None else {"roots": [asdict(entry) for entry in roots]}  # unknown is not none
        run |= {"fingerprint": fingerprint, "settings": settings} | stored
        made = stack.enter_context(new_folder(target))
        write_json(made, RUN, run | {"finished": None})
        with closing(Journal(made, timings)) as journal:
            for outcome in outcomes_of(source, roots or ()):
                if isinstance(outcome, ImageResult):
                    kept = tuple(box for box in outcome.detections if keep(box.class_id, box.confidence))
                    outcome = replace(outcome, detections=kept, more=without_map(outcome.more))
                journal.append(outcome)
        totals = project_all(made, wanted.values(), timings, notice)
        conclude(made, {RUN: run})
        return totals.images + totals.failures


class _Keep(Protocol):
    def __call__(self, class_id: int, confidence: float | None, /) -> bool: ...


def _refuse(choice: Choice, task: Task) -> None:
    """Refuses a choice that does not lead to what a run with it would record.

    Raises:
        UsageError: If it does not.
    """
    if choice.confidence is not None and task.whole:
        raise UsageError(f"--conf: has no effect on models for {task.name}")
    if choice.classes is not None and not task.by_class:
        raise UsageError(f"--classes: models for {task.name} need a run of their own for it, with detect")


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

    def keep(class_id: int, confidence: float | None) -> bool:
        return (confidence is None or confidence >= threshold) and (wanted is None or class_id in wanted)

    return keep
