"""A checkpoint to OpenVINO: once per weights, checked against torch, kept in the user's cache.

The conversion runs in a process of its own, so that torch and Ultralytics leave nothing behind in the one that detects:
600 MB, threads, and what their import patches.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yolocli.config import DetectorConfig, Precision
from yolocli.errors import ModelError
from yolocli.machine.apart import run_apart
from yolocli.machine.cache import cache_folder, find_cached
from yolocli.models import sha256
from yolocli.runtimes.base import ConversionError
from yolocli.runtimes.metadata import Metadata, write_metadata
from yolocli.runtimes.openvino.library import import_openvino, openvino_version
from yolocli.runtimes.openvino.model_folder import MODEL, SUFFIX
from yolocli.runtimes.plan import Plan, Prepared
from yolocli.tasks.base import Raw

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CONVERSION = 5
"""Raise it when the same weights would be converted to something else."""
LONGEST_STEM = 40
"""Characters of a model's name in the name of its folder, so that any name of a file system fits in 255 bytes."""
WORK = ".work-"
"""How the names of folders begin in which a conversion is at work."""
LOCK = ".lock"
UNHELD_SECONDS = 60.0
"""Time between making such a folder and holding it that no system needs."""
DIGEST = "sha256"
FAILURE = "failure.json"


def converted_model(weights: Path, *, trust_weights: bool, notice: Callable[[str], None] = lambda _: None) -> Path:
    """Returns the folder that a checkpoint was converted to; makes it if it is not in the cache, or damaged there.

    Any number of processes may ask at once: one converts, the others wait for it.

    Args:
        weights: A `.pt` file.
        trust_weights: Load a checkpoint that asks for arbitrary Python objects.
        notice: Told before a conversion, as that takes some seconds.

    Raises:
        ConversionError: If it cannot be converted, or computes something else than before.
        ModelError: If the checkpoint cannot be loaded, is not trusted, or is no detector.
    """
    from filelock import FileLock

    from yolocli.runtimes.torch.library import torch_installed

    key = f"{weights.stem[:LONGEST_STEM]}-{sha256(weights)[:24]}-{openvino_version()}-{CONVERSION}"
    kept = find_cached("openvino", f"{key}{SUFFIX}")
    if kept is not None and _is_whole(kept):
        return kept
    if not torch_installed():
        raise ModelError(
            f"{weights}: PyTorch and Ultralytics, which are not installed here, are needed to convert it; "
            "give --model a folder that `yolocli convert` has made elsewhere"
        )
    cache = cache_folder("openvino")
    folder = cache / f"{key}{SUFFIX}"
    with FileLock(f"{folder}.lock"):
        if _is_whole(folder):
            return folder
        notice(f"converting {weights.name} for OpenVINO, once")
        try:
            _sweep(cache)
            with _work_folder(cache) as work:
                made = work / folder.name
                made.mkdir()
                _convert_apart(weights, made, trust_weights)
                (made / DIGEST).write_text(_digest(made))
                shutil.rmtree(folder, ignore_errors=True)
                os.replace(made, folder)
        except OSError as error:
            raise ConversionError(f"{folder}: cannot be written: {error.strerror or error}") from error
    return folder


@contextmanager
def _work_folder(cache: Path) -> Iterator[Path]:
    """Gives a folder of the cache that is removed at the end, and whose lock dies with this process."""
    from filelock import FileLock

    with tempfile.TemporaryDirectory(dir=cache, prefix=WORK) as folder:
        lock = Path(folder + LOCK)
        try:
            with FileLock(lock):
                yield Path(folder)
        finally:
            lock.unlink(missing_ok=True)


def _sweep(cache: Path) -> None:
    """Removes what conversions that were killed have left: work folders that nobody holds."""
    from filelock import FileLock, Timeout

    for name in {path.name.removesuffix(LOCK) for path in cache.glob(f"{WORK}*")}:
        work, lock = cache / name, cache / (name + LOCK)
        with suppress(OSError, Timeout):
            if not lock.exists() and time.time() - work.stat().st_mtime < UNHELD_SECONDS:
                continue  # its lock is about to be taken
            with FileLock(lock, timeout=0):
                shutil.rmtree(work, ignore_errors=True)
            lock.unlink(missing_ok=True)


