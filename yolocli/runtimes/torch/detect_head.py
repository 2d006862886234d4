"""The head of YOLO models, with the numbers of an anchor side by side; imported when used, as it imports torch.

The original has them a feature map apart, and makes boxes of all anchors before it is known which of them count.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from ultralytics.nn.modules.head import Detect
from ultralytics.utils.tal import dist2bbox, make_anchors

from yolocli.tasks.candidates import side_by_side

LOGIT_MARGIN = 1e-3
"""How far below the confidence, before the sigmoid, a score is looked at: more than float32 can be wrong by."""


class RowsDetect(nn.Module):  # type: ignore[misc]
    """An Ultralytics head up to where it makes boxes, which it leaves to its other methods.

    Its outputs are distances of sides (images, anchors, 4 * bins) and scores (images, anchors, classes), both as the
    last convolutions give them; then anchor points (anchors, 2) and strides (anchors, 1).
    """

    def __init__(self, head: Detect) -> None:
        super().__init__()
        self.cv2, self.cv3, self.stride, self.reg_max = head.cv2, head.cv3, head.stride, head.reg_max
        self.register_buffer("bins", torch.arange(head.reg_max, dtype=torch.float32))
        self.i, self.f, self.type = head.i, head.f, head.type  # where it stands in the model

    def forward(self, features: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Runs it on feature maps (images, channels, height, width), one for each stride."""
        sides = _rows([layer(feature) for layer, feature in zip(self.cv2, features, strict=True)])
        scores = _rows([layer(feature) for layer, feature in zip(self.cv3, features, strict=True)])
        return sides, scores, *make_anchors(features, self.stride, 0.5)

    def boxes(self, sides: torch.Tensor, points: torch.Tensor, strides: torch.Tensor) -> torch.Tensor:
        """Returns boxes (..., 4) as centre x, centre y, width, height in pixels."""
        if self.reg_max > 1:
            sides = (sides.unflatten(-1, (4, self.reg_max)).softmax(-1) * self.bins).sum(-1)
        boxes: torch.Tensor = dist2bbox(sides, points, xywh=True, dim=-1) * strides
        return boxes

    def boxes_above(self, output: list[torch.Tensor], image: int, confidence: float) -> torch.Tensor:
        """Makes the boxes that count.

        An image's are made apart from those of its batch, and of few anchors at once, so that they depend neither on
        the batch nor on the number of threads: which numbers PyTorch's vector instructions round follows from where it
        splits an array.

        Args:
            output: Of the module.
            image: Position in the batch.
            confidence: Boxes above it are given.

        Returns:
            Tensor (n, 6), see `tasks.rows`.
        """
        sides, scores, points, strides = output
        anchors = (scores[image].amax(-1) > _logit(confidence) - LOGIT_MARGIN).nonzero()[:, 0]
        best, classes = scores[image, anchors].max(-1)
        best = best.sigmoid()
        above = best > confidence
        anchors, best, classes = anchors[above], best[above], classes[above]
        boxes = self.boxes(sides[image, anchors], points[anchors], strides[anchors])
        centre, half = boxes[:, :2], boxes[:, 2:] / 2
        return torch.cat(side_by_side((centre - half, centre + half), best[:, None], classes[:, None].float()), 1)


class ChannelsLastDetect(RowsDetect):
    """What an Ultralytics head computes, in its shape: (images, 4 + classes, anchors)."""

    def forward(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Runs it on feature maps; the last step is a transpose that the reader of a graph can leave out."""
        sides, scores, points, strides = super().forward(features)
        return torch.cat((self.boxes(sides, points.unsqueeze(0), strides), scores.sigmoid()), -1).transpose(1, 2)


def can_be_rows(head: Any) -> bool:
    """Tells whether a model's last module is a head that the classes here can stand for."""
    return type(head) is Detect and not head.end2end and not head.xyxy


def channels_last(head: Any) -> Any:
    """Returns a module that computes what an Ultralytics head does, for a graph in which channels come last.

    OpenVINO moves memory before it decodes boxes of the original. In a graph for one shape this saves 4 % of an image's
    time (yolo11n at 384x640: 25.3 ms instead of 26.4), 7 % in INT8.

    Args:
        head: `ultralytics.nn.modules.head.Detect`, with NMS still to be done; anything else is returned as it is.

    Returns:
        A module of the same inputs, whose output is (images, 4 + classes, anchors) of centre x, centre y, width,
        height in pixels and a score for each class.
    """
    return ChannelsLastDetect(head).eval() if can_be_rows(head) else head


def _rows(maps: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat([one.permute(0, 2, 3, 1).flatten(1, 2) for one in maps], 1)


def _logit(probability: float) -> float:
    if not 0 < probability < 1:
        return math.inf if probability >= 1 else -math.inf
    return math.log(probability / (1 - probability))
