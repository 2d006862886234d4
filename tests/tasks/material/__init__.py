"""Small real models of each Ultralytics task, and how they were made: see README.md."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True)
class Model:
    """A small model.

    Attributes:
        name: Of its checkpoint, without the suffix.
        task: As Ultralytics names it.
        architecture: Ultralytics' description it is a narrow form of, in its folder of models.
        start: The model whose weights it begins with, as far as their layers are the same; None for nothing.
        epochs: How often every scene is seen.
    """

    name: str
    task: str
    architecture: str
    start: str | None = None
    epochs: int = 6

    @property
    def weights(self) -> Path:
        """The checkpoint beside this module."""
        return Path(__file__).with_name(f"{self.name}.pt")


MODELS: Final = (
    Model("segment-yolo11", "segment", "11/yolo11-seg.yaml", epochs=20),
    Model("pose-yolo11", "pose", "11/yolo11-pose.yaml", "segment-yolo11", epochs=12),
    Model("obb-yolo11", "obb", "11/yolo11-obb.yaml", "segment-yolo11"),
    Model("classify-yolo11", "classify", "11/yolo11-cls.yaml", "segment-yolo11"),
    Model("segment-yolo26", "segment", "26/yolo26-seg.yaml", epochs=20),
    Model("pose-yolo26", "pose", "26/yolo26-pose.yaml", "segment-yolo26", epochs=12),
    Model("obb-yolo26", "obb", "26/yolo26-obb.yaml", "segment-yolo26"),
    Model("semantic-yolo26", "semantic", "26/yolo26-sem.yaml", "segment-yolo26"),
    Model("depth-yolo26", "depth", "26/yolo26-depth.yaml", "segment-yolo26"),
)
"""Every model, each after the one it begins with."""
