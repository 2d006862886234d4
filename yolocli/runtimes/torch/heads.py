"""The heads of YOLO models, with the numbers of an anchor side by side; imported when used, as it imports torch.

The original has them a feature map apart, and makes boxes of all anchors before it is known which of them count.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from ultralytics.nn.modules.head import (
    OBB,
    OBB26,
    Detect,
    Pose,
    Pose26,
    Segment,
    Segment26,
    YOLOEDetect,
    YOLOESegment,
    YOLOESegment26,
    v10Detect,
)
from ultralytics.utils.tal import dist2bbox, dist2rbox, make_anchors

from yolocli.tasks.candidates import side_by_side

LOGIT_MARGIN = 1e-3
"""How far below the confidence, before the sigmoid, a score is looked at: more than float32 can be wrong by."""


class RowsDetect(nn.Module):  # type: ignore[misc]
    """An Ultralytics head up to where it makes boxes, which it leaves to its other methods.

    Its outputs are distances of sides (images, anchors, 4 * bins) and scores (images, anchors, classes), both as the
    last convolutions give them; then anchor points (anchors, 2) and strides (anchors, 1); then what the task has of its
    own (images, anchors, k), as the last convolution gives it, if anything; then the maps of masks, if there are some.
    """

    def __init__(self, head: Any) -> None:
        super().__init__()
        self.cv2, self.cv3, self.stride, self.reg_max = head.cv2, head.cv3, head.stride, head.reg_max
        self.register_buffer("bins", torch.arange(head.reg_max, dtype=torch.float32))
        self.i, self.f, self.type = head.i, head.f, head.type  # where it stands in the model

    def forward(self, features: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Runs it on feature maps (images, channels, height, width), one for each stride."""
        sides = _rows([layer(feature) for layer, feature in zip(self.cv2, features, strict=True)])
        scores = _rows([layer(feature) for layer, feature in zip(self.cv3, features, strict=True)])
        return sides, scores, *make_anchors(features, self.stride, 0.5), *self.more(features)

    def more(self, features: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Returns what the task has of its own, and maps; see the class."""
        return ()

    def own(self, values: torch.Tensor, points: torch.Tensor, strides: torch.Tensor) -> torch.Tensor:
        """Returns what the task has of its own (..., k), as it stands in rows, from what the convolution gave."""
        return values

    def boxes(
        self, sides: torch.Tensor, points: torch.Tensor, strides: torch.Tensor, own: torch.Tensor | None
    ) -> torch.Tensor:
        """Returns boxes (..., 4) as centre x, centre y, width, height in pixels."""
        boxes: torch.Tensor = dist2bbox(self.distances(sides), points, xywh=True, dim=-1) * strides
        return boxes

    def distances(self, sides: torch.Tensor) -> torch.Tensor:
        """Returns distances of sides from anchors (..., 4), in units of strides."""
        if self.reg_max == 1:
            return sides
        return (sides.unflatten(-1, (4, self.reg_max)).softmax(-1) * self.bins).sum(-1)

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
            Tensor (n, 6 + k), see `candidates`.
        """
        sides, scores, points, strides, *more = output
        anchors = (scores[image].amax(-1) > _logit(confidence) - LOGIT_MARGIN).nonzero()[:, 0]
        best, classes = scores[image, anchors].max(-1)
        best = best.sigmoid()
        above = best > confidence
        anchors, best, classes = anchors[above], best[above], classes[above]
        places = points[anchors], strides[anchors]
        own = self.own(more[0][image, anchors], *places) if more else None
        boxes = self.boxes(sides[image, anchors], *places, own)
        centre, half = boxes[:, :2], boxes[:, 2:] / 2
        parts = side_by_side(
            (centre - half, centre + half), best[:, None], classes[:, None].float(), () if own is None else (own,)
        )
        return torch.cat(parts, 1)


class RowsSegment(RowsDetect):
    """One that gives each box the shares that its mask has of some maps, and these maps."""

    def __init__(self, head: Any) -> None:
        super().__init__(head)
        self.cv4, self.proto = head.cv4, head.proto

    def more(self, features: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """See `RowsDetect.more`; the maps are (images, shares, height, width), a quarter of the input in size."""
        shares = _rows([layer(feature) for layer, feature in zip(self.cv4, features, strict=True)])
        return shares, self.maps(features)

    def maps(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Returns the maps."""
        maps: torch.Tensor = self.proto(features[0])
        return maps


class RowsSegment26(RowsSegment):
    """That of YOLO26, whose maps are made from all features."""

    def maps(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Returns the maps."""
        maps: torch.Tensor = self.proto(features)
        return maps


class RowsYoloeSegment(RowsSegment):
    """That of YOLOE, which has another name for a layer."""

    def __init__(self, head: Any) -> None:
        super().__init__(head)
        self.cv4 = head.cv5


class RowsYoloeSegment26(RowsSegment26):
    """That of YOLOE in the manner of YOLO26."""

    def __init__(self, head: Any) -> None:
        super().__init__(head)
        self.cv4 = head.cv5


class RowsPose(RowsDetect):
    """One that gives each box keypoints."""

    SCALE, SHIFT = 2.0, -0.5

    def __init__(self, head: Any) -> None:
        super().__init__(head)
        self.cv4, self.kpt_shape = head.cv4, tuple(head.kpt_shape)

    def more(self, features: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """See `RowsDetect.more`."""
        return (_rows([layer(feature) for layer, feature in zip(self.cv4, features, strict=True)]),)

    def own(self, values: torch.Tensor, points: torch.Tensor, strides: torch.Tensor) -> torch.Tensor:
        """Returns keypoints in pixels, one after the other; the third number of one is how visible it is."""
        values = values.unflatten(-1, self.kpt_shape)
        places = (values[..., :2] * self.SCALE + (points + self.SHIFT).unsqueeze(-2)) * strides.unsqueeze(-2)
        return torch.cat((places, values[..., 2:].sigmoid()), -1).flatten(-2)


class RowsPose26(RowsPose):
    """That of YOLO26."""

    SCALE, SHIFT = 1.0, 0.0

    def __init__(self, head: Any) -> None:
        super().__init__(head)
        self.cv4 = nn.ModuleList(nn.Sequential(*pair) for pair in zip(head.cv4, head.cv4_kpts, strict=True))


class RowsObb(RowsDetect):
    """One that gives each box the angle that it is turned by, in radians, clockwise in the picture."""

    def __init__(self, head: Any) -> None:
        super().__init__(head)
        self.cv4 = head.cv4

    def more(self, features: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """See `RowsDetect.more`."""
        return (_rows([layer(feature) for layer, feature in zip(self.cv4, features, strict=True)]),)

    def own(self, values: torch.Tensor, points: torch.Tensor, strides: torch.Tensor) -> torch.Tensor:
        """Returns angles."""
        # the clamp keeps OpenVINO from making one operation of the two, which rounds otherwise in a graph for one shape
        # than in one for any; it changes no number
        return (values.sigmoid() - 0.25).clamp(-1, 1) * math.pi

    def boxes(
        self, sides: torch.Tensor, points: torch.Tensor, strides: torch.Tensor, own: torch.Tensor | None
    ) -> torch.Tensor:
        """Returns boxes as they were before they were turned."""
        boxes: torch.Tensor = dist2rbox(self.distances(sides), own, points, dim=-1) * strides
        return boxes


class RowsObb26(RowsObb):
    """That of YOLO26, which gives angles as they are."""

    def own(self, values: torch.Tensor, points: torch.Tensor, strides: torch.Tensor) -> torch.Tensor:
        """Returns angles."""
        return values


HEADS: Mapping[type[nn.Module], type[RowsDetect]] = MappingProxyType(
    {
        Detect: RowsDetect,
        Segment: RowsSegment,
        Segment26: RowsSegment26,
        Pose: RowsPose,
        Pose26: RowsPose26,
        OBB: RowsObb,
        OBB26: RowsObb26,
        v10Detect: RowsDetect,
        YOLOEDetect: RowsDetect,
        YOLOESegment: RowsYoloeSegment,
        YOLOESegment26: RowsYoloeSegment26,
    }
)
"""What can stand for a head of Ultralytics'."""


class ChannelsLast(nn.Module):  # type: ignore[misc]
    """What an Ultralytics head computes, in its shape; see `channels_last`."""

    def __init__(self, rows: RowsDetect) -> None:
        super().__init__()
        self.rows = rows
        self.i, self.f, self.type = rows.i, rows.f, rows.type

    def forward(self, features: list[torch.Tensor]) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """Runs it on feature maps; the last step is a transpose that the reader of a graph can leave out."""
        sides, scores, points, strides, *more = self.rows(features)
        places = points.unsqueeze(0), strides
        own = self.rows.own(more[0], *places) if more else None
        parts = [self.rows.boxes(sides, *places, own), scores.sigmoid(), *([] if own is None else [own])]
        whole = torch.cat(parts, -1).transpose(1, 2)
        return (whole, more[1]) if len(more) > 1 else whole


def rows_head(head: Any) -> RowsDetect | None:
    """Returns a module that stands for a model's last one; None if it is of a kind that has none."""
    kind: type[RowsDetect] | None = HEADS.get(type(head))
    if kind is None or head.end2end or head.xyxy or hasattr(head, "lrpc"):  # the last: of YOLOE without prompts
        return None
    rows: RowsDetect = kind(head).eval()
    return rows


def channels_last(head: Any) -> Any:
    """Returns a module that computes what an Ultralytics head does, for a graph in which channels come last.

    OpenVINO moves memory before it decodes boxes of the original. In a graph for one shape this saves 4 % of an image's
    time (yolo11n at 384x640: 25.3 ms instead of 26.4), 7 % in INT8.

    Args:
        head: A row of `HEADS`, with NMS still to be done; anything else is returned as it is.

    Returns:
        A module of the same inputs, whose output is (images, 4 + classes + k, anchors) of centre x, centre y, width,
        height in pixels, a score for each class and what the task adds; and the maps, if there are some.
    """
    rows = rows_head(head)
    return head if rows is None else ChannelsLast(rows).eval()


def _rows(maps: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat([one.permute(0, 2, 3, 1).flatten(1, 2) for one in maps], 1)


def _logit(probability: float) -> float:
    if not 0 < probability < 1:
        return math.inf if probability >= 1 else -math.inf
    return math.log(probability / (1 - probability))
