"""What comes out: plain, frozen, picklable values, and their dict forms.

The dict forms are the contract on disk and on stdout; `schema/record.schema.json` publishes them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

SCHEMA_VERSION = 1
TIMINGS = "timings_ms"
"""Field of the milliseconds of each stage."""

PIXEL_DIGITS = 2
"""Decimals kept of a coordinate, in pixels: coarser than the float noise between kernels (0.003 px)."""
CONFIDENCE_DIGITS = 4
"""Decimals kept of a confidence: coarser than the float noise between kernels (7e-6)."""
COMMON_FIELDS = frozenset(("name", "class", "confidence", "box"))
"""Fields of a detection whatever the task."""
CORNERS = ("x1", "y1", "x2", "y2")
"""Fields of an upright box."""

Box: TypeAlias = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class ImageRef:
    """One file to read, as discovery saw it.

    Attributes:
        path: Name in the records, '/'-separated and unique in an output folder; see `names`.
        source: What opens the file from anywhere: its absolute path. Bytes that are not UTF-8 are carried as surrogate
            escapes. Empty in what was read back from a folder that an earlier version wrote without it.
        version: Differs when the file has changed, and says no more; see `file_version`. Empty when it could not be
            told.
        hint: Where in its source it lies, so that it is found quickly. It says nothing that `source` does not, and
            is not in the records.
    """

    path: str
    source: str
    version: str = ""
    hint: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Detection:
    """One thing that was found: an object, or what an image as a whole is said to be.

    Attributes:
        name: Class name.
        class_id: Class index in the model.
        confidence: Score in [0, 1]; None where the task gives none (semantic, depth).
        xyxy: Left, top, right, bottom in pixels of the upright (EXIF-rotated) image; of a rotated box, those of the
            upright box around it. None where the task gives none (classify, semantic, depth).
        more: Fields that the task of the model adds, ready for JSON; empty for `detect`. A `box` among them takes the
            place of the upright one.
    """

    name: str
    class_id: int
    confidence: float | None = None
    xyxy: Box | None = None
    more: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON form; its fields follow those of Ultralytics' `Results.summary()`."""
        record: dict[str, Any] = {"name": self.name, "class": self.class_id}
        if self.confidence is not None:
            record["confidence"] = self.confidence
        if self.xyxy is not None:
            x1, y1, x2, y2 = self.xyxy
            record["box"] = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
        record.update(self.more)
        return record

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Detection:
        """Returns the value behind a JSON form.

        Raises:
            KeyError: If a field is missing.
        """
        more = {key: data[key] for key in data if key not in COMMON_FIELDS}
        box, xyxy = data.get("box"), None
        if box is not None:
            xyxy = (box["x1"], box["y1"], box["x2"], box["y2"])
            if len(box) > len(CORNERS):
                xyxy, more = around(box), {"box": box, **more}
        return Detection(data["name"], data["class"], data.get("confidence"), xyxy, more)


