"""What formats make of outcomes, and of a real run of each task: shared by the tests of formats."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from tests.support import REPOSITORY, result, run
from tests.tasks.material import MODELS
from yolocli.builtin import WEIGHTS
from yolocli.output.folder import OutputFolder
from yolocli.output.formats import find_formats, open_final, open_live
from yolocli.output.formats.base import Context
from yolocli.output.projection import outcomes_of
from yolocli.results import Detection, ImageFailure, ImageResult, Outcome

SAMPLES = REPOSITORY / "sample_images"
WEIGHTS_OF: Mapping[str, Path] = {model.task: model.weights for model in reversed(MODELS)} | {"detect": Path(WEIGHTS)}
FORMATS = ("json", "coco", "coco-dataset", "label-studio", "megadetector")
"""Those that are read back from real runs."""
NAMES = [
    "7.jpg",
    "007.jpg",
    "a/7.jpg",
    "with\nnewline.jpg",
    'a "quoted" & <marked>.jpg',
    "\N{FROG FACE} frog.jpg",
    "é?#%+ .jpg",
    os.fsdecode(b"\xff\xfe.jpg"),
    os.fsdecode(b"back\\slash \xff.jpg"),
    "\\udcff\\udcfe.jpg",
    "back\\slash.jpg",
]
"""Names that any program may stumble over; several become the same when they are written carelessly."""


def written(
    root: Path,
    formats: Sequence[str],
    outcomes: Sequence[Outcome],
    task: str = "detect",
    names: Mapping[int, str] | None = None,
    **context: Any,
) -> list[str]:
    """Writes outcomes in some formats, and returns what was said of it."""
    root.mkdir(parents=True, exist_ok=True)
    folder, said = OutputFolder(root), list[str]()
    folder.create()
    made = Context(folder, {0: "person", 5: "bus"} if names is None else names, task, notice=said.append, **context)
    found = find_formats(formats).values()
    for writer in open_live(found, made) + open_final(found, made):
        for outcome in outcomes:
            writer.add(outcome)
        writer.close()
    return said


def failure(path: str = "broken.jpg") -> ImageFailure:
    """Returns the failure of a file that need not exist."""
    return ImageFailure(result(path).ref, "decode", "TruncatedImage", "the file ends early")


def found_by(task: str, root: Path, **options: Any) -> list[Outcome]:
    """Runs the real model of a task on some of the sample images and a broken file; returns the journal."""
    pictures = root / "pictures"
    pictures.mkdir(parents=True)
    for place in ("shop/carton.jpg", "shop/nothing_to_scan.jpg", "shop/poster.jpg", "workshop/tablet.jpg"):
        shutil.copyfile(SAMPLES / place, pictures / Path(place).name)
    (pictures / "broken.jpg").write_bytes(b"no picture")
    settings = {"imgsz": (192, 192), "confidence": 0.1, "threads": 1, "mode": "thread", "workers": 1} | options
    run(pictures, model=str(WEIGHTS_OF[task]), output=root / "out", formats=FORMATS, **settings)
    return journal(root / "out")


RealRun: TypeAlias = Callable[..., tuple[Path, list[Outcome]]]
"""Of a task, and of `masks`: returns the output folder, which lies beside `pictures`, and what its journal holds."""


def journal(root: Path) -> list[Outcome]:
    """Returns what an output folder holds, in input order."""
    return list(outcomes_of(OutputFolder(root), ()))


def detections(outcomes: Sequence[Outcome]) -> list[tuple[int, ImageResult, Detection]]:
    """Returns every detection with its image, and with the image's number in input order, from 1."""
    numbered = enumerate(outcomes, 1)
    results = [(number, one) for number, one in numbered if isinstance(one, ImageResult)]
    return [(number, one, record) for number, one in results for record in one.detections]
