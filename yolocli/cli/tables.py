"""The tables that people see: at the end of a run, of a benchmark, of an optimised model."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from yolocli.errors import printable
from yolocli.results import DRAW, STAGES
from yolocli.summary import RunSummary

if TYPE_CHECKING:
    from rich.console import Console

    from yolocli.measure.loss import Comparison

TOP_CLASSES = 5


def print_summary(summary: RunSummary, output: Path | str | None, console: Console) -> None:
    """Prints what was done, how fast, and where it lies."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="yolocli", title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in summary_rows(summary, output):
        table.add_row(name, escape(printable(value)))
    with console.capture() as captured:
        console.print(table)
    lines = [line.rstrip() for line in captured.get().splitlines()]  # a log wants no blanks at their ends
    console.file.write("\n".join(lines) + "\n")


def print_bench(figures: Mapping[str, Any], console: Console) -> None:
    """Prints what a benchmark measured, and the command line to use."""
    rows = figures["rows"]
    title = f"{figures['images']} images of {figures['folder']}, {', '.join(figures['models'])}"
    _print_columns(title, {**BENCH_COLUMNS, rows[0]["things"].replace(" ", "\n"): _agreement}, rows, console)
    _print_columns("milliseconds per image", STAGE_COLUMNS, [row for row in rows if row["cell"]], console)
    sound = [row for row in rows if row["cell"] and not row["failures"]]
    if sound:
        best = max(sound, key=lambda row: row["median"])
        console.print("fastest here:", highlight=False)
        console.print(printable(best["command"]), highlight=False, soft_wrap=True, markup=False)


Column: TypeAlias = Callable[[Mapping[str, Any]], str]


def _spread(row: Mapping[str, Any]) -> str:
    rates = row["images_per_second"]
    return f"{min(rates):.0f}-{max(rates):.0f}" if len(rates) > 1 else ""


def _agreement(row: Mapping[str, Any]) -> str:
    more = f" +{row['extra']}" if row["extra"] else ""
    return f"{row['matched']}/{row['boxes']}{more}" if row["cell"] else ""


def _stage(name: str) -> Column:
    return lambda row: f"{row['stage_ms'][name]:.1f}"


BENCH_COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "images/s": lambda row: f"{row['median']:.1f}",
        "spread": _spread,
        "ratio": lambda row: f"{row['ratio']:.2f}" if row["ratio"] else "",
        "whole\ns": lambda row: f"{statistics.median(row['wall_seconds']):.1f}",
        "MiB": lambda row: f"{row['peak_memory_bytes'] / 2**20:,.0f}",
        "failed": lambda row: f"{row['failures']:,}" if row["failures"] else "",
    }
)
STAGE_COLUMNS: Mapping[str, Column] = MappingProxyType({name: _stage(name) for name in STAGES if name != DRAW})


