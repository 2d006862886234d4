"""NMS of a whole batch on the device that ran the network, in one kernel and without waiting for each image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yolocli.tasks.boxes import CLASS_OFFSET
from yolocli.tasks.candidates import BOX, CLASS, CONFIDENCE

if TYPE_CHECKING:
    import torch

IMAGE_OFFSET = 2.0**24
"""Pixels between images, in double precision: more than any box shifted by its class, and exact."""
TOGETHER = 20_000
"""Candidates that are compared in one kernel, whose memory grows with their square; more go image by image."""


def suppress_on_device(found: torch.Tensor, iou: float, agnostic: bool = False) -> torch.Tensor:
    """Keeps the best of boxes of one image and class that overlap, as `tasks.boxes.suppress` does on the host.

    Args:
        found: Tensor (n, 7 + k): the number of the image, then what `tasks.candidates` says; sorted by image.
        iou: Intersection over union above which the lesser box is dropped, in [0, 1].
        agnostic: Of whatever class the two boxes are.

    Returns:
        Those kept, by image and falling confidence.
    """
    import torch

    if len(found) > TOGETHER and found[0, 0] != found[-1, 0]:
        counts = torch.bincount(found[:, 0].long()).tolist()
        return torch.cat([suppress_on_device(part, iou, agnostic) for part in found.split(counts) if len(part)])
    import torchvision

    # the shift by class is made in float32, where it rounds as Ultralytics' does, and the shift by image is exact
    images, rows = found[:, :1], found[:, 1:]
    apart = 0 if agnostic else CLASS_OFFSET
    boxes = (rows[:, BOX] + rows[:, CLASS, None] * apart).double() + images.double() * IMAGE_OFFSET
    kept = found[torchvision.ops.nms(boxes, rows[:, CONFIDENCE].double(), iou)]
    return kept[torch.argsort(kept[:, 0], stable=True)]
