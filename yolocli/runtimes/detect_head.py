"""The head of YOLO models, written for a runtime that keeps the channels of a pixel together."""

from __future__ import annotations

from typing import Any


def channels_last(head: Any) -> Any:
    """Returns a module that computes what an Ultralytics head does, with the numbers of an anchor side by side.

    The original has them a feature map apart, so that OpenVINO moves memory before it decodes boxes. In a graph for one
    shape this saves 4 % of an image's time (yolo11n at 384x640: 25.3 ms instead of 26.4), 7 % in INT8. Only the last
    step, a transpose that the reader of the graph can leave out, gives the original's shape.

    Args:
        head: `ultralytics.nn.modules.head.Detect`, with NMS still to be done; anything else is returned as it is.

    Returns:
        A module of the same inputs, whose output is (images, 4 + classes, anchors) of centre x, centre y, width,
        height in pixels and a score for each class.
    """
    import torch
    from ultralytics.nn.modules.head import Detect
    from ultralytics.utils.tal import dist2bbox, make_anchors

    if type(head) is not Detect or head.end2end or head.xyxy:
        return head

    class ChannelsLastDetect(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.cv2, self.cv3 = head.cv2, head.cv3
            self.register_buffer("bins", torch.arange(head.reg_max, dtype=torch.float32))
            self.i, self.f, self.type = head.i, head.f, head.type  # where it stands in the model

        def forward(self, features: list[torch.Tensor]) -> torch.Tensor:
            boxes = _rows([layer(feature) for layer, feature in zip(self.cv2, features, strict=True)])
            scores = _rows([layer(feature) for layer, feature in zip(self.cv3, features, strict=True)])
            if head.reg_max > 1:
                sides = boxes.unflatten(-1, (4, head.reg_max)).softmax(-1)
                boxes = (sides * self.bins).sum(-1)
            anchors, strides = make_anchors(features, head.stride, 0.5)
            boxes = dist2bbox(boxes, anchors.unsqueeze(0), xywh=True, dim=-1) * strides
            return torch.cat((boxes, scores.sigmoid()), -1).transpose(1, 2)

    def _rows(maps: list[torch.Tensor]) -> torch.Tensor:
        return torch.cat([one.permute(0, 2, 3, 1).flatten(1, 2) for one in maps], 1)

    return ChannelsLastDetect().eval()
