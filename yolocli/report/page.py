"""The page itself: figures and charts written out, with a style and a script of its own that show the pictures."""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import pairwise
from typing import Any

from yolocli import __version__
from yolocli.images.colours import class_colour, css
from yolocli.output.formats.page import HEAD
from yolocli.report.figures import CONFIDENCE_BINS, SIDES, Figures, Reason
from yolocli.report.shown import address, readable
from yolocli.results import STAGES
from yolocli.tasks.base import Task

FIRST_CLASSES = 20
"""Classes that are listed at once; the others are folded away."""
REASONS = 100
"""Reasons of failures that are listed."""
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Facts:
    """What a page tells.

    Attributes:
        figures: Of all images.
        run: The run.json of the folder.
        summary: Its summary.json; None if the last run did not come to its end.
        task: Of the model.
        shown: Images whose pictures it shows.
        sample: How many there may be at most; None for all.
        seed: What they were drawn with.
        parts: Folder of what it loads, relative to it.
    """

    figures: Figures
    run: Mapping[str, Any]
    summary: Mapping[str, Any] | None
    task: Task
    shown: int
    sample: int | None
    seed: int
    parts: str


@dataclass(frozen=True, slots=True)
class Bin:
    """A bar of a histogram.

    Attributes:
        label: What is counted in it.
        count: How many.
        height: Its share of the highest one, in [0, 1].
    """

    label: str
    count: int
    height: float


def page(facts: Facts) -> bytes:
    """Returns the page, in UTF-8."""
    figures = facts.figures
    style, script = _text("page.css"), _text("page.js")
    classes = figures.classes()
    most = max((one.detections for one in classes.values()), default=0) or 1
    rows = [
        {
            "name": readable(name),
            "colour": css(class_colour(class_id)),
            "place": place,
            "detections": one.detections,
            "images": one.images,
            "share": one.detections / most,
            "confidence": confidence_bins(one.confidence),
            "sides": side_bins(one.sides),
        }
        for place, ((class_id, name), one) in enumerate(classes.items())
    ]
    text: str = _template().render(
        head=HEAD,
        style=style,
        script=script,
        policy=_policy(style, script),
        version=__version__,
        title=readable(_inputs(facts.run)) or "Images",
        facts=facts,
        figures=figures,
        total=figures.images + figures.failures,
        classes=rows,
        first=FIRST_CLASSES,
        confidence=confidence_bins(figures.all.confidence),
        sides=side_bins(figures.all.sides),
        reasons=_reasons(figures.reasons()),
        slowest=_slowest(figures),
        stages=_stages(facts.summary),
        run=_run_rows(facts),
    )
    return text.encode("utf-8", "backslashreplace")


def confidence_bins(counts: Sequence[int]) -> list[Bin]:
    """Returns the bars of confidences; none where nothing has one."""
    return _bins(counts, [f"{place / CONFIDENCE_BINS:.2f}" for place in range(CONFIDENCE_BINS + 1)], "")


def side_bins(counts: Sequence[int]) -> list[Bin]:
    """Returns the bars of box sizes; none where nothing has a box."""
    return _bins(counts, ["0", *map(str, SIDES), ""], " px")


def _bins(counts: Sequence[int], ends: Sequence[str], unit: str) -> list[Bin]:
    most = max(counts)
    if not most:
        return []
    labels = [f"{start} to {end}{unit}" if end else f"{start}{unit} or more" for start, end in pairwise(ends)]
    return [Bin(label, count, count / most) for label, count in zip(labels, counts, strict=True)]


def _reasons(reasons: Sequence[tuple[Reason, int]]) -> list[dict[str, Any]]:
    return [
        {
            "count": count,
            "stage": reason.stage,
            "error": readable(reason.error),
            "message": readable(reason.message),
            "path": readable(reason.path),
        }
        for reason, count in reasons[:REASONS]
    ]


