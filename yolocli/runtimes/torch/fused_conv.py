"""Convolution and activation in one kernel, for PyTorch on x86 CPUs; imported when used, as it imports torch.

PyTorch goes over what a convolution wrote a second time for its activation, and brings the weights into the order that
the kernel wants on every call. oneDNN can do the first in passing and the second once. PyTorch has operators for both,
the ones that its own compiler makes of such a network; they are called here directly, as compiling takes a C++ compiler
and a minute for each shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import starmap
from types import MappingProxyType
from typing import Any, Final

import torch
from torch import nn
from ultralytics.nn.modules.conv import Conv

ACTIVATIONS: Final[Mapping[type[nn.Module], str]] = MappingProxyType({nn.SiLU: "swish", nn.ReLU: "relu"})
"""What oneDNN calls them."""
TOLERANCE: Final = 1e-3
"""Share of a number, or pixels, by which outputs may differ: far above float32's rounding, far below a mistake."""


class FusedConv(nn.Module):  # type: ignore[misc]
    """A convolution and the activation after it, its weights packed for the kernel."""

    def __init__(self, plain: nn.Conv2d, activation: str) -> None:
        super().__init__()
        self._kernel = torch.ops.mkldnn._convolution_pointwise
        self._form = (list(plain.padding), list(plain.stride), list(plain.dilation), plain.groups)
        self._weight = torch.ops.mkldnn._reorder_convolution_weight(plain.weight.detach(), *self._form)
        self._bias = None if plain.bias is None else plain.bias.detach()
        self._activation = activation

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Runs it on a batch of feature maps (images, channels, height, width)."""
        maps: torch.Tensor = self._kernel(images, self._weight, self._bias, *self._form, self._activation, [], "")
        return maps


def fuse_convolutions(model: nn.Module, channels: int, stride: int) -> bool:
    """Makes an Ultralytics model faster, in place; it is for inference in fp32 on the CPU only, then.

    Its outputs differ by a rounding of float32. Those of an image no longer depend on its batch or on the number of
    threads, to the last bit and for all but very narrow pictures, while PyTorch itself takes another kernel for a batch
    of one in one thread.

    Args:
        model: Its batch normalisation must be folded into the convolutions.
        channels: Of its input.
        stride: Its largest, in pixels.

    Returns:
        False if the model is as it was: on another kind of CPU, with a PyTorch that lacks the operators, or if outputs
        for a small picture of noise would be others.
    """
    if not torch.backends.cpu.get_cpu_capability().startswith("AVX"):
        return False
    noise = torch.rand(1, channels, 2 * stride, 2 * stride, generator=torch.Generator().manual_seed(0))
    before: list[tuple[nn.Module, str, nn.Module]] = []
    with torch.inference_mode():
        expected, same = _outputs(model(noise)), False
        try:
            for parent, name, fused in list(_fused(model)):
                before.append((parent, name, getattr(parent, name)))
                setattr(parent, name, fused)
            found = _outputs(model(noise))
            same = all(starmap(_alike, zip(found, expected, strict=True)))
        except (AttributeError, RuntimeError):
            same = False
    if not same:
        for parent, name, module in before:
            setattr(parent, name, module)
    return same


def _fused(model: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    """Yields modules, the name of a child in each, and what to put in that child's place."""
    for parent in model.modules():
        activation = _activation_after_convolution(parent)
        for name, child in parent.named_children():
            if isinstance(child, nn.Conv2d) and child.padding_mode == "zeros" and not isinstance(child.padding, str):
                yield parent, name, FusedConv(child, activation)
                if activation != "none":
                    yield parent, "act", nn.Identity()


def _activation_after_convolution(module: nn.Module) -> str:
    if isinstance(module, Conv) and not hasattr(module, "bn") and type(module).forward_fuse is Conv.forward_fuse:
        return ACTIVATIONS.get(type(module.act), "none")
    return "none"


def _alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    alike: bool = torch.allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE)
    return alike


def _outputs(output: Any) -> list[torch.Tensor]:
    """Returns what a model gives, apart from what only training needs: its output, and the maps of masks."""
    first = output[0] if isinstance(output, (list, tuple)) else output
    return list(first) if isinstance(first, (list, tuple)) else [first]
