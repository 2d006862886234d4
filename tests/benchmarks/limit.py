"""How near a run comes to what its stages allow: cores / sum of the core-seconds an image takes in each, run alone.

python tests/benchmarks/limit.py FOLDER MODEL [--runtime auto] [--images 300] [--rounds 5]
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from yolocli.config import DetectorConfig, SourceConfig
from yolocli.detector import Detector, load_detector
from yolocli.images.decode import decode
from yolocli.machine.cpus import usable_cpus
from yolocli.machine.memory import keep_freed_memory
from yolocli.measure.cells import Cell, Row
from yolocli.measure.pictures import gather, repeat
from yolocli.measure.runs import run_cell
from yolocli.results import ImageRef
from yolocli.runtimes import RUNTIMES
from yolocli.runtimes.choose import prepare_detector
from yolocli.sources import read
from yolocli.sources.discover import discover
from yolocli.sources.suffixes import suffix_of

STAGES = ("decode", "prepare", "infer", "post")
WARM = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("model")
    parser.add_argument("--runtime", default="auto", choices=["auto", *RUNTIMES])
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    asked = DetectorConfig(options.model, options.runtime, threads=1)
    keep_freed_memory()
    detector = load_detector(prepare_detector(asked))
    found = [item for item in discover(SourceConfig((options.folder,))) if isinstance(item, ImageRef)]
    refs = list(itertools.islice(itertools.cycle(found), WARM))
    _stages(detector, refs)
    limits, rates = [], []
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "pictures"
        gather(options.folder, pictures, options.images)
        repeat(pictures, options.images)
        row = Row("run", options.model, Cell(options.model, runtime=options.runtime))
        for number in range(options.rounds):
            alone = _stages(detector, refs)
            run_cell(row, pictures, Path(folder), {})
            limits.append(usable_cpus() / sum(alone.values()))
            rates.append(row.images_per_second[-1])
            told = ", ".join(f"{name} {seconds * 1000:.1f}" for name, seconds in alone.items())
            print(f"{number + 1}: alone, ms: {told}; limit {limits[-1]:.1f}, run {rates[-1]:.1f} images/s", flush=True)
    shares = [rate / limit for rate, limit in zip(rates, limits, strict=True)]
    print(f"median: {statistics.median(shares):.2f} of the limit")


def _stages(detector: Detector, refs: Sequence[ImageRef]) -> dict[str, float]:
    """Median seconds of each stage, one image and one stage at a time."""
    seconds: dict[str, list[float]] = {name: [] for name in STAGES}
    for ref in refs:
        data, suffix = read(ref.source), suffix_of(ref.source)
        marks = [time.perf_counter()]
        picture = decode(data, suffix, channels=detector.channels, max_pixels=10**9)
        marks.append(time.perf_counter())
        (canvas,) = detector.prepare(picture)
        marks.append(time.perf_counter())
        raw = detector.infer([canvas])[0]
        marks.append(time.perf_counter())
        detector.finish([raw], [canvas])
        marks.append(time.perf_counter())
        for name, (start, end) in zip(STAGES, itertools.pairwise(marks), strict=True):
            seconds[name].append(end - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


if __name__ == "__main__":
    main()
