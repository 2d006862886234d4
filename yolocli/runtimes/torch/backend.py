"""Ultralytics' AutoBackend around a model, loaded so that a model is no program: no code of its own, no network."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yolocli.config import Precision
from yolocli.errors import ModelError, install_hint
from yolocli.images.letterbox import Fit
from yolocli.runtimes.metadata import RTDETR_HEAD, check_metadata, check_sizes
from yolocli.runtimes.plan import Prepared
from yolocli.runtimes.torch.confined import ConfinedError, confined
from yolocli.tasks import DEFAULT_TASK, find_task
from yolocli.tasks.base import ModelFacts, Task

if TYPE_CHECKING:
    import torch

PLAIN = frozenset(("pt", "onnx", "openvino", "ncnn", "mnn", "litert", "coreml"))
"""Formats that run no code of the model's own.

A checkpoint is held to known classes (see `_safe_load`); the others hold numbers and operators of the library, none
of which writes. TorchScript is a program that may write files, and so are graphs of TensorFlow and Paddle (WriteFile,
save_combine); an engine of TensorRT holds machine code; of those for chips that were not at hand nothing is known.
"""

SELF_CONTAINED = frozenset(("pt", "torchscript", "onnx", "engine", "coreml", "coreai", "litert", "mnn"))
"""Formats whose metadata is not in a file of its own."""

LEAST_MOST = 300
"""Boxes that a head which needs no NMS gives at least, so that there are enough of the classes that are wanted."""


def load_backend(prepared: Prepared, device: torch.device) -> Any:
    """Returns Ultralytics' AutoBackend around a model, fused and ready to run.

    Raises:
        ModelError: If the model cannot be loaded, is not trusted, or is no detector.
    """
    import ultralytics.nn.tasks as tasks
    from ultralytics.nn.autobackend import AutoBackend
    from ultralytics.utils.checks import check_yolov5u_filename

    path, trusted = prepared.path, prepared.asked.trust_weights
    kind = check_format(path, trusted)
    if kind not in SELF_CONTAINED:
        check_metadata(path)
    other = Path(check_yolov5u_filename(str(path), verbose=False))
    if kind == "pt" and other != path:
        raise ModelError(f"{path}: Ultralytics loads {other.name} in place of a file of this name; rename it")
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
    if is_yoloe(backend):
        _settle_classes(path, backend.backend.model)
    if kind == "pt" and backend.end2end:  # as Ultralytics' predict does
        most = max(prepared.asked.max_detections, LEAST_MOST)
        backend.backend.model.set_head_attr(max_det=most, agnostic_nms=is_yoloe(backend))
    return backend


def _settle_classes(path: Path, module: Any) -> None:
    """Puts the classes of YOLOE into the weights of its head, which then is like any other."""
    head = module.model[-1]
    if hasattr(head, "lrpc") or head.is_fused:
        return
    if getattr(module, "pe", None) is None:
        raise ModelError(
            f"{path}: a YOLOE that has no classes yet; give it some with Ultralytics' YOLOE.set_classes and save it"
        )
    head.fuse(module.pe.to(next(module.parameters()).device))


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
            f"{path}: is not a model; give weights (.pt), a converted model such as .onnx or an _openvino_model "
            "folder, an official name such as yolo11n.pt, or builtin, which finds codes only"
        )
    first_line = (str(error).replace("❌️", "").removeprefix("ERROR").strip() or type(error).__name__).splitlines()[0]
    if "outside the supported Ultralytics checkpoint format" in str(error):
        if not isinstance(error.__cause__, pickle.UnpicklingError):
            return f"{path}: holds no model that Ultralytics' YOLO or RTDETR could load; SAM is of another kind"
        return (
            f"{path}: refused, as loading it would run code that is not part of a YOLO checkpoint. If you trust where "
            "it comes from, use --trust-weights"
        )
    if isinstance(error, ModuleNotFoundError) and error.name == "clip":
        return (
            f"{path}: holds CLIP, which is not needed once the classes are set; load it with Ultralytics where clip is "
            "installed, set model.model.clip_model = None and save it"
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
    from yolocli.runtimes.torch.head_tasks import head_task

    task, module = task_of(backend, path), _module(backend)
    made_for = None if module is None else head_task(module.model[-1])
    if made_for not in {None, task.name}:
        raise ModelError(f"{path}: says it is a model for {task.name}, but its network is one for {made_for}")
    if backend.channels not in {1, 3}:
        raise ModelError(f"{path}: takes {backend.channels} channels; images have 1 or 3")
    try:
        stride, imgsz = int(backend.stride), trained_imgsz(backend)
        check_sizes(stride, imgsz)
    except (TypeError, ValueError, OverflowError, LookupError) as error:
        raise ModelError(f"{path}: damaged: {error}; convert the model again") from error
    normalisation_of(backend, path)


def task_of(backend: Any, model: object) -> Task:
    """Returns what a model is for.

    Args:
        backend: AutoBackend around it.
        model: Its path, for the message.

    Raises:
        ModelError: If there is no such task.
    """
    return find_task(getattr(_module(backend), "task", None) or backend.task or DEFAULT_TASK, model)


def facts_of(backend: Any, task: Task) -> ModelFacts:
    """Returns what a model, or the head of its network, says of its output."""
    module = _module(backend)
    sources = [backend] if module is None else [backend, module.model[-1]]
    said = [(key, getattr(source, key, None)) for key in task.asks for source in reversed(sources)]
    more = {key: value for key, value in said if value is not None}
    return ModelFacts(dict(backend.names), more, is_yoloe(backend))


def fit_of(backend: Any, task: Task) -> Fit:
    """Returns how images are fitted into the input of a model."""
    return "stretch" if is_rtdetr(backend) else task.fit


def normalisation_of(backend: Any, path: object = "") -> tuple[list[float], list[float]] | None:
    """Returns mean and standard deviation of each channel, in [0, 1], that a classifier wants taken out of its images.

    They are in the transforms that a checkpoint carries; Ultralytics' predict follows these at the size of training.

    Args:
        backend: AutoBackend around the model.
        path: Of the model, for the message.

    Raises:
        ModelError: If there are other transforms than those of `images.fit.crop` and a normalisation; not after the
            model has been loaded.
    """
    steps = getattr(getattr(_module(backend), "transforms", None), "transforms", None)
    if not steps:
        return None
    size = getattr(steps[0], "size", None)
    if size is not None and ((size, size) if isinstance(size, int) else tuple(size)) != trained_imgsz(backend):
        return None
    import torchvision.transforms as known

    kinds = [type(step) for step in steps]
    if (
        kinds != [known.Resize, known.CenterCrop, known.ToTensor, known.Normalize]
        or steps[0].interpolation is not known.InterpolationMode.BILINEAR
        or tuple(steps[1].size) != trained_imgsz(backend)
    ):
        raise ModelError(
            f"{path}: its images have to be prepared in a way that is not supported "
            f"({', '.join(kind.__name__ for kind in kinds)}); train it with the transforms of this Ultralytics"
        )
    mean, std = ([float(value) for value in values] for values in (steps[3].mean, steps[3].std))
    return (mean, std) if any(mean) or set(std) != {1.0} else None


def is_end_to_end(backend: Any) -> bool:
    """Tells whether a network does its own NMS, or needs none."""
    return bool(backend.end2end) or is_rtdetr(backend)


def is_rtdetr(backend: Any) -> bool:
    """Tells whether a model gives boxes as shares of its input, as RT-DETR does."""
    return "RTDETR" in type(_module(backend)).__name__ or getattr(backend, "head", None) == RTDETR_HEAD


def is_yoloe(backend: Any) -> bool:
    """Tells whether a model is one whose classes Ultralytics' predict suppresses together.

    It does so for weights only: of a converted model it does not know.
    """
    return "YOLOE" in type(_module(backend)).__name__


def _module(backend: Any) -> Any:
    """Returns the network of weights; None of a converted model."""
    return backend.backend.model if backend.format == "pt" else None


def trained_imgsz(backend: Any) -> tuple[int, int]:
    """Returns the size the model was trained with, which Ultralytics' predict takes by default too."""
    module = getattr(backend.backend, "model", None)
    args = getattr(module, "args", None)
    trained = args.get("imgsz") if isinstance(args, dict) else None
    imgsz: Any = trained or getattr(backend, "imgsz", 640)
    height, width = (imgsz, imgsz) if isinstance(imgsz, int) else (imgsz[0], imgsz[-1])
    return int(height), int(width)
