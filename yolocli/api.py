"""The library's front door."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from yolocli.config import (
    AUTO,
    DEFAULT_FORMATS,
    DEFAULT_MAX_PIXELS,
    DEFAULT_MODEL,
    DetectorConfig,
    Limits,
    Precision,
    RunConfig,
    SourceConfig,
)
from yolocli.executors import EXECUTORS
from yolocli.parsing import check_name, entries, parse_devices, sides
from yolocli.results import Outcome
from yolocli.runtimes import RUNTIMES

PathLike: TypeAlias = str | os.PathLike[str]


def detect(
    inputs: Iterable[PathLike] | PathLike,
    *,
    model: PathLike = DEFAULT_MODEL,
    runtime: Literal["auto", "torch", "openvino"] = "auto",
    precision: Literal["fp32", "bf16", "fp16", "int8"] | None = None,
    mode: Literal["thread", "locked", "process"] = "thread",
    workers: int = 0,
    threads_per_worker: int = 0,
    batch: int = 0,
    device: str | int | None = None,
    imgsz: int | tuple[int, int] | None = None,
    confidence: float = 0.25,
    iou: float = 0.7,
    max_detections: int = 300,
    classes: Sequence[str | int] | str | None = None,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    trust_weights: bool = False,
    recursive: bool = True,
    include: Sequence[str] | str = (),
    exclude: Sequence[str] | str = (),
    hidden: bool = False,
    follow_symlinks: bool = False,
    ordered: bool = False,
    timeout: float | None = None,
    output: PathLike | None = None,
    prune: bool = False,
    formats: Sequence[str] | str = DEFAULT_FORMATS,
) -> Iterator[Outcome]:
    """Detects objects in many images.

    In mode "process" the calling script must be importable without side effects (the usual
    `if __name__ == "__main__":`), as with `multiprocessing`.

    Args:
        inputs: Files, folders and glob patterns.
        model: Path of weights or an export, an official name, or "builtin".
        runtime: What runs the network; "auto" takes the fastest that there is and gives the same boxes.
        precision: What it computes in; None takes the model's own, fp32 for weights.
        mode: Who owns the detector: each thread, all threads behind a lock, or each process.
        workers: Workers; 0 chooses from the CPUs that may be used.
        threads_per_worker: Intra-op threads of a detector; 0 shares the CPUs out.
        batch: Images that go through the network together; 0 chooses.
        device: "cpu", "mps", "cuda:0" or 0, or a list such as "cuda:0,1" that workers are dealt over.
        imgsz: Side, or height and width, in pixels that images are letterboxed into; None takes the model's own.
        confidence: Boxes below this score are dropped, in [0, 1].
        iou: Overlap above which NMS drops the lesser box, in [0, 1].
        max_detections: Boxes kept of an image.
        classes: Names or ids of the classes to keep, or one; None keeps all.
        max_pixels: Larger images are failures, before their pixels are allocated.
        trust_weights: Load a checkpoint that asks for arbitrary Python objects.
        recursive: Walk into sub-folders.
        include: Glob patterns, or one, of which a file must match one.
        exclude: Glob patterns, or one, that leave a file or folder out.
        hidden: Look at names that begin with a dot.
        follow_symlinks: Walk into folders behind links.
        ordered: Yield in input order instead of as images end.
        timeout: Seconds an image may take; mode "process" only.
        output: A folder to write to, as the command does; a second call with it goes on where the first stopped.
        prune: Drop the records there of images that are gone from the folders walked.
        formats: What to write there.

    Yields:
        For every image an ImageResult or an ImageFailure.

    Raises:
        UsageError: If an argument cannot be used.
        NoImagesError: If there is no image.
        ModelError: If the model cannot be loaded.
        OutputError: If the output folder cannot be written.
        WorkerError: If workers cannot be kept alive.
    """
    names = [inputs] if isinstance(inputs, (str, os.PathLike)) else inputs
    config = RunConfig(
        source=SourceConfig(
            inputs=tuple(os.fspath(name) for name in names),
            recursive=recursive,
            include=entries(include),
            exclude=entries(exclude),
            hidden=hidden,
            follow_symlinks=follow_symlinks,
        ),
        detector=DetectorConfig(
            model=os.fspath(model),
            runtime=check_name("runtime", runtime, [AUTO, *RUNTIMES]),
            precision=None
            if precision is None
            else Precision(check_name("precision", precision, [p.value for p in Precision])),
            threads=threads_per_worker,
            imgsz=sides(imgsz),
            confidence=confidence,
            iou=iou,
            max_detections=max_detections,
            classes=None if classes is None else entries(classes),
            trust_weights=trust_weights,
            max_pixels=max_pixels,
        ),
        mode=check_name("mode", mode, list(EXECUTORS)),
        workers=workers,
        devices=parse_devices(None if device is None else str(device)),
        batch=batch,
        output=None if output is None else Path(output),
        prune=prune,
        formats=entries(formats),
        ordered=ordered,
        limits=Limits(timeout=timeout),
    )
    from yolocli.pipeline import Run

    return iter(Run(config))
