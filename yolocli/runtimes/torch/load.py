"""PyTorch, and every export format that Ultralytics' AutoBackend can run.

Ultralytics' predictor is not used: it is the part that cannot be shared, re-reads its arguments under a running call
and gives up NMS by the clock. What is used is what lies under it: the loader, and AutoBackend.
"""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yolocli.config import Precision
from yolocli.errors import ModelError, UsageError, install_hint
from yolocli.images.letterbox import Canvas
from yolocli.runtimes.base import BATCH_OF_MANY_THREADS, DETECT, fixed_imgsz, frame_for
from yolocli.runtimes.openvino.export_folder import check_metadata, check_sizes
from yolocli.runtimes.plan import Prepared
from yolocli.runtimes.torch.confined import ConfinedError, confined
from yolocli.runtimes.torch.device_nms import suppress_on_device
from yolocli.runtimes.torch.library import import_ultralytics

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from yolocli.runtimes.torch.detect_head import RowsDetect

LARGEST_BATCH = 32
ANY_BATCH = frozenset(("pt", "torchscript", "ncnn", "deepx", "axelera"))
"""Formats that take any number of images whatever they were exported for; AutoBackend pads those of all others."""
NAMES_UNKNOWN = 999
"""Names that AutoBackend makes up for a model that has none."""
PLAIN = frozenset(("pt", "onnx", "openvino", "ncnn", "mnn", "litert", "coreml"))
"""Formats that run no code of the model's own.

A checkpoint is held to known classes (see `_safe_load`); the others hold numbers and operators of the library, none
of which writes. TorchScript is a program that may write files, and so are graphs of TensorFlow and Paddle (WriteFile,
save_combine); an engine of TensorRT holds machine code; of those for chips that were not at hand nothing is known.
"""
SELF_CONTAINED = frozenset(("pt", "torchscript", "onnx", "engine", "coreml", "coreai", "litert", "mnn"))
"""Formats whose metadata is not in a file of its own."""
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
        self.names: Mapping[int, str] = dict(backend.names)
        self.channels: int = backend.channels
        self._iou = asked.iou
        self._end_to_end = bool(backend.end2end)
        self.suppressed = self._end_to_end or device.type == "cuda"
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
        self.frame = frame_for(imgsz, int(backend.stride), dynamic)
        # an engine's shapes may be dynamic, but only up to the batch that it was built for
        limited = backend.format == "engine" or not (dynamic or backend.format in ANY_BATCH)
        self._most: int | None = int(backend.batch) if limited else None
        on_cpu = device.type == "cpu" and backend.format == "pt"
        self._head = _make_faster(backend) if on_cpu and not self._bf16 else None
        self.best_batch = BATCH_OF_MANY_THREADS if self._head and prepared.threads > 1 else self._fitting_batch()

    def infer(self, batch: Sequence[Canvas]) -> list[NDArray[np.float32]]:
        """Runs the network on canvases of one shape; see `Runtime.infer`."""
        most = self._most or len(batch)
        parts = (self._infer(batch[start : start + most]) for start in range(0, len(batch), most))
        return list(chain.from_iterable(parts))

    def _infer(self, batch: Sequence[Canvas]) -> list[NDArray[np.float32]]:
        import numpy as np
        import torch

        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            output = self._backend(self._inputs(batch))
            if self._head is not None:
                above = (self._head.boxes_above(output, image, self._confidence) for image in range(len(batch)))
                return [boxes.numpy() for boxes in above]
            if isinstance(output, (list, tuple)):
                output = output[0]
            found = self._candidates(output.float())
            if self.suppressed and not self._end_to_end:
                found = suppress_on_device(found, self._iou)
            rows = found.cpu().numpy()
        ends = np.searchsorted(rows[:, 0], np.arange(1, len(batch)))
        return np.split(rows[:, 1:], ends)

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
        inputs = pixels.half() if self._backend.fp16 else pixels.float()
        return inputs.div_(255)

    def _candidates(self, output: torch.Tensor) -> torch.Tensor:
        """Returns the rows above the confidence, the image's number before each: one transfer for the whole batch."""
        import torch

        if self._end_to_end or output.shape[-1] == 6:  # output: (images, boxes, 6)
            self._end_to_end = self.suppressed = True
            image, box = (output[..., 4] > self._confidence).nonzero(as_tuple=True)
            return torch.cat([image[:, None].float(), output[image, box]], 1)
        if output.shape[1] != 4 + len(self.names) and len(self.names) != NAMES_UNKNOWN:
            raise ModelError(f"output of shape {tuple(output.shape)} is not that of a YOLO detector; it cannot be read")
        scores, classes = output[:, 4:].max(1)  # output: (images, 4 + classes, boxes)
        image, box = (scores > self._confidence).nonzero(as_tuple=True)
        centre, half = output[image, :2, box], output[image, 2:4, box] / 2
        score, category = scores[image, box], classes[image, box].float()
        columns = [image[:, None].float(), centre - half, centre + half, score[:, None], category[:, None]]
        return torch.cat(columns, 1)

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


