"""PyTorch, and every format that Ultralytics' AutoBackend can run.

Ultralytics' predictor is not used: it is the part that cannot be shared, re-reads its arguments under a running call
and gives up NMS by the clock. What is used is what lies under it: the loader, and AutoBackend.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from yolocli.config import Precision
from yolocli.errors import ModelError, UsageError
from yolocli.images.letterbox import Canvas
from yolocli.runtimes.base import BATCH_OF_MANY_THREADS, fixed_imgsz, frame_for
from yolocli.runtimes.plan import Prepared
from yolocli.runtimes.torch.backend import (
    facts_of,
    fit_of,
    is_end_to_end,
    is_rtdetr,
    load_backend,
    normalisation_of,
    task_of,
    trained_imgsz,
)
from yolocli.runtimes.torch.device_nms import suppress_on_device
from yolocli.runtimes.torch.library import import_ultralytics
from yolocli.tasks.base import Raw, Task
from yolocli.tasks.candidates import BOX, COLUMNS, CONFIDENCE, no_rows, side_by_side

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from yolocli.runtimes.torch.heads import RowsDetect

LARGEST_BATCH = 32
ANY_BATCH = frozenset(("pt", "torchscript", "ncnn", "deepx", "axelera"))
"""Formats that take any number of images whatever they were exported for; AutoBackend pads those of all others."""
NAMES_UNKNOWN = 999
"""Names that AutoBackend makes up for a model that has none."""
LARGEST_SHARE = 2.0
"""Of the side of an input; no box is smaller that is given in pixels."""
MEMORY_SHARE = 0.25
"""Part of a GPU's free memory that a batch is planned for."""

# Ultralytics swaps entries of sys.modules while it unpickles a checkpoint
_load_lock = threading.Lock()


def load(prepared: Prepared) -> TorchRuntime:
    """Loads a model on a device.

    Args:
        prepared: Its `path` is that of a file or folder that exists.

    Raises:
        ModelError: If the model cannot be loaded, is not trusted, or is no detector.
    """
    with _load_lock:
        import_ultralytics(prepared.asked.verbose)
        import torch

        device = torch.device(prepared.device or ("cuda:0" if torch.cuda.is_available() else "cpu"))
        _check_device(device)
        if prepared.plan.precision is Precision.fp16 and device.type == "cpu":
            raise UsageError("--precision fp16 needs a GPU; on a CPU use fp32 or bf16")
        backend = load_backend(prepared, device)
    if prepared.threads:
        torch.set_num_threads(prepared.threads)
    return TorchRuntime(backend, prepared, device)


