"""`yolocli optimize`: a model in INT8, and how it compares."""

from __future__ import annotations

import shlex

import typer

from yolocli.cli import measure_options as own
from yolocli.cli import options
from yolocli.cli.declare import given_in
from yolocli.cli.terminal import tell
from yolocli.config import DEFAULTS, build


def optimize(
    ctx: typer.Context,
    model: own.OldModel,
    pictures: own.Calibrate,
    precision: own.NewPrecision = own.INT8,
    output: own.NewModel = None,
    confidence: options.Conf = DEFAULTS.detector.confidence,
    max_loss: own.MaxLoss = 0.02,
    force: own.Force = False,
    trust_weights: options.TrustWeights = DEFAULTS.detector.trust_weights,
) -> None:
    """Make a faster model, and see what it costs."""
    from rich.console import Console

    from yolocli.cli.signals import end_on_signals
    from yolocli.cli.tables import print_comparison
    from yolocli.measure.optimize import OptimizeConfig
    from yolocli.measure.optimize import optimize as make

    config = build(OptimizeConfig, given_in(ctx))
    end_on_signals()
    path = make(config, tell, lambda comparison: print_comparison(comparison, config.max_loss, Console()))
    tell(f"use it with --model {shlex.quote(str(path))}")
