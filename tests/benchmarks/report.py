"""How long the page of many images takes: ``python -m tests.benchmarks.report --images 100000``.

The records are made up, and the originals are not there: this is about records, not about making pictures small. Ready
is when the first pictures are on the page and every control works; what follows is how long these take.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.report.conftest import BROWSERS
from tests.report.material import many, write_run
from yolocli.report import make_report


def timed(action: Callable[[], Any]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def in_browser(page_file: Path, repeats: int) -> dict[str, float]:
    """Returns the median seconds until the page is ready, shows another threshold, and another page of pictures."""
    from playwright.sync_api import expect, sync_playwright

    path = next(filter(None, map(shutil.which, BROWSERS)))
    taken: dict[str, list[float]] = {"ready": [], "slider": [], "page": []}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for _ in range(repeats):
            page = browser.new_page(viewport={"width": 1400, "height": 900})

            def ready(page: Any = page) -> None:
                page.goto(page_file.as_uri())
                page.wait_for_selector("body[data-ready]")

            def slide(page: Any = page) -> None:
                page.locator("#least").fill("60")
                expect(page.locator("#least-shown")).to_have_text("0.60")

            def turn(page: Any = page) -> None:
                page.locator("#page").fill("100")
                page.keyboard.press("Enter")
                expect(page.locator("#status")).to_contain_text(f"{99 * 48 + 1:,} to")

            for name, action in {"ready": ready, "slider": slide, "page": turn}.items():
                taken[name].append(timed(action))
            page.close()
        browser.close()
    return {name: round(statistics.median(seconds), 2) for name, seconds in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = write_run(Path(folder) / "out", many(arguments.images))
        seconds = timed(lambda: make_report(out, sample=None))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        size = sum(os.path.getsize(file) for file in (out / "report").rglob("*") if file.is_file())
        figures = {"images": arguments.images, "make_seconds": round(seconds, 1), "peak_mib": peak, "mib": size >> 20}
        print(json.dumps(figures | in_browser(out / "report.html", arguments.repeats), indent=2))


if __name__ == "__main__":
    main()
