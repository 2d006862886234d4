"""Reduce training checkpoints to what a detector needs, with nothing of the machine in it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from ultralytics.nn.tasks import load_checkpoint

LICENCE: Final = "AGPL-3.0"
_KEPT: Final = ("task", "imgsz")
"""Training arguments that a loader reads back; all others may name files and folders."""


def strip(sources: Sequence[Path], target: Path) -> dict[str, Any]:
    """Write a small checkpoint that Ultralytics' safe loader takes.

    Args:
        sources: Checkpoints of Ultralytics' trainer, of one architecture; their weights are averaged.
        target: Where to; half precision, no optimizer, no paths, no dates.

    Returns:
        What was written.
    """
    loaded = [load_checkpoint(str(source), device="cpu") for source in sources]
    model, checkpoint = loaded[-1]
    model.load_state_dict(_mean([model.float().state_dict() for model, _ in loaded]))
    arguments = {**{key: checkpoint["train_args"][key] for key in _KEPT}, "single_cls": False}
    arguments["data"] = None
    model.half().eval()
    model.criterion = None
    model.args = dict(arguments)
    model.pt_path = None
    model.yaml = {**model.yaml, "yaml_file": Path(model.yaml["yaml_file"]).name}
    for extra in ("task", "overrides"):
        model.__dict__.pop(extra, None)
    for parameter in model.parameters():
        parameter.requires_grad = False
    kept = {
        "epoch": -1,
        "best_fitness": None,
        "model": model,
        "ema": None,
        "updates": None,
        "optimizer": None,
        "train_args": arguments,
        "train_metrics": {},
        "train_results": {},
        "date": "",
        "version": checkpoint["version"],
        "license": LICENCE,
        "docs": "",
    }
    # By the stream rather than by the path: a path's name would become a folder inside the file.
    with target.open("wb") as stream:
        torch.save(kept, stream)
    return kept


def _mean(states: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Averages what is a number with a fraction; counters are taken from the last."""
    return {
        name: torch.stack([state[name] for state in states]).mean(0) if last.is_floating_point() else last
        for name, last in states[-1].items()
    }
