"""The table at the end of a run."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yolocli.progress import printable
from yolocli.summary import RunSummary

if TYPE_CHECKING:
    from rich.console import Console

    from yolocli.optimize import Comparison

TOP_CLASSES = 5


def print_summary(summary: RunSummary, output: Path | None, console: Console) -> None:
    """Prints what was done, how fast, and where it lies."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="yolocli", title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in summary_rows(summary, output):
        table.add_row(name, escape(printable(value)))
    console.print(table)


def print_bench(figures: Mapping[str, Any], console: Console) -> None:
    """Prints what a benchmark measured, and the command line to use."""
    from rich.markup import escape
    from rich.table import Table

    rows = figures["rows"]
    title = escape(printable(f"{figures['images']} images of {figures['folder']}, {', '.join(figures['models'])}"))
    table = Table(title=title, title_justify="left")
    for name in ("", "images/s", "spread", "ratio", "whole s", "MiB", "boxes"):
        table.add_column(name, justify="left" if not name else "right")
    for row in rows:
        rates = row["images_per_second"]
        agreement = f"{row['matched']}/{row['boxes']}" + (f" +{row['extra']}" if row["extra"] else "")
        table.add_row(
            row["name"],
            f"{row['median']:.1f}",
            f"{min(rates):.1f}-{max(rates):.1f}",
            f"{row['ratio']:.2f}" if row["ratio"] else "-",
            f"{statistics.median(row['wall_seconds']):.1f}",
            f"{row['peak_memory_bytes'] / 2**20:,.0f}",
            agreement if row["options"] else "-",
        )
    console.print(table)
    for row in rows:
        stages = ", ".join(f"{name} {value:.1f}" for name, value in row["stage_ms"].items())
        if stages:
            console.print(f"{row['name']}: ms per image: {stages}", highlight=False, markup=False)
    best = max((row for row in rows if row["options"]), key=lambda row: row["median"], default=None)
    if best is not None:
        console.print("fastest here:", highlight=False)
        console.print(best["command"], highlight=False, soft_wrap=True, markup=False)


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Prints an optimised model beside fp32."""
    from rich.table import Table

    found = comparison.kept + comparison.lost
    ratio = comparison.images_per_second / comparison.fp32_images_per_second
    title = f"{comparison.held_back} held-back pictures, calibrated on {comparison.calibrated} others"
    table = Table(title=title, title_justify="left")
    table.add_column("")
    table.add_column("fp32", justify="right")
    table.add_column("int8", justify="right")
    table.add_row("boxes kept", f"{found:,}", f"{comparison.kept:,}")
    table.add_row("boxes lost", "", f"{comparison.lost:,} ({comparison.loss:.1%})")
    table.add_row("boxes gained", "", f"{comparison.gained:,}")
    table.add_row("mean shift in confidence", "", f"{comparison.confidence_shift:+.4f}")
    table.add_row("mean IoU", "", f"{comparison.iou:.4f}")
    rates = f"{comparison.fp32_images_per_second:.1f}", f"{comparison.images_per_second:.1f} ({ratio:.2f} x)"
    table.add_row("network, images/s", *rates)
    console.print(table)


def summary_rows(summary: RunSummary, output: Path | None) -> list[tuple[str, str]]:
    """Returns the rows of the table as (name, value); those that say something of this run."""
    done = summary.images + summary.failures
    total = done + summary.skipped
    failures = summary.failures + summary.skipped_failures
    earlier = summary.skipped - summary.skipped_failures
    before = f", {earlier:,} of them by an earlier run" if earlier else ""
    rows = [("images", f"{total - failures:,} of {total:,}{before}"), ("failures", f"{failures:,} of {total:,}")]
    if summary.vanished:
        rows.append(("vanished", f"{summary.vanished:,} images of earlier runs are no longer there"))
    if summary.other_files:
        rows.append(("passed over", f"{summary.other_files:,} other files, without the suffix of an image"))
    if done:
        rows += _rows_of_work(summary, done)
    rows.append(("model", summary.model if not summary.batch else f"{summary.model}, {summary.runtime}"))
    if not summary.complete:
        rows.append(("not complete", _what_is_kept(total, output)))
    if output is not None:
        rows.append(("results", str(output)))
    return rows


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


def _what_is_kept(total: int, output: Path | None) -> str:
    if not total:
        return "stopped before the first image"
    return "what was done is kept" if output is not None else "nothing is kept to go on from"