class TorchRuntime:
    """A network behind AutoBackend; see `Runtime`."""

    def __init__(self, backend: Any, prepared: Prepared, device: torch.device) -> None:
        asked, precision = prepared.asked, prepared.plan.precision
        self._backend = backend
        self._device = device
        self._confidence = asked.confidence
        self._bf16 = precision is Precision.bf16
        self.task = task_of(backend, prepared.path)
        self.facts = facts_of(backend, self.task)
        self._extra = self.task.extra(self.facts)
        self.channels: int = backend.channels
        self._iou = asked.iou
        self._end_to_end = is_end_to_end(backend)
        self._in_shares = is_rtdetr(backend)
        self._normalisation = normalisation_of(backend)
        self.suppressed = self._end_to_end or (device.type == "cuda" and self.task.plain_nms)
        self.description = (
            f"torch {(precision or Precision.fp32).value} on {device}"
            if backend.format == "pt"
            else f"{backend.format} on {device}"
        )
        dynamic = backend.format == "pt" or bool(backend.dynamic)
        if dynamic or not getattr(backend, "imgsz", None):
            imgsz: Sequence[int] = asked.imgsz or trained_imgsz(backend)
        else:
            imgsz = fixed_imgsz(backend.imgsz, asked)
        self.frame = frame_for(imgsz, int(backend.stride), dynamic, fit_of(backend, self.task))
        # an engine's shapes may be dynamic, but only up to the batch that it was built for
        limited = backend.format == "engine" or not (dynamic or backend.format in ANY_BATCH)
        self._most: int | None = int(backend.batch) if limited else None
        plain = device.type == "cpu" and backend.format == "pt" and not (self._bf16 or self._in_shares)
        self._head = _make_faster(backend) if plain else None
        self.best_batch = BATCH_OF_MANY_THREADS if self._head and prepared.threads > 1 else self._fitting_batch()

    def infer(self, batch: Sequence[Canvas]) -> list[Raw]:
        """Runs the network on canvases of one shape; see `Runtime.infer`."""
        most = self._most or len(batch)
        parts = (self._infer(batch[start : start + most]) for start in range(0, len(batch), most))
        return list(chain.from_iterable(parts))

    def _infer(self, batch: Sequence[Canvas]) -> list[Raw]:
        import numpy as np
        import torch

        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            inputs = self._inputs(batch)
            output = self._backend(inputs)
            if self._head is not None:
                above = (self._head.boxes_above(output, image, self._confidence) for image in range(len(batch)))
                of_images = on_host(output[-1]) if self.task.maps else [None] * len(batch)
                return [Raw(rows.numpy(), maps) for rows, maps in zip(above, of_images, strict=True)]
            main, maps = network_output(output, self.task)
            if self.task.whole:
                return [Raw(no_rows(), image) for image in on_host(main)]
            if self._in_shares:
                main = in_pixels(main, inputs)
            found = self._candidates(main.float(), self._extra if maps is None else maps.shape[1])
            if self.suppressed and not self._end_to_end:
                found = suppress_on_device(found, self._iou, self.facts.agnostic)
            host = found.cpu().numpy()
            of_images = [None] * len(batch) if maps is None else on_host(maps)
        ends = np.searchsorted(host[:, 0], np.arange(1, len(batch)))
        return [Raw(rows, image) for rows, image in zip(np.split(host[:, 1:], ends), of_images, strict=True)]

    def _inputs(self, batch: Sequence[Canvas]) -> torch.Tensor:
        """Returns (images, channels, height, width) in [0, 1], RGB or grey, on the device."""
        import numpy as np
        import torch

        pixels = torch.from_numpy(np.stack([canvas.pixels for canvas in batch]))
        if self._device.type == "cuda":  # bytes cross the bus, not floats, and from pinned memory while the GPU works
            pixels = pixels.pin_memory()
        pixels = pixels.to(self._device, non_blocking=True)
        pixels = pixels.permute(0, 3, 1, 2).contiguous()
        if self.channels == 3:
            pixels = pixels.flip(1)  # BGR to RGB
        inputs = (pixels.half() if self._backend.fp16 else pixels.float()).div_(255)
        return normalised(inputs, *self._normalisation) if self._normalisation else inputs

    def _candidates(self, output: torch.Tensor, extra: int) -> torch.Tensor:
        """Returns the rows above the confidence, the image's number before each: one transfer for the whole batch."""
        import torch

        # only converted models need not say it: of some weights the number of anchors follows from the image
        looks_so = self._backend.format != "pt" and output.shape[-1] == COLUMNS + extra
        if self._end_to_end or looks_so:  # output: (images, boxes, 6 + k)
            if not self._end_to_end and 0 < float(output[..., BOX].abs().max()) < LARGEST_SHARE:
                raise ModelError(
                    "it gives boxes as shares of its input, as RT-DETR does, and does not say so: export it again"
                )
            self._end_to_end = self.suppressed = True
            image, box = (output[..., CONFIDENCE] > self._confidence).nonzero(as_tuple=True)
            rows = output[image, box]
            if self.task.centred:
                centre, half = rows[:, :2], rows[:, 2:4] / 2
                rows = torch.cat([centre - half, centre + half, rows[:, CONFIDENCE:]], 1)
            return torch.cat([image[:, None].float(), rows], 1)
        end, known = output.shape[1] - extra, len(self.facts.names)
        if end != 4 + known and known != NAMES_UNKNOWN:
            raise ModelError(f"output of shape {tuple(output.shape)} is not that of a YOLO detector; it cannot be read")
        scores, classes = output[:, 4:end].max(1)  # output: (images, 4 + classes + k, boxes)
        image, box = (scores > self._confidence).nonzero(as_tuple=True)
        centre, half = output[image, :2, box], output[image, 2:4, box] / 2
        score, category = scores[image, box], classes[image, box].float()
        own = [output[image, end:, box]] if extra else []
        rows = side_by_side((centre - half, centre + half), score[:, None], category[:, None], own)
        return torch.cat([image[:, None].float(), *rows], 1)

    def _fitting_batch(self) -> int:
        """Returns the batch that a model was exported for, if it takes no other.

        Else it is the largest power of two of images, up to `LARGEST_BATCH`, that takes a part of the free memory.
        It runs the network once, which warms it up, too. Other workers may share the GPU, so a part is all it takes;
        a batch that does not fit after all is halved.
        """
        import numpy as np
        import torch

        if self._most is not None:
            return self._most
        if self._device.type != "cuda":
            return 1
        pixels = np.zeros((self.frame.height, self.frame.width, self.channels), np.uint8)
        before = torch.cuda.memory_allocated(self._device)
        torch.cuda.reset_peak_memory_stats(self._device)
        self.infer([Canvas(pixels, self.frame.width, self.frame.height)])
        one = max(torch.cuda.max_memory_allocated(self._device) - before, 1)
        free, _ = torch.cuda.mem_get_info(self._device)
        batch = LARGEST_BATCH
        while batch > 1 and batch * one > free * MEMORY_SHARE:
            batch //= 2
        return batch


