"""The task that a network is for, by its last module; imported when used, as it imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from torch import nn
from ultralytics.nn.modules.head import (
    OBB,
    Classify,
    Depth,
    Detect,
    Pose,
    RTDETRDecoder,
    Segment,
    SemanticSegment,
    YOLOESegment,
)

TASKS_OF: Mapping[str, tuple[type[nn.Module], ...]] = MappingProxyType(
    {
        "segment": (Segment, YOLOESegment),
        "pose": (Pose,),
        "obb": (OBB,),
        "classify": (Classify,),
        "semantic": (SemanticSegment,),
        "depth": (Depth,),
        "detect": (Detect, RTDETRDecoder),
    }
)
"""Heads by the task that they are for; those that others are built on come last."""


def head_task(head: Any) -> str | None:
    """Returns the task that the last module of a network is for; None if it is of a kind that is not known."""
    return next((task for task, kinds in TASKS_OF.items() if isinstance(head, kinds)), None)
