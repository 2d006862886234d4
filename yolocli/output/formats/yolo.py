"""yolo: a data set that Ultralytics trains on: a label for each image, a link to the image, and data.yaml."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from yolocli.output.formats.base import Context, Format
from yolocli.output.formats.left_out import FAILURES, LeftOut
from yolocli.output.sink import File, Original, Tree
from yolocli.output.stems import Stems, plainer
from yolocli.output.tree_list import LIST_START
from yolocli.output.trees import TreeFile, TreeWriter
from yolocli.results import ImageResult, Outcome
from yolocli.tasks import find_task
from yolocli.tasks.shape import Keypoint, Point, Shape

IMAGES, LABELS = "images", "labels"
DATA = File("data.yaml", start=b"# A data set for Ultralytics YOLO, by yolocli\n")
TREE = Tree((IMAGES, LABELS), File("labels.jsonl", start=LIST_START), beside=IMAGES)
ALIKE = "pictures of your own whose label would be that of another one"
MISNAMED = "pictures of your own whose names allow no label beside images/"
DIGITS = 6
"""Decimals of a share of the width or height: 0.01 px of 16,384."""
HIDDEN, COVERED, SEEN = 0, 1, 2
"""What is said of a keypoint: it is not in the image, not to be seen, or to be seen."""


@dataclass(frozen=True, slots=True)
class Options:
    """What can be asked for.

    Attributes:
        save_conf: Put the confidence last on each line.
    """

    save_conf: bool = False


class YoloDataset:
    """See `Writer`."""

    def __init__(self, context: Context) -> None:
        self._sink = context.sink
        self._tree = TreeWriter(context.sink, TREE)
        self._stems = Stems()
        self._task = find_task(context.task, "the output folder")
        self._names = dict(context.names)
        self._keypoints = context.keypoints
        self._with_confidence = context.options.save_conf
        self._left_out = LeftOut(context, f"{LABELS}/")

    def add(self, outcome: Outcome) -> None:
        """See `Writer.add`."""
        if not isinstance(outcome, ImageResult):
            self._left_out.add(FAILURES)
        elif self._task.whole:
            self._left_out.add(f"images of a model for {self._task.name}")
        else:
            place = self._tree.own_place(outcome.ref)
            if missing := self._label_in_place(outcome, place) if place else self._link_and_label(outcome):
                self._left_out.add(missing)

    def close(self) -> None:
        """See `Writer.close`."""
        self._tree.close()
        with self._sink.open(DATA.name) as stream:
            stream.write(DATA.start if isinstance(DATA.start, bytes) else b"")
            stream.write(_data_yaml(self._names, self._keypoints).encode())
        self._left_out.tell()

    def _link_and_label(self, result: ImageResult) -> str:
        label = self._label(result)
        stem, suffix = self._stems.name(result.path)
        names = ((f"{IMAGES}/{one}{suffix}", f"{LABELS}/{one}.txt") for one in (stem, plainer(result.path)))
        choices = [[TreeFile(link, Original.link), TreeFile(text, label)] for link, text in names]
        return self._tree.put(result.ref, choices)

    def _label_in_place(self, result: ImageResult, place: str) -> str:
        """Puts a label where Ultralytics looks for that of an image; returns what the image is, if there is no room."""
        stem, suffix = self._stems.name(result.path, place)
        if stem + suffix == place:
            return self._tree.put(result.ref, [[TreeFile(f"{LABELS}/{stem}.txt", self._label(result))]])
        return ALIKE if stem == place and place.endswith(suffix) else MISNAMED

    def _label(self, result: ImageResult) -> bytes:
        lines = []
        for record in result.detections:
            shape = self._task.shape(record)
            if shape.box is None:
                continue
            self._names.setdefault(record.class_id, record.name)
            self._keypoints = max(self._keypoints, len(shape.keypoints))
            cells = [str(record.class_id), *_place(shape, result.width, result.height)]
            if self._with_confidence and record.confidence is not None:
                cells.append(f"{record.confidence:g}")
            lines.append(" ".join(cells) + "\n")
        return "".join(lines).encode()


def joined(rings: Sequence[Sequence[Point]]) -> list[Point]:
    """Makes one polygon of several, as a line has room for one.

    From the nearest point of what is joined already a path leads to each ring, around it and back. Filled by the
    even-odd rule it is what they are, as such a path has no width.
    """
    path = list(rings[0])
    for ring in rings[1:]:
        near = min(range(len(path)), key=lambda index, to=ring[0]: math.dist(path[index], to))  # type: ignore[misc]
        path[near + 1 : near + 1] = [*ring, ring[0], path[near]]
    return path


def _place(shape: Shape, width: int, height: int) -> list[str]:
    """Returns where a thing is, in shares of the width and height, none outside the image."""
    if rings := shape.rings or _traced(shape.rle):
        path = joined(rings)
        path += path[-1:] * (3 - len(path))  # readers take fewer than three points for a box
        return _points(path, width, height)
    if shape.corners:
        return _points(shape.corners, width, height)
    assert shape.box is not None
    left, top, right, bottom = (
        min(max(value / side, 0.0), 1.0) for value, side in zip(shape.box, (width, height) * 2, strict=True)
    )
    box = [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]
    return [*map(_share, box), *(cell for one in shape.keypoints for cell in _keypoint(one, width, height))]


def _points(points: Iterable[Point], width: int, height: int) -> list[str]:
    return [_share(value) for x, y in points for value in (x / width, y / height)]


def _keypoint(point: Keypoint, width: int, height: int) -> list[str]:
    if not (0 <= point.x <= width and 0 <= point.y <= height):
        return ["0", "0", str(HIDDEN)]
    return [*_points([(point.x, point.y)], width, height), str(SEEN if point.seen else COVERED)]


def _share(value: float) -> str:
    return f"{min(max(value, 0.0), 1.0):.{DIGITS}f}"


def _traced(rle: Mapping[str, Any] | None) -> tuple[tuple[Point, ...], ...]:
    """Returns the outlines of a mask that is given by run lengths."""
    if rle is None:
        return ()
    from yolocli.images.masks import from_edges, outlines
    from yolocli.images.rle import decode

    edges = decode(rle["counts"])
    if not len(edges):
        return ()
    rings = outlines(from_edges(edges, rle["size"][0]))
    return tuple(tuple((float(x), float(y)) for x, y in ring.tolist()) for ring in rings)


def _data_yaml(names: Mapping[int, str], keypoints: int) -> str:
    """Returns what Ultralytics reads a data set by; its classes are numbered without gaps."""
    every = ((index, names.get(index, f"class_{index}")) for index in range(max(names, default=-1) + 1))
    lines = [f"train: {IMAGES}", f"val: {IMAGES}", "names:" if names else "names: []"]
    lines += [f"  {index}: {_quoted(name)}" for index, name in every]
    return "\n".join([*lines, *([f"kpt_shape: [{keypoints}, 3]"] if keypoints else [])]) + "\n"


def _quoted(text: str) -> str:
    """Returns a text in double quotes, as JSON and YAML have them; YAML takes no character that cannot be printed."""
    plain = text.encode("utf-8", "backslashreplace").decode()
    quoted = json.dumps(plain, ensure_ascii=False)
    return "".join(one if one.isprintable() else f"\\U{ord(one):08x}" for one in quoted)


FORMAT = Format(final=YoloDataset, files=(DATA,), trees=(TREE,), options=Options())
