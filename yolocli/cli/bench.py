"""`yolocli bench`: which mode suits this machine."""

from __future__ import annotations

import json
import os

import typer

from yolocli.cli import measure_options as own
from yolocli.cli.declare import given_in
from yolocli.cli.terminal import tell
from yolocli.config import DEFAULT_MODEL
from yolocli.errors import ExitCode
from yolocli.executors import EXECUTORS, find_executor
from yolocli.runtimes import RUNTIMES, find_engine


def bench(
    ctx: typer.Context,
    folder: own.Pictures,
    models: own.Models = None,
    modes: own.Modes = None,
    runtimes: own.Runtimes = None,
    workers: own.WorkerCounts = None,
    batches: own.BatchSizes = None,
    precisions: own.Precisions = None,
    images: own.Images = 60,
    repeats: own.Repeats = 3,
    baseline: own.Baseline = True,
    as_json: own.AsJson = False,
) -> None:
    """Measure which mode suits this machine and your images."""
    from rich.console import Console

    from yolocli.cli.signals import end_on_signals
    from yolocli.cli.tables import print_bench
    from yolocli.measure.bench import bench as measure
    from yolocli.measure.cells import BenchConfig, cells, to_dict

    given = given_in(ctx)
    installed = [name for name in RUNTIMES if find_engine(name).installed()]
    models = given.get("models", [os.environ.get("YOLOCLI_MODEL") or DEFAULT_MODEL])
    ways = cells(
        models,
        given.get("modes", [mode for mode in EXECUTORS if not find_executor(mode).elsewhere]),
        given.get("runtimes", installed),
        given.get("workers", [0]),
        given.get("batches", [0]),
        [precision.value for precision in given.get("precisions", ())] or [None],
    )
    config = BenchConfig(folder, tuple(dict.fromkeys(models)), tuple(ways), images, repeats, baseline)
    end_on_signals()
    rows = measure(config, tell)
    figures = to_dict(rows, config)
    if as_json:
        print(json.dumps(figures, indent=2))
    else:
        print_bench(figures, Console())
    raise typer.Exit(ExitCode.SOME_FAILED if any(row.failures for row in rows) else ExitCode.OK)
