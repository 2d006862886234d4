"""Reduce a training checkpoint to what a detector needs, with nothing of the machine in it."""

from pathlib import Path
from typing import Any, Final

import torch
from ultralytics.nn.tasks import load_checkpoint

LICENCE: Final = "AGPL-3.0"
_KEPT: Final = ("task", "imgsz")
"""Training arguments that a loader reads back; all others may name files and folders."""


def strip(source: Path, target: Path) -> dict[str, Any]:
    """Write a small checkpoint that Ultralytics' safe loader takes.

    Args:
        source: A checkpoint of Ultralytics' trainer.
        target: Where to; half precision, no optimizer, no paths, no dates.

    Returns:
        What was written.
    """
    model, checkpoint = load_checkpoint(str(source), device="cpu")
    arguments = {**{key: checkpoint["train_args"][key] for key in _KEPT}, "single_cls": False}
    arguments["data"] = None
    model.float().half().eval()
    model.criterion = None
    model.args = dict(arguments)
    model.pt_path = None
    model.yaml = {**model.yaml, "yaml_file": "yolo11n-codes.yaml"}
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
