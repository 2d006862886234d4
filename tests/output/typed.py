"""What tables of types must hold, made from the journal alone: it is compared with what a reader reads."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from tests.support import REPOSITORY, box, ref, result
from yolocli.output.folder import OutputFolder
from yolocli.output.journal import Journal
from yolocli.output.run_file import write_json
from yolocli.results import Detection, ImageFailure, ImageResult, Outcome

ODD_NAMES = (
    "plain.jpg",
    "a/plain.jpg",
    "new\nline.jpg",
    "quote\"s' and, comma.jpg",
    "🦊.jpg",
    "é\u2028.jpg",
    "nul\0.jpg",
    "\udcff.jpg",
    "\\udcff.jpg",
    "\\\udcff.jpg",
    "\\\\udcff.jpg",
    "back\\slash.jpg",
)
"""The four with `udcff` are files of their own: a byte that is no UTF-8, and the text that stands for one."""

BOX = {"x1": 1.5, "y1": 2.25, "x2": 100.0, "y2": 200.75}
CORNERS = {"x1": -1.5, "y1": 2.0, "x2": 3.0, "y2": 4.0, "x3": 5.0, "y3": 6.0, "x4": 7.0, "y4": 8.25}
MORE: dict[str, list[dict[str, Any]]] = {
    "detect": [{"confidence": 0.5, "box": BOX}],
    "segment": [
        {"confidence": 0.5, "box": BOX, "segments": {"x": [1.0, 2.5, 3.0], "y": [4.0, 5.0, 6.0]}},
        {"confidence": 0.5, "box": BOX, "segments": {"x": [1.0] * 7, "y": [4.25] * 7, "rings": [3, 4]}},
        {"confidence": 0.5, "box": BOX, "rle": {"size": [480, 640], "counts": "PPYo0\\1N"}},
        {"confidence": 0.5, "box": BOX},
    ],
    "pose": [
        {"confidence": 0.5, "box": BOX, "keypoints": {"x": [1.0, 2.0], "y": [3.0, 4.0], "visible": [0.5, 1.0]}},
        {"confidence": 0.5, "box": BOX, "keypoints": {"x": [1.0], "y": [3.0]}},
    ],
    "obb": [{"confidence": 0.5, "box": CORNERS}],
    "classify": [{"confidence": 0.75}, {"confidence": 0.125}],
    "semantic": [{"pixel_ratio": 0.25}],
    "depth": [{"min": 0.5, "median": 1.0, "max": 20.125}],
}
"""Records of each task, in every form that they have, without name and class."""
OF_IMAGE: dict[str, dict[str, Any]] = {
    "semantic": {"map": {"file": "maps/\udcff.jpg.png", "ignored": 255}},
    "depth": {"map": {"metres_per_unit": 0.000305185}},
}


def outcomes_of_task(task: str) -> list[Outcome]:
    """Returns results that hold all that a task can record, one without anything found, and a failure."""
    found = [Detection.from_dict({"name": f"thing {i}", "class": i, **more}) for i, more in enumerate(MORE[task])]
    exif = {"exif": {"time": "2024-05-06T07:08:09.250000+02:00", "latitude": -1.5, "longitude": 2.0, "orientation": 6}}
    timings = {"read": 0.25, "infer": 12.5}
    return [
        ImageResult(ref("a.jpg"), 640, 480, tuple(found), timings, OF_IMAGE.get(task, {}) | exif),
        ImageResult(ref("b.jpg"), 64, 48, ()),
        ImageFailure(ref("c.jpg"), "decode", "TruncatedImage", "cut off", timings),
    ]


def output_of(root: Path, outcomes: Iterable[Outcome], task: str = "detect", timings: bool = False) -> Path:
    """Makes an output folder of outcomes, as a run leaves it; returns it."""
    root.mkdir(parents=True)
    folder = OutputFolder(root)
    folder.create()
    fingerprint = {"weights_sha256": "0" * 64, "confidence": 0.25, "exif": True}
    names = {"0": "thing 0", "1": "\udcff"}
    write_json(
        folder, "run.json", {"fingerprint": fingerprint, "settings": {}, "roots": [], "task": task, "names": names}
    )
    journal = Journal(folder, timings)
    for outcome in outcomes:
        journal.append(outcome)
    journal.close()
    folder.close()
    return root


def odd_outcomes() -> list[Outcome]:
    """Returns a result for each odd name, and a failure beside it."""
    results: list[Outcome] = [result(name, [box("é🦊"), box('q"\n', 1, 0.25)]) for name in ODD_NAMES]
    return results + [ImageFailure(ref("x" + name), "read", "OSError", "no") for name in ODD_NAMES]


def expected(root: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Returns the rows of images, and of detections, that the journal tells of; what is missing is not there."""
    images, detections = [], []
    lines = [json.loads(line) for line in (root / "results.jsonl").read_bytes().splitlines()]
    for record in sorted(lines, key=lambda record: [os.fsencode(part) for part in record["path"].split("/")]):
        for key in ("schema", "version", "crc"):
            del record[key]
        if not record.get("timings_ms", True):
            del record["timings_ms"]
        place = {key: record[key] for key in ("path", "source")}
        flat = [one.pop("box", {}) | one for one in record.get("detections", ())]
        images.append(record | ({"detections": flat} if "detections" in record else {}))
        detections += [place | one for one in flat]
    return images, detections


def present(value: Any) -> Any:
    """Returns a value as a reader gives it without what is null, and names as the disk has them."""
    if isinstance(value, dict):
        return {key: present(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [present(inner) for inner in value]
    return unescaped(value) if isinstance(value, str) else value


def unescaped(text: str) -> str:
    """Returns a name as it was before it was escaped, by the function that docs/formats.md gives to people."""
    return os.fsdecode(_of_the_docs()["name"](text))


@cache
def _of_the_docs() -> dict[str, Any]:
    page = (REPOSITORY / "docs/formats.md").read_text("utf-8")
    (block,) = re.findall(r"^```python\n(import os, re\n.*?)^```", page, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(block, names)
    return names
