"""Checkpoints of any architecture, made in a second: random weights whose scores are spread apart.

What is trained cannot be had for every family; plain random weights are no test, as their activations die out, their
scores tie, and all of them or none exceed the confidence. So batch normalisation is set to what pictures give, and the
last layer of the classes is stretched until the best scores of these pictures lie between 0 and 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import torch
from torch import nn

from yolocli.images.fit import fit
from yolocli.images.letterbox import Fit, Frame
from yolocli.runtimes.torch.library import import_ultralytics

SHARE: Final = 0.07
"""Of the anchors of a stride: those whose best score exceeds the middle."""
MIDDLE: Final = 0.25
BEST: Final = 0.95
SPREAD: Final = 2.0
"""Of the scores of all classes, before the softmax, where an image has one class."""
FILTER: Final = 0.001
"""The score that Ultralytics' heads without prompts look for a class from."""
WORDS: Final = ("bolt", "lamp", "crate", "hinge", "kettle", "pulley", "spool", "wrench")
VISION_TEXT: Final = 512
"""Numbers of an embedding of a text."""


def make(architecture: str, form: str, target: Path, pictures: Sequence[Path], imgsz: int, channels: int = 3) -> Path:
    """Writes a checkpoint as `YOLO.save` does.

    Args:
        architecture: Ultralytics' description, the letter of its scale in the name.
        form: A row of `FORMS`.
        target: The file.
        pictures: What its scores are spread on.
        imgsz: Side of the input, as if it had been trained with it.
        channels: Of an input image.
    """
    import_ultralytics()
    from ultralytics import RTDETR, YOLO
    from ultralytics.nn.tasks import yaml_model_load
    from ultralytics.utils import DEFAULT_CFG_DICT

    torch.manual_seed(0)
    shell = (RTDETR if "rtdetr" in architecture else YOLO)(architecture)
    if channels != 3:
        shell.model = type(shell.model)(yaml_model_load(architecture), ch=channels, verbose=False)
        shell.model.task = shell.task
    model = shell.model
    model.args = {**DEFAULT_CFG_DICT, "task": shell.task, "imgsz": imgsz, "model": target.name}
    stride = int(max(model.stride))
    with torch.no_grad():
        _enliven(model, torch.cat(_images(pictures, Frame(imgsz, imgsz, stride, False), channels)))
        FORMS[form](model)
        _vary_boxes(model.model[-1])
        _spread(model, _images(pictures, Frame(imgsz, imgsz, stride, stride > 1, _fit(shell)), channels))
    shell.ckpt = {"train_args": {"task": shell.task, "imgsz": imgsz}}
    shell.save(target)
    return target


def _plain(model: Any) -> None:
    """As training leaves it."""
    model.names = {index: f"thing {index}" for index in range(len(model.names))}


def _one_to_one(model: Any) -> None:
    """Fused with the branch alone that needs no NMS."""
    _plain(model)
    model.end2end = True
    model.fuse(verbose=False)


def _world(model: Any) -> None:
    """As `YOLOWorld.set_classes` leaves it: names are a list there."""
    model.txt_feats = _texts()
    model.model[-1].nc = len(WORDS)
    model.names = list(WORDS)


def _vocabulary(model: Any) -> None:
    """As `YOLOE.set_classes` leaves it."""
    model.set_classes(list(WORDS), _texts())


def _vocabulary_one_to_one(model: Any) -> None:
    """The same, and fused with the branch alone that needs no NMS."""
    _vocabulary(model)
    model.end2end = True
    model.fuse(verbose=False)


def _melted(model: Any) -> None:
    """A vocabulary in the weights of the head, as an export and `YOLOE.get_vocab` put it there."""
    _vocabulary(model)
    model.eval().model[-1].fuse(model.pe)


def _prompt_free(model: Any) -> None:
    """As `YOLOE.set_vocab` leaves it, with what `get_vocab` gives."""
    _melted(model)
    head = model.model[-1]
    layers = head.one2one_cv3 if head.end2end else head.cv3
    model.set_vocab(nn.ModuleList(layer[-1] for layer in layers), dict(enumerate(WORDS)))


FORMS: Final = {
    "plain": _plain,
    "one-to-one": _one_to_one,
    "world": _world,
    "vocabulary": _vocabulary,
    "vocabulary one-to-one": _vocabulary_one_to_one,
    "melted": _melted,
    "prompt-free": _prompt_free,
}
"""What is done to a model between its training and its use."""


