"""What yolocli itself costs: many small images, the network faked. Prints ms an image and the growth of memory.

python tests/benchmarks/overhead.py [--images 20000] [--mode thread|locked]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from yolocli.config import DetectorConfig, RunConfig, SourceConfig
from yolocli.images.letterbox import Canvas
from yolocli.images.picture import Picture
from yolocli.machine.memory import peak_memory
from yolocli.pipeline import Run
from yolocli.results import Detection, Findings
from yolocli.runtimes.plan import Plan, Prepared
from yolocli.tasks.base import Raw
from yolocli.tasks.detect import Detect


class FakeDetector:
    """Finds one box in every image, without looking."""

    channels = 3
    description = "fake"
    best_batch = 1
    names = {0: "thing"}  # noqa: RUF012
    task = Detect()
    keypoints = 0
    model = "fake.pt"

    def prepare(self, picture: Picture) -> tuple[Canvas, ...]:
        return (Canvas(picture.pixels, picture.width, picture.height),)

    def infer(self, batch: Sequence[Canvas]) -> list[Any]:
        return [Raw(np.zeros((1, 6), np.float32)) for _ in batch]

    def finish(self, found: Sequence[Raw], canvases: Sequence[Canvas]) -> Findings:
        return Findings((Detection("thing", 0, 0.9, (0.0, 0.0, 1.0, 1.0)),))


class FakeLoader:
    """Loads fakes."""

    def prepare(self, asked: DetectorConfig, devices: Sequence[str], notice: object) -> Prepared:
        return Prepared(Plan(asked, "", "torch", None), Path("fake.pt"))

    def prepare_here(self, prepared: Prepared) -> Prepared:
        return prepared

    def load(self, prepared: Prepared) -> FakeDetector:
        return FakeDetector()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--mode", default="thread", choices=["thread", "locked"])
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_links(root / "images", options.images)
        config = RunConfig(
            SourceConfig((str(root / "images"),)),
            mode=options.mode,
            workers=options.workers,
            output=root / "out",
        )
        run = Run(config, loader=FakeLoader())
        start = 0
        for number, _ in enumerate(run, 1):
            if number == 1000:
                start = peak_memory()
        summary = run.summary
        print(f"{options.images} images, {summary.wall_seconds * 1000 / summary.images:.3f} ms an image")
        print({name: round(seconds * 1000 / summary.images, 3) for name, seconds in summary.stages.items()})
        print(f"memory: {start / 2**20:.0f} MiB after 1,000, {(peak_memory() - start) / 2**20:.1f} MiB more at the end")
        print(f"threads left: {threading.active_count()}")


def make_links(folder: Path, count: int) -> None:
    folder.mkdir()
    first = folder / "0.jpg"
    cv2.imwrite(str(first), np.full((32, 32, 3), 128, np.uint8))
    for number in range(1, count):
        os.link(first, folder / f"{number}.jpg")


if __name__ == "__main__":
    main()
