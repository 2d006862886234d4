"""NMS of a whole batch on the device that ran the network, in one kernel and without waiting for each image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yolocli.tasks.boxes import CLASS_OFFSET

if TYPE_CHECKING:
    import torch

IMAGE_OFFSET = 2.0**24
"""Pixels between images, in double precision: more than any box shifted by its class, and exact."""
TOGETHER = 20_000
"""Candidates that are compared in one kernel, whose memory grows with their square; more go image by image."""


def suppress_on_device(rows: torch.Tensor, iou: float) -> torch.Tensor:
    """Keeps the best of boxes of one image and class that overlap, as `nms.suppress` does on the host.

    Args:
        rows: Tensor (n, 7): image, x1, y1, x2, y2, confidence, class; sorted by image.
        iou: Intersection over union above which the lesser box is dropped, in [0, 1].

    Returns:
        Tensor (k, 7), by image and falling confidence.
    """
    import torch

    if len(rows) > TOGETHER and rows[0, 0] != rows[-1, 0]:
        counts = torch.bincount(rows[:, 0].long()).tolist()
        return torch.cat([suppress_on_device(part, iou) for part in rows.split(counts) if len(part)])
    import torchvision

    # the shift by class is made in float32, where it rounds as Ultralytics' does, and the shift by image is exact
    boxes = (rows[:, 1:5] + rows[:, 6:7] * CLASS_OFFSET).double() + rows[:, :1].double() * IMAGE_OFFSET
    kept = rows[torchvision.ops.nms(boxes, rows[:, 5].double(), iou)]
    return kept[torch.argsort(kept[:, 0], stable=True)]
