"""Measure weights on fresh scenes: ``python -m yolocli.builtin.evaluate``."""

# ruff: noqa: T201 (a command prints)

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from yolocli.builtin import CODES, WEIGHTS
from yolocli.builtin.extra import main

SEED: Final = 20_000
"""Seed of the scenes that are measured on; training refuses it."""


@dataclass(frozen=True)
class Score:
    """How well one class, or ``all`` of them, is found; every number is from 0 to 1.

    Attributes:
        name: The class.
        precision: Share of true ones among what was found, at the confidence of the best F1.
        recall: Share found among the true ones, at the same confidence.
        map50: Mean average precision at an overlap of 0.5.
        map50_95: The same, averaged over overlaps from 0.5 to 0.95.
    """

    name: str
    precision: float
    recall: float
    map50: float
    map50_95: float


def evaluate(
    weights: Path, scenes: int, seed: int, imgsz: int, device: str, out: Path, processes: int | None = None
) -> tuple[Score, ...]:
    """Write scenes of a seed and run Ultralytics' validator on them.

    Args:
        weights: Checkpoint to measure.
        scenes: How many scenes.
        seed: Their family; never one that was trained on.
        imgsz: Size pictures are brought to, pixels.
        device: As Ultralytics takes it.
        out: Folder for the scenes and the validator's files.
        processes: How many scenes to make at a time.

    Returns:
        The score over all classes first, then one a class in the order of ``CODES``.
    """
    from ultralytics import YOLO

    from yolocli.builtin.scenes import write_split, write_yaml

    folder = out / f"check-{seed}"
    write_split(folder, "val", scenes, seed, processes)
    data = write_yaml(folder, ["val"], "val")
    metrics = YOLO(str(weights)).val(
        data=str(data),
        imgsz=imgsz,
        device=device,
        batch=16,
        workers=0,
        plots=False,
        verbose=False,
        project=str(out.resolve()),
        name="check",
        exist_ok=True,
    )
    box = metrics.box
    total = Score("all", float(box.mp), float(box.mr), float(box.map50), float(box.map))
    each = (
        Score(CODES[int(index)], *(float(value) for value in box.class_result(place)))
        for place, index in enumerate(box.ap_class_index)
    )
    return total, *each


def report(scores: Sequence[Score]) -> str:
    """Lay scores out as a Markdown table."""
    rows = [f"| {s.name} | {s.precision:.3f} | {s.recall:.3f} | {s.map50:.3f} | {s.map50_95:.3f} |" for s in scores]
    head = "| class | precision | recall | mAP50 | mAP50-95 |\n| --- | --- | --- | --- | --- |\n"
    return head + "\n".join(rows)


def _run(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m yolocli.builtin.evaluate", description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="checkpoint to measure")
    parser.add_argument("--scenes", type=int, default=500, help="how many scenes")
    parser.add_argument("--seed", type=int, default=SEED, help="their family; not one trained on")
    parser.add_argument("--imgsz", type=int, default=640, help="picture size in pixels")
    parser.add_argument("--device", default="cpu", help="as Ultralytics takes it: cpu, 0, mps")
    parser.add_argument("--workers", type=int, help="processes that make scenes (default: one a core)")
    parser.add_argument("--out", type=Path, help="keep scenes and logs here (default: nowhere)")
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        scores = evaluate(
            options.weights, options.scenes, options.seed, options.imgsz, options.device,
            options.out or Path(scratch), options.workers,
        )  # fmt: skip
    print(json.dumps([asdict(s) for s in scores], indent=2) if options.json else report(scores))
    return 0


if __name__ == "__main__":
    main(_run)
