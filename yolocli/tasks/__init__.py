"""What a model is for: how the output of its network becomes the records of an image.

A task is one module and one row here.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING

from yolocli.errors import ModelError

if TYPE_CHECKING:
    from yolocli.tasks.base import Task

TASKS: Mapping[str, str] = MappingProxyType(
    {
        "detect": "yolocli.tasks.detect:Detect",
        "segment": "yolocli.tasks.segment:Segment",
        "semantic": "yolocli.tasks.semantic:Semantic",
        "depth": "yolocli.tasks.depth:Depth",
        "classify": "yolocli.tasks.classify:Classify",
        "pose": "yolocli.tasks.pose:Pose",
        "obb": "yolocli.tasks.obb:Obb",
    }
)
"""By the name that Ultralytics gives them, which is in every model."""
DEFAULT_TASK = "detect"
"""What a model is taken for that does not say it: one that Ultralytics has not written."""


def find_task(name: str, model: object) -> Task:
    """Returns a task.

    Args:
        name: What the model says it is for.
        model: Its path, for the message.

    Raises:
        ModelError: If there is no such task.
    """
    if name not in TASKS:
        raise ModelError(f"{model}: a model for '{name}'; supported: {', '.join(TASKS)}")
    module, _, attribute = TASKS[name].partition(":")
    task: Task = getattr(import_module(module), attribute)()
    return task