def _make_faster(backend: Any) -> RowsDetect | None:
    """Changes a model on the CPU in place, if it is one that can be; returns its new head then."""
    from yolocli.runtimes.torch.detect_head import RowsDetect, can_be_rows
    from yolocli.runtimes.torch.fused_conv import fuse_convolutions

    model = backend.backend.model
    if not fuse_convolutions(model, backend.channels, int(backend.stride)) or not can_be_rows(model.model[-1]):
        return None
    head = model.model[-1] = RowsDetect(model.model[-1])
    return head


def load_backend(prepared: Prepared, device: torch.device) -> Any:
    """Returns Ultralytics' AutoBackend around a model, fused and ready to run.

    Raises:
        ModelError: If the model cannot be loaded, is not trusted, or is no detector.
    """
    import ultralytics.nn.tasks as tasks
    from ultralytics.nn.autobackend import AutoBackend

    path, trusted = prepared.path, prepared.asked.trust_weights
    kind = check_format(path, trusted)
    if kind not in SELF_CONTAINED:
        check_metadata(path)
    if path.suffix == ".pt" and not trusted and not tasks._SafeLoad.SUPPORTED:
        raise ModelError(f"{path}: this torch cannot load checkpoints safely; install torch 2.6 or later")
    try:
        # end2end=False is what Ultralytics' predict passes unless told otherwise (engine/predictor.py setup_model)
        half = prepared.plan.precision is Precision.fp16
        with (
            confined(folders=kind == "pt" and not trusted),
            _safe_load(not trusted),
            _onnx_threads(prepared.threads if path.suffix == ".onnx" else 0),
        ):
            backend = AutoBackend(str(path), device=device, fp16=half, fuse=True, verbose=False, end2end=False)
    except Exception as error:
        raise ModelError(_why_not_loaded(path, error)) from error
    backend.eval()
    _check(path, backend)
    return backend


def check_format(path: Path, trusted: bool) -> str | None:
    """Returns Ultralytics' name for the format of a model, which it tells by the name of the file; None for no model.

    Raises:
        ModelError: If such a model may run code of its own, and is not trusted.
    """
    from ultralytics.nn.autobackend import AutoBackend

    kind: str | None = AutoBackend._model_type(str(path))
    if kind is not None and kind not in PLAIN and not trusted:
        raise ModelError(
            f"{path}: refused, as a model of this format ({kind}) may run code of its own. If you trust where it comes "
            "from, use --trust-weights"
        )
    return kind


