"""The same pictures from the disk and from a store that takes its time, by turns: images a second, and their ratio.

python tests/benchmarks/stores.py [--latency 0.05] [--images 200] [--rounds 3] [--reads 4000] [options of the run]

The store is a server of the tests on this machine, in a process of its own: it takes CPU time that a store elsewhere
would not. With --reads, small objects are read through the seam by threads, and through obstore alone beside it.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from tests.fakes import FakeLoader
from tests.stores.moto import free_port, served, use
from tests.support import REPOSITORY
from yolocli.config import DetectorConfig, RunConfig, SourceConfig
from yolocli.pipeline import Run
from yolocli.stores import store_of

SAMPLES = REPOSITORY / "sample_images"
SMALL = 4096


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--reads", type=int, default=0)
    parser.add_argument("--from", dest="folder", type=Path, default=SAMPLES)
    parser.add_argument("--model", default="builtin")
    parser.add_argument("--mode", default="thread")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--imgsz", type=int, default=640)
    parser.add_argument("--fake", type=float, help="a network that takes so many seconds, and no CPU")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root, port = Path(name), free_port()
        copy(options.folder, root / "pictures", options.images)
        small(root / "small", 500)
        latency = 0 if options.reads else options.latency
        command = [sys.executable, "-m", "tests.stores.proxy", str(port), "--folder", name, "--latency", str(latency)]
        with served(command, port, cwd=REPOSITORY) as endpoint:
            use(endpoint)
            if options.reads:
                measure_reads(options.reads)
            else:
                measure_runs(root / "pictures", options)


def measure_runs(folder: Path, options: argparse.Namespace) -> None:
    detector = DetectorConfig(options.model, imgsz=(options.imgsz, options.imgsz))
    rates: dict[str, list[float]] = {"disk": [], "store": []}
    for _ in range(options.rounds):
        for place, source in (("disk", str(folder)), ("store", "s3://pictures")):
            config = RunConfig(SourceConfig((source,)), detector, mode=options.mode, workers=options.workers)
            run = Run(config, loader=FakeLoader(options.fake) if options.fake is not None else None)
            assert all(outcome.status == "ok" for outcome in run)
            rates[place].append(run.summary.images / run.summary.wall_seconds)
    for place, found in rates.items():
        print(f"{place}: {median(found):.1f} images/s ({', '.join(f'{rate:.1f}' for rate in found)})")
    print(f"ratio with {options.latency * 1000:.0f} ms a request: {median(rates['store']) / median(rates['disk']):.3f}")


def measure_reads(count: int) -> None:
    store = store_of("s3://small")
    keys = [entry.key for entry in store.list("")]  # type: ignore[union-attr]
    bare = store._store  # type: ignore[attr-defined]
    ways: dict[str, Callable[[str], object]] = {
        "seam": lambda key: store.read(key, check=lambda size: None),
        "obstore alone": lambda key: bytes(bare.get(key).bytes()),
    }
    for name, read in [*ways.items()] * 2:
        with ThreadPoolExecutor(32) as pool:
            started, used = time.perf_counter(), time.process_time()
            list(pool.map(read, (keys[number % len(keys)] for number in range(count))))
            seconds, used = time.perf_counter() - started, time.process_time() - used
        print(f"{name}: {count / seconds:,.0f} reads of 4 KB a second, {used / count * 1e6:.0f} us of CPU each")


def copy(source: Path, folder: Path, count: int) -> None:
    files = [file for file in sorted(source.rglob("*.jpg")) if "broken" not in file.parts]
    folder.mkdir()
    for number in range(count):
        os.link(_near(files[number % len(files)], folder), folder / f"{number:05}.jpg")


def _near(file: Path, folder: Path) -> Path:
    """Returns a copy on the disk that the folder is on, as links cannot lead to another."""
    copy = folder.parent / f"copy-{file.name}"
    if not copy.exists():
        copy.write_bytes(file.read_bytes())
    return copy


def small(folder: Path, count: int) -> None:
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:05}.bin").write_bytes(os.urandom(SMALL))


if __name__ == "__main__":
    main()
