"""What tests share: small images, records read back, another user's eyes."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from yolocli.config import Cluster, DetectorConfig, RunConfig, SourceConfig
from yolocli.detector import Detector, Loader, load_detector
from yolocli.pipeline import Run
from yolocli.results import Detection, ImageRef, ImageResult, Outcome
from yolocli.runtimes.choose import prepare_detector
from yolocli.runtimes.plan import Prepared

REPOSITORY = Path(__file__).resolve().parent.parent
NOBODY = 65534


def write_image(path: str | bytes | os.PathLike[str], width: int = 16, height: int = 12, value: int = 90) -> bytes:
    """Writes a small picture in the format of the name's suffix and returns its bytes."""
    import cv2
    import numpy as np

    pixels = np.full((height, width, 3), value, np.uint8)
    pixels[: height // 2, : width // 2] = (value // 2, 200, 30)
    suffix = os.path.splitext(os.fsdecode(path))[1]
    done, encoded = cv2.imencode(suffix, pixels)
    assert done, suffix
    with open(path, "wb") as stream:
        stream.write(encoded.tobytes())
    return encoded.tobytes()


def records(path: Path) -> list[dict[str, Any]]:
    """Reads a file of JSON lines."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def projections(folder: Path, *names: str) -> dict[str, bytes]:
    """Returns the content of every file below json/ and of all CSV files of an output folder."""
    wanted = names or ("json", "csv", "detections.csv", "images.csv", "failures.jsonl")
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    relative = {str(file.relative_to(folder)): file for file in files}
    return {name: file.read_bytes() for name, file in relative.items() if name.split("/")[0] in wanted}


def run_config(*inputs: str | os.PathLike[str], model: str = "", **options: Any) -> RunConfig:
    """Makes a RunConfig; options of its parts may stand beside those of the run.

    The runtime is torch unless said otherwise: the one whose results depend the most on how it is run.
    """
    options.setdefault("runtime", "torch")
    source = {key: options.pop(key) for key in list(options) if key in SourceConfig.__dataclass_fields__}
    detector = {key: options.pop(key) for key in list(options) if key in DetectorConfig.__dataclass_fields__}
    cluster = {key: options.pop(key) for key in list(options) if key in Cluster.__dataclass_fields__}
    return RunConfig(
        SourceConfig(tuple(os.fspath(name) for name in inputs), **source),
        DetectorConfig(model, **detector),
        cluster=Cluster(**cluster),
        **options,
    )


def run(*inputs: str | os.PathLike[str], loader: Loader | None = None, **options: Any) -> tuple[list[Outcome], Run]:
    """Runs to the end; returns the outcomes and the run."""
    this = Run(run_config(*inputs, **options), loader=loader)
    return list(this), this


def prepared(model: str | os.PathLike[str], devices: Sequence[str] = (), **asked: Any) -> Prepared:
    """Settles what a detector is asked to be, and makes it ready."""
    return prepare_detector(DetectorConfig(os.fspath(model), **asked), devices)


def detector(model: str | os.PathLike[str], **asked: Any) -> Detector:
    """Loads a detector."""
    return load_detector(prepared(model, **asked))


def ref(path: str = "a.jpg", **fields: Any) -> ImageRef:
    """Returns the ref of a file that need not exist."""
    return ImageRef(path, fields.pop("source", path), **fields)


def result(path: str = "a.jpg", boxes: Sequence[Detection] = (), **fields: Any) -> ImageResult:
    """Returns a result for a file that need not exist."""
    return ImageResult(ref(path, **fields), 640, 480, tuple(boxes))


def box(name: str = "person", class_id: int = 0, confidence: float = 0.5) -> Detection:
    """Returns a detection."""
    return Detection(name, class_id, confidence, (1.25, 2.5, 100.0, 200.75))


def assert_same_boxes(
    found: Iterable[Detection],
    expected: Iterable[Detection],
    pixels: float = 0.1,
    confidence: float = 1e-3,
    where: str = "",
) -> None:
    """Asserts that each box has a partner of its class within the tolerances; near ties may change places."""
    left, right = list(found), list(expected)
    assert len(left) == len(right), f"{where}: {left} against {right}"
    for wanted in right:
        partners = [
            one
            for one in left
            if (one.class_id, one.name) == (wanted.class_id, wanted.name)
            and abs(one.confidence - wanted.confidence) <= confidence
            and max(abs(a - b) for a, b in zip(one.xyxy, wanted.xyxy, strict=True)) <= pixels
        ]
        assert partners, f"{where}: no partner for {wanted} among {left}"
        left.remove(partners[0])


@contextlib.contextmanager
def without_privileges() -> Iterator[None]:
    """Runs the block as a user whom permission bits stop; whoever is not root is one already."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def clean_environment(**changes: str) -> dict[str, str]:
    """Returns an environment without settings of the caller's own that would reach the command."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("YOLO", "ULTRALYTICS")) or name == "YOLOCLI_CACHE_DIR"
    }
    return kept | changes


def yolocli(
    *arguments: str | os.PathLike[str], env: Mapping[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[bytes]:
    """Runs the command in a process of its own."""
    command = [sys.executable, "-m", "yolocli", *map(os.fspath, arguments)]
    environment = clean_environment(**(env or {}))
    return subprocess.run(command, capture_output=True, timeout=120, env=environment, **options)