@contextmanager
def _safe_load(wanted: bool) -> Iterator[None]:
    """Says whether checkpoints loaded in the block may hold plain data and known classes alone.

    To be used under the load lock: it is a global of Ultralytics', read from ULTRALYTICS_SAFE_LOAD at its import, which
    a program that uses this library may count on.
    """
    import ultralytics.nn.tasks as tasks

    before, tasks.SAFE_LOAD = tasks.SAFE_LOAD, wanted
    try:
        yield
    finally:
        tasks.SAFE_LOAD = before


@contextmanager
def _onnx_threads(threads: int) -> Iterator[None]:
    """Gives ONNX sessions made in the block so many threads: AutoBackend has no way to say it, and ORT takes all cores.

    To be used under the load lock, as it swaps a name of onnxruntime's for a moment.
    """
    if not threads or find_spec("onnxruntime") is None:
        yield
        return
    import onnxruntime

    plain = onnxruntime.SessionOptions

    def options() -> Any:
        made = plain()
        made.intra_op_num_threads = threads
        return made

    onnxruntime.SessionOptions = options
    try:
        yield
    finally:
        onnxruntime.SessionOptions = plain


def _why_not_loaded(path: Path, error: Exception) -> str:
    if path.suffix == ".onnx" and find_spec("onnxruntime") is None:
        return f"{path}: needs ONNX Runtime: {install_hint('onnx')}"
    if "not a supported model format" in str(error):
        return (
            f"{path}: is not a model; give weights (.pt), an export such as .onnx or an _openvino_model folder, an "
            "official name such as yolo11n.pt, or builtin, which finds codes only"
        )
    first_line = (str(error).replace("❌️", "").removeprefix("ERROR").strip() or type(error).__name__).splitlines()[0]
    if "outside the supported Ultralytics checkpoint format" in str(error):
        return (
            f"{path}: refused, as loading it would run code that is not part of a YOLO checkpoint. If you trust where "
            "it comes from, use --trust-weights"
        )
    if _is_confined(error):
        return f"{path}: refused, as loading it would reach the network or write outside the cache"
    if isinstance(error, (KeyError, EOFError, pickle.UnpicklingError)):  # of bytes that are no pickle
        return f"{path}: cannot be loaded: not a checkpoint"
    return f"{path}: cannot be loaded: {first_line}"


def _is_confined(error: BaseException | None) -> bool:
    """Tells whether a ConfinedError lies below, which some libraries wrap or name in a message of their own."""
    while error is not None:
        if isinstance(error, ConfinedError) or "while a model loads" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _check(path: Path, backend: Any) -> None:
    module = backend.backend.model if backend.format == "pt" else None
    task = getattr(module, "task", None) or backend.task or DETECT
    if task != DETECT:
        raise ModelError(f"{path}: a model for '{task}'; only detection models are supported so far")
    if module is not None and "RTDETR" in type(module).__name__:
        raise ModelError(f"{path}: an RT-DETR model; only YOLO detection models are supported so far")
    if backend.channels not in {1, 3}:
        raise ModelError(f"{path}: takes {backend.channels} channels; images have 1 or 3")
    try:
        stride, imgsz = int(backend.stride), trained_imgsz(backend)
        check_sizes(stride, imgsz)
    except (TypeError, ValueError, OverflowError, LookupError) as error:
        raise ModelError(f"{path}: damaged: {error}; export the model again") from error


def trained_imgsz(backend: Any) -> tuple[int, int]:
    """Returns the size the model was trained with, which Ultralytics' predict takes by default too."""
    module = getattr(backend.backend, "model", None)
    args = getattr(module, "args", None)
    trained = args.get("imgsz") if isinstance(args, dict) else None
    imgsz: Any = trained or getattr(backend, "imgsz", 640)
    height, width = (imgsz, imgsz) if isinstance(imgsz, int) else (imgsz[0], imgsz[-1])
    return int(height), int(width)


def _check_device(device: torch.device) -> None:
    import torch

    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ModelError(f"--device {device}: this machine shows {torch.cuda.device_count()} CUDA devices")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ModelError("--device mps: not available on this machine")