def network_output(output: Any, task: Task) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Returns what AutoBackend gives, apart from what only training needs.

    Args:
        output: Of AutoBackend: of weights with a part for training after it, of converted models without.
        task: Of the model.

    Returns:
        The output that the task is about, and its maps if it has some beside it.
    """
    if not isinstance(output, (list, tuple)):
        return output, None
    first = output[0]
    if isinstance(first, (list, tuple)):  # masks of weights
        return first[0], first[1]
    return first, output[1] if task.maps else None


def normalised(inputs: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """Returns inputs (images, channels, height, width) less the mean of each channel, divided by its deviation."""
    return (inputs - inputs.new_tensor(mean)[:, None, None]) / inputs.new_tensor(std)[:, None, None]


def in_pixels(output: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    """Returns rows (images, boxes, 6) with corners in pixels, where a network gives centres and sizes as shares."""
    import torch

    width, height = inputs.shape[3], inputs.shape[2]  # used as they are, so that a trace of this works for any size
    x, y, half_x, half_y = output[..., :1], output[..., 1:2], output[..., 2:3] / 2, output[..., 3:4] / 2
    corners = [(x - half_x) * width, (y - half_y) * height, (x + half_x) * width, (y + half_y) * height]
    return torch.cat([*corners, output[..., 4:]], -1)


def on_host(maps: torch.Tensor) -> NDArray[Any]:
    """Returns a tensor as an array of its own."""
    host: NDArray[Any] = (maps.float() if maps.is_floating_point() else maps).cpu().numpy().copy()
    return host


def _make_faster(backend: Any) -> RowsDetect | None:
    """Changes a model on the CPU in place, if it is one that can be; returns its new head then."""
    from yolocli.runtimes.torch.fused_conv import fuse_convolutions
    from yolocli.runtimes.torch.heads import rows_head

    model = backend.backend.model
    if not fuse_convolutions(model, backend.channels, int(backend.stride)):
        return None
    head = rows_head(model.model[-1])
    if head is not None:
        model.model[-1] = head
    return head


def _check_device(device: torch.device) -> None:
    import torch

    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ModelError(f"--device {device}: this machine shows {torch.cuda.device_count()} CUDA devices")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ModelError("--device mps: not available on this machine")
