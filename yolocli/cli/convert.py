"""`yolocli convert`: a model in the form that a machine without PyTorch runs."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

from yolocli.cli import measure_options as own
from yolocli.cli import options
from yolocli.cli.terminal import tell
from yolocli.config import DEFAULTS, DetectorConfig
from yolocli.errors import OutputError, UsageError


def convert(
    model: own.Weights,
    output: own.ConvertedModel = None,
    force: own.Replace = False,
    trust_weights: options.TrustWeights = DEFAULTS.detector.trust_weights,
) -> None:
    """Convert weights for OpenVINO ahead of time, for machines without PyTorch."""
    from yolocli.runtimes.choose import prepare_detector
    from yolocli.runtimes.openvino.model_folder import SUFFIX, check_name, new_model, refuse_used

    target = output or Path(f"{Path(model).stem}{SUFFIX}")
    check_name(target)
    refuse_used(target, force)
    prepared = prepare_detector(DetectorConfig(model, "openvino", trust_weights=trust_weights), notice=tell)
    if prepared.path == prepared.model:
        raise UsageError(f"{model}: is a model for OpenVINO already")
    with new_model(target) as made:
        try:
            shutil.copytree(prepared.path, made, dirs_exist_ok=True)
        except (OSError, shutil.Error) as error:
            raise OutputError(f"{target}: cannot be written: {error}") from error
    tell(f"use it with --model {shlex.quote(str(target))}")
