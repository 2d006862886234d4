"""What --save-images costs beside the encoder: ``python -m tests.benchmarks.pictures FRAMES --weights yolo11n.pt``.

In each round the same frames are run without pictures, then with them, each in a process of its own. They are also
encoded as they are, without and with writing the files. CPU time is compared, as it changes least when others use the
machine; images/s are told beside it.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from yolocli.executors.pictures import DRAWN_QUALITY
from yolocli.images.decode import decode
from yolocli.output.ownership import SUMMARY
from yolocli.parsing import parse_count


@dataclass(frozen=True)
class Times:
    """Seconds.

    Attributes:
        cpu: Of all threads.
        wall: By the clock.
    """

    cpu: float
    wall: float


def run(command: Sequence[str], output: Path) -> Times:
    """Runs a detection into a new folder; returns what it took, and by the clock that without loading the model."""
    import json

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*command, "--output", str(output), "--quiet"], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    wall = json.loads((output / SUMMARY).read_bytes())["wall_seconds"]
    return Times(cpu, wall)


def encode(frames: Sequence[Path], output: Path | None = None) -> Times:
    """Encodes frames in one thread, and writes them to a folder if one is given; decoding is not in it."""
    cpu = wall = 0.0
    options = [cv2.IMWRITE_JPEG_QUALITY, DRAWN_QUALITY]
    for path in frames:
        pixels: Any = decode(path.read_bytes(), path.suffix, max_pixels=10**9).pixels
        started, began = time.process_time(), time.perf_counter()
        data = cv2.imencode(".jpg", pixels, options)[1].tobytes()
        if output is not None:
            (output / path.name).write_bytes(data)
        cpu += time.process_time() - started
        wall += time.perf_counter() - began
    return Times(cpu, wall)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.pictures", description=__doc__)
    parser.add_argument("frames", type=Path)
    parser.add_argument("--weights", default="builtin")
    parser.add_argument("--imgsz", default="320", help="small, so that the network does not hide the rest")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--workers", default="2", type=lambda text: str(parse_count(text, "--workers")))
    options = parser.parse_args()
    frames = sorted(options.frames.glob("*.jpg"))[: options.images]
    command = [sys.executable, "-m", "yolocli", "detect", *map(str, frames), "--model", options.weights]
    command += ["--format", "json", "--imgsz", options.imgsz, "--workers", options.workers, "--threads-per-worker", "1"]
    seconds: dict[str, list[float]] = {"plain": [], "drawn": [], "encoder": [], "files": []}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.repeats):
            # nothing is deleted in between: ext4 looks at each file deleted just now when it makes a new one
            plain = run(command, Path(folder, f"plain-{number}"))
            drawn = run([*command, "--save-images"], Path(folder, f"drawn-{number}"))
            (written := Path(folder, f"written-{number}")).mkdir()
            alone, files = encode(frames), encode(frames, written)
            for name, times in (("plain", plain), ("drawn", drawn), ("encoder", alone), ("files", files)):
                seconds[name].append(times.cpu)
            rates = [f"{len(frames) / times.wall:.1f}" for times in (plain, drawn)]
            figures = said(drawn.cpu - plain.cpu, alone.cpu, files.cpu, len(frames))
            print(f"round {number}: {rates[0]} images/s, {rates[1]} with pictures; {figures}", flush=True)
    costs = [drawn - plain for plain, drawn in zip(seconds["plain"], seconds["drawn"], strict=True)]
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    print("median of rounds:", said(statistics.median(costs), middle["encoder"], middle["files"], len(frames)))
    least = {name: min(values) for name, values in seconds.items()}  # others on the machine only add
    print("least of each:", said(least["drawn"] - least["plain"], least["encoder"], least["files"], len(frames)))


def said(cost: float, encoder: float, files: float, images: int) -> str:
    """Returns what pictures cost beside the encoder, without and with writing what it gives; all in seconds of CPU."""
    cost, encoder, files = (1000 * seconds / images for seconds in (cost, encoder, files))
    return (
        f"CPU ms an image: {cost:.2f} for pictures; {encoder:.2f} the encoder alone, {cost / encoder:.2f} x; "
        f"{files:.2f} with its files, {cost / files:.2f} x"
    )


if __name__ == "__main__":
    main()
