"""A network in the one form that other runtimes are given; imported when used, as it imports torch."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from yolocli.runtimes.torch.backend import is_rtdetr, normalisation_of
from yolocli.runtimes.torch.heads import channels_last
from yolocli.runtimes.torch.load import in_pixels, network_output, normalised
from yolocli.tasks.base import Task


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
        module.model[-1] = channels_last(head)
    network = Canonical(module, task, is_rtdetr(backend), normalisation_of(backend))
    network.eval()
    return network
