"""Write scenes to disk as a data set in YOLO's layout: ``python -m yolocli.builtin.scenes``."""

# ruff: noqa: T201 (a command prints)

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import repeat
from pathlib import Path

from yolocli.builtin import CODES
from yolocli.builtin.extra import main


def _write_one(folder: Path, split: str, kinds: Sequence[str | None], seed: int, index: int) -> int:
    """Make and write one scene; returns its number of marks."""
    import cv2

    from yolocli.builtin.scene import make

    cv2.setNumThreads(1)  # one process a core already
    scene = make(seed, index, kind=kinds[index % len(kinds)])
    height, width = scene.image.shape[:2]
    name = f"{index:06d}"
    encoded = cv2.imencode(".jpg", scene.image, [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
    (folder / "images" / split / f"{name}.jpg").write_bytes(encoded.tobytes())
    rows = (
        f"{CODES.index(b.name)} {(b.x1 + b.x2) / 2 / width:.6f} {(b.y1 + b.y2) / 2 / height:.6f} "
        f"{(b.x2 - b.x1) / width:.6f} {(b.y2 - b.y1) / height:.6f}\n"
        for b in scene.boxes
    )
    (folder / "labels" / split / f"{name}.txt").write_text("".join(rows))
    return len(scene.boxes)


def write_split(
    folder: Path,
    split: str,
    count: int,
    seed: int,
    processes: int | None = None,
    kinds: Sequence[str | None] = (None,),
) -> int:
    """Write scenes 0 to ``count - 1`` of a seed; the files depend on nothing but their arguments.

    Args:
        folder: Where to; ``images/<split>`` and ``labels/<split>`` are made in it.
        split: Name of the part of the data set.
        count: Number of scenes.
        seed: Names the family of scenes.
        processes: How many at a time; one a core when not given.
        kinds: Kinds of scenes to make in turn; None for a kind by chance.

    Returns:
        Number of marks in all scenes.
    """
    for kind in ("images", "labels"):
        (folder / kind / split).mkdir(parents=True, exist_ok=True)
    processes = processes or os.cpu_count() or 1
    one = partial(_write_one, folder, split, tuple(kinds))
    if processes == 1:
        return sum(map(one, repeat(seed, count), range(count)))
    with ProcessPoolExecutor(processes) as pool:
        return sum(pool.map(one, repeat(seed, count), range(count), chunksize=16))


def write_yaml(folder: Path, train: Sequence[str], val: str) -> Path:
    """Write the data set's description for Ultralytics, trained on some splits; returns its path."""
    names = "".join(f"  {index}: {name}\n" for index, name in enumerate(CODES))
    target = folder / f"{'-'.join(train)}.yaml"
    trained = ", ".join(f"images/{split}" for split in train)
    target.write_text(f"path: {folder.resolve()}\ntrain: [{trained}]\nval: images/{val}\nnames:\n{names}")
    return target


def _run(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m yolocli.builtin.scenes", description=__doc__)
    parser.add_argument("out", type=Path, help="folder to write to")
    parser.add_argument("--count", type=int, default=100, help="number of scenes")
    parser.add_argument("--seed", type=int, default=0, help="family of scenes")
    parser.add_argument("--processes", type=int, help="how many at a time (default: one a core)")
    options = parser.parse_args(argv)
    marks = write_split(options.out, "scenes", options.count, options.seed, options.processes)
    write_yaml(options.out, ["scenes"], "scenes")
    print(f"{options.count} scenes, {marks} marks in {options.out}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    main(_run)