def convert(weights: Path, folder: Path, *, trust_weights: bool) -> None:
    """Converts a checkpoint in this process, and checks the outcome.

    Args:
        weights: A `.pt` file.
        folder: Exists, and is empty; filled in the form of an Ultralytics export with dynamic shapes.
        trust_weights: Load a checkpoint that asks for arbitrary Python objects.

    Raises:
        ConversionError: If it cannot be converted, or computes something else than before.
        ModelError: If the checkpoint cannot be loaded, is not trusted, or is no detector.
    """
    from yolocli.runtimes.torch.library import import_ultralytics

    import_ultralytics()
    ov = import_openvino()
    import torch

    from yolocli.runtimes.torch.backend import (
        facts_of,
        fit_of,
        is_end_to_end,
        load_backend,
        task_of,
        trained_imgsz,
    )
    from yolocli.runtimes.torch.canonical import canonical

    plan = Plan(DetectorConfig(trust_weights=trust_weights), "", "torch", Precision.fp32)
    backend = load_backend(Prepared(plan, weights), torch.device("cpu"))
    stride, task = int(backend.stride), task_of(backend, weights)
    facts = facts_of(backend, task)
    metadata = Metadata(
        names=facts.names,
        stride=stride,
        imgsz=trained_imgsz(backend),
        task=task,
        channels=backend.channels,
        end_to_end=is_end_to_end(backend),
        more=facts.more,
        fit=fit_of(backend, task),
        agnostic=facts.agnostic,
    )
    picture = drawn_picture(stride, backend.channels)
    try:
        network = canonical(backend, task)
        expected = _torch_output(network, picture)
        ov.save_model(_graph(ov, network, stride, backend.channels), folder / MODEL, compress_to_fp16=False)
        write_metadata(folder, metadata)
        actual = _openvino_output(folder, picture)
    except Exception as error:  # whatever tracing and two compilers may raise, the way out is the same
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConversionError(f"{weights}: cannot be converted for OpenVINO ({reason}); use --runtime torch") from error
    worst = task.difference(expected, actual, facts, end_to_end=metadata.end_to_end)
    if worst is not None:
        raise ConversionError(f"{weights}: OpenVINO computes something else than torch ({worst}); use --runtime torch")


def drawn_picture(stride: int, channels: int) -> NDArray[np.uint8]:
    """Returns two images, the same in every run: (2, height, width, channels), with edges, slopes and noise."""
    import cv2
    import numpy as np

    height, width = 7 * stride, 9 * stride  # neither square nor the size that was traced
    rows, columns = np.mgrid[0:height, 0:width]
    image = np.stack([rows * 255 / height, columns * 255 / width, (rows + columns) % 256], 2).astype(np.uint8)
    cv2.ellipse(image, (width // 3, height // 2), (width // 8, height // 3), 0, 0, 360, (40, 60, 200), -1)
    cv2.rectangle(image, (width // 2, height // 4), (width * 3 // 4, height * 3 // 4), (230, 220, 20), -1)
    noise = np.random.default_rng(0).integers(0, 256, image[: height // 4].shape, np.uint8)
    image[: height // 4] = noise
    return np.ascontiguousarray(np.stack([image, image[::-1]])[..., :channels])


def _graph(ov: Any, network: Any, stride: int, channels: int) -> Any:
    import warnings

    import torch

    example = torch.rand(1, channels, 8 * stride, 10 * stride)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns of itself and of every Python number in the head
        traced = torch.jit.trace(network, example, strict=False, check_trace=False)
        return ov.convert_model(traced, input=[-1, channels, -1, -1], example_input=example)


def _torch_output(network: Any, images: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    import torch

    pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
    with torch.inference_mode():
        output = network((pixels.flip(1) if images.shape[3] == 3 else pixels).float() / 255)
    return [part.clone().numpy() for part in (output if isinstance(output, tuple) else (output,))]


def _openvino_output(folder: Path, images: NDArray[np.uint8]) -> list[Raw]:
    from yolocli.runtimes.openvino.network import Network, Setting

    return Network(Setting(folder, Precision.fp32, 0)).candidates(images, -1.0)


def _convert_apart(weights: Path, folder: Path, trust_weights: bool) -> None:
    arguments = json.dumps([str(weights.resolve()), str(folder), trust_weights])
    done = run_apart(f"from {__name__} import _main; _main(sys.argv[1])", [arguments])
    failure = folder / FAILURE
    if failure.exists():
        kind, message = json.loads(failure.read_text())
        raise (ConversionError if kind == ConversionError.__name__ else ModelError)(message)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise ConversionError(f"{weights}: cannot be converted for OpenVINO ({lines[-1]}); use --runtime torch")


def _main(arguments: str) -> None:
    """Runs in the process that converts."""
    weights, folder, trust_weights = json.loads(arguments)
    try:
        convert(Path(weights), Path(folder), trust_weights=trust_weights)
    except ModelError as error:
        (Path(folder) / FAILURE).write_text(json.dumps([type(error).__name__, str(error)]))


def _digest(folder: Path) -> str:
    """Returns the digest of a folder's files but the one that holds it."""
    return " ".join(sha256(file) for file in sorted(folder.iterdir()) if file.name != DIGEST)


def _is_whole(folder: Path) -> bool:
    try:
        return (folder / DIGEST).read_text() == _digest(folder)
    except (OSError, ModelError):
        return False