def _print_columns(
    title: str, columns: Mapping[str, Column], rows: Sequence[Mapping[str, Any]], console: Console
) -> None:
    """Prints a table of named rows, without the columns in which no row has a figure."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    texts = {name: [column(row) for row in rows] for name, column in columns.items()}
    shown = {name: cells for name, cells in texts.items() if any(cells)}
    console.print(printable(title), style="italic", highlight=False, markup=False)
    table = Table("", box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for name in shown:
        table.add_column(name, justify="right", no_wrap=True, vertical="bottom")
    for row, *cells in zip(rows, *shown.values(), strict=True):
        table.add_row(escape(printable(row["name"])), *(cell or "-" for cell in cells))
    console.print(table)
    console.print()


def print_comparison(comparison: Comparison, max_loss: float, console: Console) -> None:
    """Prints an optimised model beside fp32, and what the loss means that is judged."""
    from rich.table import Table

    def share(boxes: int) -> str:
        return f"{boxes:,} ({boxes / comparison.boxes:.1%})" if comparison.boxes else "-"

    def figure(value: float | None, form: str) -> str:
        return "-" if value is None else f"{value:{form}}"

    ratio = comparison.images_per_second / comparison.fp32_images_per_second
    title = f"{comparison.held_back} held-back pictures, calibrated on {comparison.calibrated} others"
    not_found = "not found" if comparison.task.whole else f"not found at {comparison.floor:g} either"
    caption = f"lost: {not_found}; this is what --max-loss {max_loss:.1%} judges"
    table = Table(title=title, title_justify="left", caption=caption, caption_justify="left")
    table.add_column("")
    table.add_column("fp32", justify="right")
    table.add_column("int8", justify="right")
    task = comparison.task
    at = "" if task.whole else f", confidence {comparison.confidence:g} or more"
    table.add_row(f"{task.things}{at}", f"{comparison.boxes:,}", f"{comparison.own:,}")
    table.add_row("kept", "", share(comparison.kept))
    if not task.whole:
        table.add_row(f"only at {comparison.floor:g} to {comparison.confidence:g}", "", share(comparison.faded))
    table.add_row("lost", "", share(comparison.lost))
    table.add_row("gained", "", f"{comparison.gained:,}")
    table.add_row("mean shift in confidence", "", figure(comparison.confidence_shift, "+.4f"))
    table.add_row(f"mean {task.likeness_name}", "", figure(comparison.likeness, ".4f"))
    rates = f"{comparison.fp32_images_per_second:.1f}", f"{comparison.images_per_second:.1f} ({ratio:.2f} x)"
    table.add_row("network, images/s", *rates)
    console.print(table)


def summary_rows(summary: RunSummary, output: Path | str | None) -> list[tuple[str, str]]:
    """Returns the rows of the table as (name, value); those that say something of this run."""
    done = summary.images + summary.failures
    total = done + summary.skipped
    failures = summary.failures + summary.skipped_failures
    earlier = summary.skipped - summary.skipped_failures
    before = f", {earlier:,} of them by an earlier run" if earlier else ""
    of_all = f" of {total:,}" if summary.complete else f" of {total:,} so far"
    rows = [("images", f"{total - failures:,}{of_all}{before}"), ("failures", f"{failures:,}{of_all}")]
    if summary.vanished:
        rows.append(("vanished", _vanished(summary)))
    if summary.other_shards:
        rows.append(("other shards", _many(summary.other_shards, "image")))
    if summary.other_files:
        rows.append(("passed over", f"{_many(summary.other_files, 'other file')}, without the suffix of an image"))
    if done:
        rows += _rows_of_work(summary, done)
    rows.append(("model", summary.model if not summary.batch else f"{summary.model}, {summary.runtime}"))
    if not summary.complete:
        rows.append(("not complete", _what_is_kept(total, output)))
    if output is not None:
        rows.append(("results", str(output)))
    if summary.folder and summary.folder["images"] + summary.folder["failures"] != done:
        counts = [_many(summary.folder[f"{what}s"], what) for what in ("image", "failure", "detection")]
        rows.append(("in that folder", ", ".join(counts)))
    return rows


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def _vanished(summary: RunSummary) -> str:
    what = "their records were dropped" if summary.pruned else "--prune drops their records"
    return f"{_many(summary.vanished, 'image')} of earlier runs no longer there; {what}"


def _rows_of_work(summary: RunSummary, done: int) -> list[tuple[str, str]]:
    stages = [f"{name} {seconds * 1000 / done:.1f}" for name, seconds in summary.stages.items() if seconds]
    classes = [f"{name} {count:,}" for name, count in list(summary.classes.items())[:TOP_CLASSES]]
    whole = summary.wall_seconds + summary.load_seconds
    rows = [
        ("detections", f"{summary.detections:,}"),
        ("top classes", ", ".join(classes)),
        ("wall time", f"{whole:.2f} s; {summary.wall_seconds:.2f} s without loading the model"),
        ("images/s", f"{summary.images_per_second:.1f} without loading"),
        ("ms per image", ", ".join(stages)),
        ("peak memory", f"{summary.peak_memory_bytes / 2**20:,.0f} MiB"),
        ("run", f"{summary.mode}, {summary.workers} x {summary.threads_per_worker} threads, batch {summary.batch}"),
    ]
    return [(name, value) for name, value in rows if value]


def _what_is_kept(total: int, output: Path | str | None) -> str:
    if not total:
        return "stopped before the first image"
    return "what was done is kept" if output is not None else "nothing is kept to go on from"
