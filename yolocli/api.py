"""The library's front door."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

from yolocli.config import (
    AUTO,
    DEFAULT_MASKS,
    DEFAULT_MODE,
    DEFAULTS,
    Precision,
    RunConfig,
    configure,
)
from yolocli.executors import EXECUTORS
from yolocli.parsing import (
    check_name,
    entries,
    parse_devices,
    parse_failures,
    parse_precision,
    parse_workers,
    resources,
    sides,
)
from yolocli.results import Outcome
from yolocli.runtimes import RUNTIMES
from yolocli.sources.shard import parse_shard
from yolocli.stores import is_url

PathLike: TypeAlias = str | os.PathLike[str]

SOURCE, DETECTOR, LIMITS, CLUSTER = DEFAULTS.source, DEFAULTS.detector, DEFAULTS.limits, DEFAULTS.cluster


def detect(
    inputs: Iterable[PathLike] | PathLike = (),
    *,
    model: PathLike = DETECTOR.model,
    runtime: Literal["auto", "openvino", "torch"] = AUTO,
    precision: Precision | Literal["fp32", "bf16", "fp16", "int8"] | None = DETECTOR.precision,
    mode: Literal["thread", "locked", "process", "ray"] = DEFAULT_MODE,
    workers: int | str = DEFAULTS.workers,
    threads_per_worker: int = DETECTOR.threads,
    batch: int = DEFAULTS.batch,
    device: str | int | None = None,
    ray_address: str | None = CLUSTER.ray_address,
    ray_resources: Mapping[str, float] | str | None = None,
    imgsz: int | tuple[int, int] | None = DETECTOR.imgsz,
    confidence: float = DETECTOR.confidence,
    iou: float = DETECTOR.iou,
    max_detections: int = DETECTOR.max_detections,
    classes: Sequence[str | int] | str | None = DETECTOR.classes,
    masks: Literal["polygon", "rle", "none"] = DEFAULT_MASKS,
    max_pixels: int = DETECTOR.max_pixels,
    trust_weights: bool = DETECTOR.trust_weights,
    files_from: PathLike | None = SOURCE.files_from,
    null: bool = SOURCE.null,
    recursive: bool = SOURCE.recursive,
    include: Sequence[str] | str = SOURCE.include,
    exclude: Sequence[str] | str = SOURCE.exclude,
    hidden: bool = SOURCE.hidden,
    follow_symlinks: bool = SOURCE.follow_symlinks,
    include_outputs: bool = SOURCE.include_outputs,
    shard: str | None = None,
    ordered: bool = DEFAULTS.ordered,
    timeout: float | None = LIMITS.timeout,
    max_failures: int | str | None = LIMITS.max_failures,
    max_runtime: float | None = LIMITS.max_runtime,
    output: PathLike | None = DEFAULTS.output,
    formats: Sequence[str] | str = DEFAULTS.formats,
    save_by_class: Literal["link", "copy"] | None = None,
    save_maps: bool = DETECTOR.save_maps,
    exif: bool = DETECTOR.exif,
    save_images: bool = DEFAULTS.save_images,
    save_crops: bool = DEFAULTS.save_crops,
    timings: bool = DEFAULTS.timings,
    overwrite: bool = DEFAULTS.overwrite,
    prune: bool = DEFAULTS.prune,
    retry_failed: bool = DEFAULTS.retry_failed,
) -> Iterator[Outcome]:
    """Detects objects in many images.

    In mode "process" the calling script must be importable without side effects (the usual
    `if __name__ == "__main__":`), as with `multiprocessing`.

    Args:
        inputs: Files, folders and glob patterns, here or by URL.
        model: Path or URL of weights or of a converted model, an official name, or "builtin".
        runtime: What runs the network; "auto" takes the fastest that there is and gives the same boxes.
        precision: What it computes in; None takes the model's own, fp32 for weights.
        mode: Who owns the detector: each thread, all threads behind a lock, each process, or each actor of a cluster.
        workers: Workers; 0 chooses from the CPUs that may be used. In mode "ray" also "2..8": the run begins with two,
            and up to eight join when the cluster has room.
        threads_per_worker: Intra-op threads of a detector; 0 shares the CPUs out.
        batch: Images that go through the network together; 0 chooses.
        device: "cpu", "mps", "cuda:0" or 0, or a list such as "cuda:0,1" that workers are dealt over; None chooses.
        ray_address: Of a Ray cluster; None takes that of RAY_ADDRESS, or else a Ray started on this machine.
        ray_resources: What a Ray actor holds, such as {"cpu": 2, "gpu": 0.25}; None takes a CPU for each thread.
        imgsz: Side, or height and width, in pixels that images are letterboxed into; None takes the model's own.
        confidence: Boxes below this score are dropped, in [0, 1].
        iou: Overlap above which NMS drops the lesser box, in [0, 1].
        max_detections: Boxes kept of an image.
        classes: Names or ids of the classes to keep, or one; None keeps all.
        masks: Masks in the records of a segmentation model: outlines, the run-length encoding of COCO, or none.
        max_pixels: Larger images are failures, before their pixels are allocated.
        trust_weights: Load a checkpoint that asks for arbitrary Python objects.
        files_from: A file, or its URL, that lists further inputs, one a line; "-" is standard input.
        null: The list is separated by NUL bytes instead of newlines.
        recursive: Walk into sub-folders.
        include: Glob patterns, or one, of which a file must match one.
        exclude: Glob patterns, or one, that leave a file or folder out.
        hidden: Look at names that begin with a dot.
        follow_symlinks: Walk into folders behind links.
        include_outputs: Walk into what earlier runs made in their output folders, too.
        shard: "3/16" takes the third of 16 parts, by the names of images; "auto" asks the array job. None takes all.
        ordered: Yield in input order instead of as images end.
        timeout: Seconds an image may take; mode "process" or "ray" only.
        max_failures: End after more failures than this: a number, or a share such as "5%". None sets no limit.
        max_runtime: Seconds after which no more images are taken; None sets no limit.
        output: A folder to write to, or its URL, as the command does; a second call with it goes on where the first
            stopped.
        formats: What to write there; options of a format stand behind its name: "label-studio:image-root=photos".
        save_by_class: Put links to the pictures, or copies, there below a folder for each class that was found.
        save_maps: Make a file of the map of each image, if the model is a semantic or depth model; without an output
            folder it is in `ImageResult.files`.
        exif: Put capture time, GPS position and orientation, as far as a file has them, into `ImageResult.more`.
        save_images: Make a JPEG of each image with what was found drawn into it; without an output folder it is in
            `ImageResult.files`, as "drawn".
        save_crops: Make a JPEG of each box; without an output folder that of the first one is "crops/0" there.
        timings: Put the milliseconds of each stage into the records there.
        overwrite: Start anew in a folder that holds results.
        prune: Drop the records there of images that are gone from the folders walked.
        retry_failed: Try again what failed in an earlier call with that folder.

    Yields:
        For every image an ImageResult or an ImageFailure.

    Raises:
        UsageError: If an argument cannot be used.
        NoImagesError: If there is no image.
        ModelError: If the model cannot be loaded.
        OutputError: If the output folder cannot be written.
        WorkerError: If workers cannot be kept alive.
    """
    config = _config(locals())
    from yolocli.pipeline import Run

    return iter(Run(config)) if config.store is None else _published(config)


def _published(config: RunConfig) -> Iterator[Outcome]:
    from yolocli.output.mirror import published
    from yolocli.pipeline import Run

    with published(config, lambda message: None) as stops:
        run = Run(config)
        stops(run.stop)
        yield from run


def _config(given: dict[str, Any]) -> RunConfig:
    """Returns the run that arguments ask for: those that may be given in several forms are read, the others taken."""
    inputs, files, output = given["inputs"], given["files_from"], given["output"]
    store = None if output is None or not is_url(os.fspath(output)) else os.fspath(output).rstrip("/")
    precision, classes, failures = given["precision"], given["classes"], given["max_failures"]
    device = given.pop("device")
    least, workers = parse_workers(str(given["workers"]), "workers")
    most, share = (None, None) if failures is None else parse_failures(str(failures))
    read = {
        "inputs": tuple(os.fspath(name) for name in ([inputs] if isinstance(inputs, (str, os.PathLike)) else inputs)),
        "files_from": None if files is None else os.fspath(files),
        "include": entries(given["include"]),
        "exclude": entries(given["exclude"]),
        "shard": None if given["shard"] is None else parse_shard(given["shard"], "shard"),
        "model": os.fspath(given["model"]),
        "runtime": check_name("runtime", given["runtime"], [AUTO, *RUNTIMES]),
        "precision": None if precision is None else parse_precision(precision, "precision"),
        "threads": given["threads_per_worker"],
        "imgsz": sides(given["imgsz"]),
        "classes": None if classes is None else entries(classes),
        "mode": check_name("mode", given["mode"], list(EXECUTORS)),
        "workers": workers,
        "least_workers": least,
        "ray_resources": resources(given["ray_resources"]),
        "devices": parse_devices(None if device is None else str(device)),
        "max_failures": most,
        "max_failure_share": share,
        "output": None if output is None else Path(output),
        "formats": entries(given["formats"]),
    }
    if store is not None:
        from yolocli.output.mirror import FORMATS, settings_for

        read |= settings_for(store) | ({"formats": FORMATS} if given["formats"] is DEFAULTS.formats else {})
    return configure(given | read)