def _slowest(figures: Figures) -> list[dict[str, Any]]:
    return [
        {
            "name": readable(outcome.path),
            "url": address(outcome.ref.source),
            "taken": taken,
            "stages": ", ".join(f"{stage} {value:.1f}" for stage, value in outcome.timings.items()),
        }
        for taken, outcome in figures.slowest()
    ]


def _stages(summary: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Returns the milliseconds of an image by stage, in the last run; where each begins and how long it is, of 100."""
    done = _done(summary)
    if summary is None or not done:
        return []
    taken = {stage: summary.get("stages", {}).get(stage, 0.0) * 1000 / done for stage in STAGES}
    total = sum(taken.values()) or 1.0
    starts = [sum(list(taken.values())[:place]) for place in range(len(taken))]
    return [
        {"name": stage, "ms": value, "start": 100 * start / total, "share": 100 * value / total, "place": place}
        for place, ((stage, value), start) in enumerate(zip(taken.items(), starts, strict=True))
        if value
    ]


def _done(summary: Mapping[str, Any] | None) -> int:
    return int(summary.get("images", 0)) + int(summary.get("failures", 0)) if summary else 0


def _run_rows(facts: Facts) -> list[tuple[str, str]]:
    """Returns what ran, where and how, in words."""
    run, summary = facts.run, facts.summary or {}
    settings, made, versions = (run.get(name) or {} for name in ("settings", "fingerprint", "versions"))
    workers, threads = summary.get("workers"), summary.get("threads_per_worker")
    done = _done(facts.summary)
    rows = [
        ("inputs", _inputs(run)),
        ("model", settings.get("model", "")),
        ("task", facts.task.name),
        ("runtime", summary.get("runtime") if done else settings.get("runtime", "")),
        ("mode", f"{summary['mode']}, {workers} x {threads} threads, batch {summary.get('batch')}" if done else ""),
        ("thresholds", _thresholds(made, facts.task)),
        ("classes asked for", ", ".join(map(str, made.get("classes") or ()))),
        ("images of the last run", f"{done:,}, {summary.get('skipped', 0):,} done before" if summary else ""),
        ("images/s", f"{summary.get('images_per_second', 0):,.1f} without loading the model" if done else ""),
        ("wall time", f"{summary.get('wall_seconds', 0):,.2f} s, loading {summary.get('load_seconds', 0):,.2f} s"),
        ("peak memory", f"{summary.get('peak_memory_bytes', 0) / MIB:,.0f} MiB" if done else ""),
        ("started", run.get("started") or ""),
        ("finished", run.get("finished") or "not yet: the last run did not come to its end"),
        ("versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
    ]
    return [(name, readable(str(value))) for name, value in rows if value and (name != "wall time" or done)]


def _thresholds(made: Mapping[str, Any], task: Task) -> str:
    if task.whole:
        return ""
    words = {"confidence": "confidence {}", "iou": "IoU {}", "max_detections": "at most {} an image"}
    return ", ".join(text.format(made[name]) for name, text in words.items() if name in made)


def _inputs(run: Mapping[str, Any]) -> str:
    settings = run.get("settings") or {}
    listed = settings.get("files_from")
    return ", ".join([*(settings.get("inputs") or ()), *([f"a list ({listed})"] if listed else ())])


def _policy(style: str, script: str) -> str:
    """Returns the policy that lets the page load its own script and style, what that script asks for, and files."""
    own_script, own_style = (
        "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'" for text in (script, style)
    )
    return (
        f"default-src 'none'; script-src {own_script} 'strict-dynamic'; style-src {own_style}; "
        "img-src 'self' file:; base-uri 'none'; form-action 'none'"
    )


def _text(name: str) -> str:
    return files("yolocli.report").joinpath("templates").joinpath(name).read_text("utf-8")


@functools.cache
def _template() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_text),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["many"] = lambda count: f"{count:,}"
    return environment.get_template("page.html")
