"""Small data sets for each task, from the scenes of the built-in model's generator.

The same task, split and count make the same files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from itertools import count, islice
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from yolocli.builtin import CODES
from yolocli.builtin.ink import Image
from yolocli.builtin.lookalikes import LOOKALIKES
from yolocli.builtin.scene import Scene, make
from yolocli.builtin.warps import Outline

SIZES: Final = ((192, 144), (144, 192), (192, 192))
"""Width and height of scenes, in turn."""

KINDS: Final = ("photo", "close", "photo", "flat", "photo", "sheet", "photo", "close")
"""Kinds of scenes, in turn."""

SEEDS: Final = {"train": 31_000, "val": 31_001, "test": 31_002}
"""Families of scenes that the built-in model has nothing to do with; nothing is chosen by ``test``."""

LOOK: Final = ("text", "keyboard", "chessboard", "stripes", "speckle")
"""Look-alikes that are classes of their own in classification, so that there are more than five."""

LONGEST, SHORTEST = 36.0, 14.0
"""Least sides of a mark, pixels: a scene with a smaller one is passed over."""

Points = NDArray[np.float32]


def _endless(split: str) -> Iterator[Scene]:
    """Draw scenes whose marks a small network can see."""
    for index in count():
        scene = make(SEEDS[split], index, SIZES[index % len(SIZES)], KINDS[index % len(KINDS)])
        sides = [sorted((box.x2 - box.x1, box.y2 - box.y1)) for box in scene.boxes]
        if sides and all(short >= SHORTEST and long >= LONGEST for short, long in sides):
            yield scene


@cache
def scenes(split: str, number: int) -> tuple[Scene, ...]:
    """Draw the first scenes of a split; kept, as every task is trained on the same."""
    return tuple(islice(_endless(split), number))


def corners(outline: Outline) -> Points:
    """The four corners of a mark, shape (4, 2), clockwise in the picture from the one nearest its upper left.

    Where a mark begins in its own sense is written in modules that a small network does not read.
    """
    four = outline.points[:: len(outline.points) // 4]
    (ax, ay), (bx, by) = four[1] - four[0], four[3] - four[0]
    if ax * by < ay * bx:
        four = four[::-1]
    return np.roll(four, -int(four.sum(1).argmin()), axis=0)


def _numbers(points: Points, size: tuple[int, int]) -> str:
    inside = np.clip(points / np.float32(size), 0, 1)
    return " ".join(f"{value:.6f}" for value in inside.ravel())


def _polygon(outline: Outline, size: tuple[int, int]) -> str:
    return _numbers(outline.points, size)


def _rotated(outline: Outline, size: tuple[int, int]) -> str:
    inside = np.clip(outline.points, 0, np.float32(size))
    return _numbers(cv2.boxPoints(cv2.minAreaRect(inside)), size)


def _keypoints(outline: Outline, size: tuple[int, int]) -> str:
    """Box and corners; a corner outside the picture is not visible."""
    inside = np.clip(outline.points / np.float32(size), 0, 1)
    low, high = inside.min(0), inside.max(0)
    fields = [*((low + high) / 2), *(high - low)]
    for corner in corners(outline) / np.float32(size):
        visible = bool((corner >= 0).all() and (corner <= 1).all())
        fields += [*(corner if visible else (0.0, 0.0)), 2.0 if visible else 0.0]
    return " ".join(f"{value:.6f}" for value in fields)


LABELS: Final[dict[str, Callable[[Outline, tuple[int, int]], str]]] = {
    "segment": _polygon,
    "semantic": _polygon,
    "obb": _rotated,
    "pose": _keypoints,
}
"""What a mark's line says after its class, for each task that is labelled mark by mark."""


def _save(path: Path, pixels: NDArray[np.generic]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())


def _write_marks(folder: Path, task: str, split: str, number: int) -> None:
    for index, scene in enumerate(scenes(split, number)):
        height, width = scene.image.shape[:2]
        _save(folder / "images" / split / f"{index:04d}.png", scene.image)
        lines = [f"{CODES.index(o.name)} {LABELS[task](o, (width, height))}\n" for o in scene.outlines]
        label = folder / "labels" / split / f"{index:04d}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text("".join(lines))


def _write_crops(folder: Path, task: str, split: str, number: int) -> None:
    """Each mark of the scenes with a little around it, and for every four of them a crop of each look-alike."""
    del task
    rng = np.random.default_rng(SEEDS[split])
    for index, scene in enumerate(scenes(split, number)):
        for place, box in enumerate(scene.boxes):
            around = 0.12 * max(box.x2 - box.x1, box.y2 - box.y1)
            x1, y1 = max(0, int(box.x1 - around)), max(0, int(box.y1 - around))
            crop = scene.image[y1 : int(box.y2 + around), x1 : int(box.x2 + around)]
            _save(folder / split / box.name / f"{index:04d}-{place}.png", crop)
        if index % 4 == 0:
            for name in LOOK:
                height, width = rng.integers(40, 160, 2).tolist()
                _save(folder / split / name / f"{index:04d}.png", LOOKALIKES[name][1](rng, height, width))


def hazy(rng: np.random.Generator, scene: Scene) -> tuple[Image, NDArray[np.float64]]:
    """Paint a scene on a plane that leaves into haze, the farther the greyer; returns picture and depth in metres."""
    height, width = scene.image.shape[:2]
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    angle, near, far = rng.uniform(0, 2 * np.pi), rng.uniform(1, 3), rng.uniform(4, 12)
    along = np.cos(angle) * x + np.sin(angle) * y
    along = (along - along.min()) / np.ptp(along)
    # Over a plane the reciprocal of depth is linear in the picture.
    depth = 1 / (1 / near + along * (1 / far - 1 / near))
    seen = np.exp(-0.25 * depth)[:, :, None]
    return (scene.image * seen + 190 * (1 - seen)).astype(np.uint8), depth


def _write_depths(folder: Path, task: str, split: str, number: int) -> None:
    del task
    rng = np.random.default_rng(SEEDS[split])
    for index, scene in enumerate(scenes(split, number)):
        image, depth = hazy(rng, scene)
        _save(folder / "images" / split / f"{index:04d}.png", image)
        _save(folder / "depth" / split / f"{index:04d}.png", (depth * 1000).astype(np.uint16))


WRITERS: Final[dict[str, Callable[[Path, str, str, int], None]]] = {
    **dict.fromkeys(LABELS, _write_marks),
    "classify": _write_crops,
    "depth": _write_depths,
}


def write(folder: Path, task: str, sizes: dict[str, int]) -> Path:
    """Write a data set.

    Args:
        folder: Where to.
        task: As Ultralytics names it.
        sizes: How many scenes there are for each split.

    Returns:
        What Ultralytics takes as ``data``.
    """
    for split, number in sizes.items():
        WRITERS[task](folder, task, split, number)
    if task == "classify":
        return folder
    names = ("depth",) if task == "depth" else CODES
    lines = [f"path: {folder.resolve()}", *(f"{split}: images/{split}" for split in sizes), "names:"]
    lines += [f"  {index}: {name}" for index, name in enumerate(names)]
    if task == "pose":
        lines += ["kpt_shape: [4, 3]", "flip_idx: [1, 0, 3, 2]"]
    target = folder / f"{task}.yaml"
    target.write_text("\n".join(lines) + "\n")
    return target