def around(box: Mapping[str, float]) -> Box:
    """Returns the upright box around corners, given by the names x1, y1, x2, y2, ..."""
    across = [value for key, value in box.items() if key.startswith("x")]
    down = [value for key, value in box.items() if key.startswith("y")]
    return min(across), min(down), max(across), max(down)


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found in one image.

    Attributes:
        detections: As the task orders them: mostly by falling confidence.
        more: Fields that the task adds to the record of the image, ready for JSON.
        files: Files of the image that only who has its pixels can make, by the folder that they belong in, and a number
            where there are several.
    """

    detections: tuple[Detection, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict, hash=False)
    files: Mapping[str, bytes] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class ImageResult:
    """An image that went all the way through.

    Attributes:
        ref: The file.
        width: Pixels of the upright image.
        height: Pixels of the upright image.
        detections: What was found, mostly by falling confidence; may be empty.
        timings: Milliseconds by stage (read, decode, prepare, infer, post, draw); a batch's time is shared equally.
        more: Fields that the task adds, ready for JSON.
        files: See `Findings`; not in the record, and not there when it was read back.
    """

    ref: ImageRef
    width: int
    height: int
    detections: tuple[Detection, ...]
    timings: Mapping[str, float] = field(default_factory=dict, compare=False)
    more: Mapping[str, Any] = field(default_factory=dict, hash=False)
    files: Mapping[str, bytes] = field(default_factory=dict, compare=False, repr=False)

    status: ClassVar[str] = "ok"

    @property
    def path(self) -> str:
        """Name in the records."""
        return self.ref.path

    def to_dict(self, *, timings: bool = False) -> dict[str, Any]:
        """Returns the record; timings stay out unless asked for, so that records can be compared."""
        record: dict[str, Any] = {
            **_head(self.ref),
            "status": self.status,
            "width": self.width,
            "height": self.height,
            "detections": [detection.to_dict() for detection in self.detections],
            **self.more,
        }
        return record | _timings(self.timings) if timings else record


@dataclass(frozen=True, slots=True)
class ImageFailure:
    """An image, or a folder that could hold images, that gave no result.

    Attributes:
        ref: The file.
        stage: Where it ended: discover, read, decode, prepare, infer, post or worker.
        error: Short class of the error, such as `PermissionError` or `NotAnImage`.
        message: One sentence for a person.
        timings: Milliseconds by stage that was passed.
    """

    ref: ImageRef
    stage: str
    error: str
    message: str
    timings: Mapping[str, float] = field(default_factory=dict, compare=False)

    status: ClassVar[str] = "failed"

    @property
    def path(self) -> str:
        """Name in the records."""
        return self.ref.path

    def to_dict(self, *, timings: bool = False) -> dict[str, Any]:
        """Returns the record; timings stay out unless asked for, so that records can be compared."""
        record: dict[str, Any] = {
            **_head(self.ref),
            "status": self.status,
            "stage": self.stage,
            "error": self.error,
            "message": self.message,
        }
        return record | _timings(self.timings) if timings else record


Outcome: TypeAlias = ImageResult | ImageFailure

RESULT_FIELDS = frozenset(("schema", "path", "source", "status", "width", "height", "detections", TIMINGS)) | frozenset(
    ("version", "crc", "input", "size", "mtime_ns")
)
"""Fields of a result whatever the task, those of journals among them."""


def outcome_from_dict(record: Mapping[str, Any]) -> Outcome:
    """Returns the Outcome behind a record of the journal.

    Raises:
        KeyError: If a field is missing.
        ValueError: If the record is of another schema version or status.
    """
    if record["schema"] != SCHEMA_VERSION:
        raise ValueError(f"record schema {record['schema']}, this version reads {SCHEMA_VERSION}")
    ref = ImageRef(record["path"], record.get("source", ""), _version(record))
    timings = record.get(TIMINGS, {})
    if record["status"] == ImageResult.status:
        detections = tuple(Detection.from_dict(item) for item in record["detections"])
        more = {key: record[key] for key in record if key not in RESULT_FIELDS}
        return ImageResult(ref, record["width"], record["height"], detections, timings, more)
    if record["status"] == ImageFailure.status:
        return ImageFailure(ref, record["stage"], record["error"], record["message"], timings)
    raise ValueError(f"unknown status {record['status']!r}")


def file_version(size: int, mtime_ns: int) -> str:
    """Returns the version of a file on disk.

    Args:
        size: Bytes; less than 0 when it could not be told.
        mtime_ns: Modification time in nanoseconds.
    """
    return f"{size}-{mtime_ns}" if size >= 0 else ""


def to_json(record: Mapping[str, Any]) -> bytes:
    r"""Returns UTF-8 JSON; what UTF-8 cannot hold (undecodable bytes of a file name) is written as a \\udcXX escape.

    `json.loads` gives such a name back as surrogate escapes, which `os.fsencode` turns into the bytes on disk.
    """
    return _dumps(record).encode("utf-8", "backslashreplace")


def to_json_file(record: Mapping[str, Any]) -> bytes:
    """Returns a record as a file for people: a line for each field and each detection; see `to_json`."""
    # json.dumps leaves its C encoder when asked to indent, and takes ten times as long
    fields = []
    for name, value in record.items():
        if isinstance(value, list) and value:
            fields.append(f'  "{name}": [\n    ' + ",\n    ".join(_dumps(item) for item in value) + "\n  ]")
        else:
            fields.append(f'  "{name}": {_dumps(value)}')
    return ("{\n" + ",\n".join(fields) + "\n}\n").encode("utf-8", "backslashreplace")


_dumps = json.JSONEncoder(ensure_ascii=False).encode


def _head(ref: ImageRef) -> dict[str, Any]:
    head: dict[str, Any] = {"schema": SCHEMA_VERSION, "path": ref.path}
    return head | {"source": ref.source} if ref.source else head


def _version(record: Mapping[str, Any]) -> str:
    if "size" in record:  # a line of the journal, by an earlier version
        return file_version(record["size"], record["mtime_ns"])
    return str(record.get("version", ""))


def _timings(timings: Mapping[str, float]) -> dict[str, Any]:
    return {TIMINGS: {stage: round(value, 3) for stage, value in timings.items()}}


DRAW = "draw"
"""Stage of an image of which pictures are made."""
STAGES = ("read", "decode", "prepare", "infer", "post", DRAW, "write")
"""In the order an image passes them; the last is the run's, the others the worker's."""

Item: TypeAlias = ImageRef | ImageFailure
"""What a worker is handed: a file, or what discovery could not make one of, which passes through."""
