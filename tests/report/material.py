"""Output folders as runs leave them, of images that are as small as can be, or not there at all."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from yolocli.output.folder import OutputFolder
from yolocli.output.journal import Journal
from yolocli.output.ownership import RUN
from yolocli.output.run_file import write_json
from yolocli.results import Detection, ImageFailure, ImageRef, ImageResult, Outcome

CLASSES = ("person", "cup", "traffic light")
LEAST = 0.25
WIDTH, HEIGHT = 64, 48


def write_run(folder: Path, outcomes: Iterable[Outcome], **run: Any) -> Path:
    """Writes an output folder with records; returns it."""
    output = OutputFolder(folder)
    content = {
        "fingerprint": {"confidence": LEAST},
        "settings": {"inputs": ["photos"]},
        "roots": [],
        "task": "detect",
        "names": dict(enumerate(CLASSES)),
        "started": "2026-01-01T00:00:00+00:00",
        "finished": "2026-01-01T00:01:00+00:00",
    }
    with output.held():
        write_json(output, RUN, content | run)
        journal = Journal(output, timings=True)
        for outcome in outcomes:
            journal.append(outcome)
        journal.close()
    return folder


def ref(path: str, root: Path = Path("/nowhere")) -> ImageRef:
    return ImageRef(path, os.path.join(root, path), "1-1")


def found(path: str, *scores: tuple[int, float], root: Path = Path("/nowhere")) -> ImageResult:
    """Returns a result with a box for each (class, confidence)."""
    boxes = tuple(
        Detection(CLASSES[kind], kind, score, (4.0 + 3 * place, 5.0, 30.0 + 3 * place, 40.0))
        for place, (kind, score) in enumerate(scores)
    )
    return ImageResult(ref(path, root), WIDTH, HEIGHT, boxes)


def failed(path: str, root: Path = Path("/nowhere")) -> ImageFailure:
    return ImageFailure(ref(path, root), "decode", "TruncatedImage", "the JPEG data is cut off or damaged")


def many(count: int) -> Iterator[Outcome]:
    """Yields records of images that are not there: some failed, some without a detection."""
    chance = random.Random(16)
    for number in range(count):
        path = f"camera-{number % 20:02}/image_{number:06}.jpg"
        if number % 50 == 0:
            yield failed(path)
        else:
            scores = [
                (chance.randrange(len(CLASSES)), round(chance.uniform(LEAST, 1), 4))
                for _ in range(chance.choice((0, 1, 2, 3, 4, 8)))
            ]
            yield found(path, *scores)