def _texts() -> torch.Tensor:
    return nn.functional.normalize(torch.randn(1, len(WORDS), VISION_TEXT), dim=-1)


def _fit(shell: Any) -> Fit:
    return "stretch" if "RTDETR" in type(shell).__name__ else "letterbox"


def _images(pictures: Iterable[Path], frame: Frame, channels: int) -> list[torch.Tensor]:
    """Returns pictures as a network takes them, one in a batch."""
    fitted = [fit(cv2.imread(str(path))[..., ::-1][..., :channels].copy(), frame).pixels for path in pictures]
    return [torch.from_numpy(one.transpose(2, 0, 1)[None].astype(np.float32) / 255) for one in fitted]


def _enliven(model: Any, images: torch.Tensor) -> None:
    """Sets batch normalisation to what the pictures give, so that numbers of all layers are of like size.

    Its bias keeps activations where they are nearly straight: else every layer makes a small difference larger, and
    after some twenty of them two ways to round give other boxes, as they do not in a network that was trained.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
        norm.bias.fill_(1.0)
    model.train()(images)
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum
        norm.running_var.clamp_(min=float(norm.running_var.mean()) / 4)
    model.eval()


def _vary_boxes(head: Any) -> None:
    if hasattr(head, "dec_bbox_head"):
        for layer in head.decoder.layers:  # what a query is shows to the end, else all of them become alike
            for last in (layer.self_attn.out_proj, layer.cross_attn.output_proj, layer.linear2):
                last.weight.mul_(0.2)
        for perceptron in (head.enc_bbox_head, *head.dec_bbox_head):
            nn.init.normal_(perceptron.layers[-1].weight, std=0.05)
    elif hasattr(head, "lrpc"):
        for layer in head.lrpc:
            layer.loc.weight.mul_(4)
    elif hasattr(head, "cv2"):
        for layer in (*(head.cv2 or ()), *(getattr(head, "one2one_cv2", None) or ())):
            layer[-1].weight.mul_(4)


def _spread(model: Any, images: Sequence[torch.Tensor]) -> None:
    """Stretches the last layers of the classes, each by what it gives of the pictures."""
    head = model.model[-1]
    if hasattr(head, "linear"):  # of an image as a whole: no class has it all
        ((layer, seen),) = _outputs(model, images, [head.linear])
        layer.weight.mul_(SPREAD / torch.cat(seen).std())
        return
    filters = [layer.pf for layer in getattr(head, "lrpc", ()) if layer.enabled]
    for layer, seen in _outputs(model, images, filters):
        layer.bias.add_(_logit(FILTER) - torch.cat([one.flatten() for one in seen]).median())
    for layer, seen in _outputs(model, images, list(_last_layers(head))):
        best = torch.cat([one.amax(1 if one.dim() == 4 else -1).flatten() for one in seen])
        middle = best.quantile(1 - SHARE)
        factor = (_logit(BEST) - _logit(MIDDLE)) / (best.max() - middle)
        shift = _logit(MIDDLE) - factor * middle
        if hasattr(layer, "logit_scale"):
            layer.logit_scale.add_(factor.log())
        else:
            layer.weight.mul_(factor)
        layer.bias.mul_(factor).add_(shift)


def _last_layers(head: Any) -> Iterator[nn.Module]:
    """Yields what gives the scores of the classes, in all branches that there are."""
    if hasattr(head, "lrpc"):
        yield from (layer.vocab for layer in head.lrpc)
    elif hasattr(head, "cv3"):
        for branch in ("", "one2one_"):
            compared = [layer for layer in getattr(head, f"{branch}cv4", None) or () if hasattr(layer, "logit_scale")]
            yield from compared or [layer[-1] for layer in getattr(head, f"{branch}cv3", None) or ()]
    elif hasattr(head, "dec_score_head"):
        yield head.dec_score_head[-1]
    elif hasattr(head, "classifier"):
        yield head.classifier[-1]


def _outputs(
    model: Any, images: Sequence[torch.Tensor], layers: Sequence[nn.Module]
) -> Iterable[tuple[nn.Module, list[torch.Tensor]]]:
    """Returns layers, each with what it gives of the images."""
    seen: dict[nn.Module, list[torch.Tensor]] = {layer: [] for layer in layers}
    hooks = [layer.register_forward_hook(lambda layer, _, output: seen[layer].append(output)) for layer in layers]
    for image in images:
        model(image)
    for hook in hooks:
        hook.remove()
    return seen.items()


def _logit(share: float) -> float:
    return math.log(share / (1 - share))
