"""A network in the one form that other runtimes are given; imported when used, as it imports torch."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from ultralytics.nn.modules.head import RTDETRDecoder

from yolocli.runtimes.torch.backend import is_end_to_end, is_rtdetr, normalisation_of
from yolocli.runtimes.torch.heads import channels_last
from yolocli.runtimes.torch.load import in_pixels, network_output, normalised
from yolocli.tasks.base import Task

MOST = 1000
"""Boxes that a network which needs no NMS gives; whoever reads them takes the best of these."""


class Canonical(nn.Module):  # type: ignore[misc]
    """A network without what only training needs of its outputs, with boxes in pixels, and images as they come."""

    def __init__(self, module: nn.Module, task: Task, in_shares: bool, normalisation: Any) -> None:
        super().__init__()
        self.module, self.task, self.in_shares, self.normalisation = module, task, in_shares, normalisation

    def forward(self, images: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """Runs it on images (images, channels, height, width) of [0, 1].

        Returns:
            What `Task.difference` expects.
        """
        inputs = normalised(images, *self.normalisation) if self.normalisation else images
        main, maps = network_output(self.module(inputs), self.task)
        main = in_pixels(main, images) if self.in_shares else main
        return main if maps is None else (main, maps)


def canonical(backend: Any, task: Task) -> Canonical:
    """Returns the network of weights; the model in the backend is changed.

    Args:
        backend: AutoBackend around weights.
        task: Of the model.
    """
    module = backend.backend.model
    head = module.model[-1]
    if not task.whole:  # maps are left as small as they are
        head.export, head.dynamic, head.format = True, True, "openvino"
        if is_rtdetr(backend):
            _keep_anchors(head)
        elif is_end_to_end(backend):
            _take_any_size(head)
        module.model[-1] = channels_last(head)
    network = Canonical(module, task, is_rtdetr(backend), normalisation_of(backend))
    network.eval()
    return network


def _keep_anchors(head: Any) -> None:
    """Has RT-DETR use the anchors that a checkpoint holds, for an input of the size that they are of.

    They are those that the head would make, but for a rounding to half precision: up to a third of a pixel at 640.
    """
    sides, kept = [side for shape in head.shapes for side in shape], head.anchors
    if not sides:
        return

    def anchors(shapes: list[list[int]], features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        made, valid = RTDETRDecoder._generate_anchors(shapes, features)
        given = torch.stack([torch.as_tensor(side) for shape in shapes for side in shape])
        first = torch.where((given == torch.tensor(sides)).all(), 0, kept.shape[1])
        places = torch.arange(made.shape[1]) + first
        return torch.cat([kept, made], 1)[:, places], valid

    head._generate_anchors = anchors


def _take_any_size(head: Any) -> None:
    """Has a head that needs no NMS take fewer anchors than it gives boxes; the original is traced with a number."""

    def best(scores: torch.Tensor, limit: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        count, classes = torch._shape_as_tensor(scores)[1].clamp(max=MOST), scores.shape[2]
        every, labels = scores.max(-1)
        if head.agnostic_nms:
            top, anchors = every.topk(count, 1)
            return top[..., None], labels.gather(1, anchors)[..., None].float(), anchors
        anchors = every.topk(count, 1)[1]
        top, places = scores.gather(1, anchors[..., None].expand(-1, -1, classes)).flatten(1).topk(count, 1)
        return top[..., None], (places % classes)[..., None].float(), anchors.gather(1, places // classes)

    head.get_topk_index = best
