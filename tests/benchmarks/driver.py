"""What one driver can take, with everything else faked: ``python -m tests.benchmarks.driver outcomes|resume``.

`outcomes`: images that are but names, and workers that answer at once, five boxes each. Prints outcomes a second, from
names to the journal, and the memory after each tenth. `resume`: a journal of so many lines, opened as a second run
opens it. Prints the seconds and the bytes of memory an image.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import yolocli.executors
import yolocli.sources
from tests.fakes import FakeLoader
from yolocli.config import RunConfig, SourceConfig
from yolocli.executors.base import Loaded, WorkerSpec
from yolocli.output.folder import OutputFolder
from yolocli.output.journal import Journal
from yolocli.output.past import Known, Past
from yolocli.pipeline import Run
from yolocli.results import Detection, ImageFailure, ImageRef, ImageResult, Item, Outcome
from yolocli.sources.base import Found, Search
from yolocli.sources.names import Root

FOLDER_SIZE = 1000
BOXES = tuple(Detection("thing", 0, 0.9 - 0.1 * n, (10.25 * n, 20.5, 110.75, 220.125)) for n in range(5))


class Names:
    """A source of images that are but names: `made:///photos/COUNT`."""

    def __init__(self, search: Search | None = None) -> None:
        self._search = search

    def lister(self, search: Search) -> Names:
        return Names(search)

    def check(self, name: str) -> None: ...

    def bases(self, names: Sequence[str], covered: Callable[[str], bool]) -> list[Root]:
        return [Root("made:///photos", "photos")]

    def list(self, name: str, *, listed: bool) -> Iterator[Found]:
        for number in range(int(name.rsplit("/", 1)[1])):
            folder = f"made:///photos/{number // FOLDER_SIZE:06}"
            yield Found(folder, f"{number % FOLDER_SIZE:03}.jpg", Root("made:///photos"), version="1")

    def version(self, source: str, *, walked: bool) -> str:
        return "1"

    def read(self, source: str, hint: str = "") -> bytes:
        raise OSError("there are no bytes")

    def gone(self, source: str) -> bool:
        return False

    def can_list(self, folder: str) -> bool:
        return True


class Answers:
    """A mode whose workers answer at once; see `Executor` and `Worker`."""

    shares: ClassVar[bool] = False
    ends_images: ClassVar[bool] = False
    elsewhere: ClassVar[bool] = False
    package: ClassVar[str | None] = None
    grace: float | None = None
    most: int | None = None
    least: int | None = None
    loaded = Loaded("faked", 8, {0: "thing"}, "detect")

    def __init__(self, spec: WorkerSpec) -> None: ...

    def open_worker(self, slot: int) -> Answers:
        return self

    def detect(self, items: Sequence[Item], batch: int) -> list[Outcome]:
        return [item if isinstance(item, ImageFailure) else ImageResult(item, 1920, 1080, BOXES) for item in items]

    def expect(self, items: Sequence[Item]) -> None: ...

    def kill(self) -> None: ...

    def close(self) -> int:
        return 0


def memory() -> int:
    """Bytes of this process in memory, now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def outcomes(images: int, folder: Path) -> None:
    yolocli.sources.SOURCES = MappingProxyType({**yolocli.sources.SOURCES, "made": f"{__name__}:Names"})
    yolocli.executors.EXECUTORS = MappingProxyType({"faked": f"{__name__}:Answers"})
    config = RunConfig(
        SourceConfig((f"made:///photos/{images}",)), mode="faked", workers=8, output=folder, formats=("csv",)
    )
    started = time.perf_counter()
    for number, _ in enumerate(Run(config, loader=FakeLoader()), 1):
        if number % (images // 10) == 0:
            rate = number / (time.perf_counter() - started)
            print(f"{number:10,} outcomes, {rate:8,.0f} a second, {memory() / 2**20:6.0f} MiB", flush=True)
    whole = time.perf_counter() - started
    print(f"with the tables at the end: {whole:.0f} s, {images / whole:,.0f} a second")


def write_journal(images: int, folder: Path) -> None:
    with OutputFolder(folder).held():
        journal = Journal(OutputFolder(folder))
        for number in range(images):
            path = f"{number // FOLDER_SIZE:06}/{number % FOLDER_SIZE:03}.jpg"
            journal.append(
                ImageResult(ImageRef(path, f"/photos/{path}", "48760-1795577668312637317"), 1920, 1080, BOXES[:1])
            )
        journal.close()


def opened(images: int, folder: Path) -> dict[str, Any]:
    before, started = memory(), time.perf_counter()
    from yolocli.output.journal import mend

    output = OutputFolder(folder)
    with output.held():
        mend(output, print)
        mended = time.perf_counter()
        past = Past(folder / "results.jsonl")
        seconds = time.perf_counter() - started
    assert past.images == images
    last = f"{(images - 1) // FOLDER_SIZE:06}/{(images - 1) % FOLDER_SIZE:03}.jpg"
    assert past.look_up(ImageRef(last, f"/photos/{last}", "48760-1795577668312637317")) is Known.DONE
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": seconds, "checked": mended - started, "kept": memory() - before, "peak": peak - before}


def resume(images: int, folder: Path) -> None:
    write_journal(images, folder)
    command = [
        sys.executable,
        "-m",
        "tests.benchmarks.driver",
        "open",
        "--images",
        str(images),
        "--folder",
        str(folder),
    ]
    figures = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    print(f"{images:,} images, {(folder / 'results.jsonl').stat().st_size / 1e9:.1f} GB of journal")
    print(f"opened in {figures['seconds']:.1f} s, {figures['checked']:.1f} s of it to check every line")
    print(f"memory: {figures['peak'] / images:.0f} bytes an image at most, {figures['kept'] / images:.0f} kept")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.driver", description=__doc__)
    parser.add_argument("what", choices=["outcomes", "resume", "open"])
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.what == "open":
        print(json.dumps(opened(options.images, options.folder)))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        (outcomes if options.what == "outcomes" else resume)(options.images, Path(folder) / "out")


if __name__ == "__main__":
    main()
