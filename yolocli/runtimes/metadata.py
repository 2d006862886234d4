"""What a converted model says of itself in `metadata.yaml`, as Ultralytics writes it. It may be hostile."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast, get_args

from yolocli.errors import ModelError
from yolocli.images.letterbox import Fit
from yolocli.machine.bounded import read_bounded
from yolocli.tasks import find_task
from yolocli.tasks.base import ModelFacts, Task

METADATA = "metadata.yaml"

LARGEST_METADATA = 2**20

DEEPEST_METADATA = 20
"""Levels of lists and mappings in it; there are three in what Ultralytics writes."""

RTDETR_HEAD = "RTDETRDecoder"
"""How Ultralytics' metadata says that a model is RT-DETR."""

LARGEST_SIDE = 2**16
"""Pixels of a side of an input; Ultralytics' largest models are trained with 1280."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """What the graph itself does not say.

    Attributes:
        names: Class names by class index.
        stride: The network's largest stride, in pixels.
        imgsz: Height and width in pixels it was trained or converted for.
        task: What the model is for.
        channels: Of an input image: 3 (BGR) or 1 (grey).
        end_to_end: The network has done its own NMS.
        more: What else its task asks for, see `ModelFacts`.
        fit: How images are fitted into its input.
        agnostic: See `ModelFacts`.
        in_shares: It gives boxes as centre x, centre y, width and height, as shares of its input.
    """

    names: Mapping[int, str]
    stride: int
    imgsz: tuple[int, int]
    task: Task
    channels: int
    end_to_end: bool
    more: Mapping[str, Any] = field(default_factory=dict)
    fit: Fit = "letterbox"
    agnostic: bool = False
    in_shares: bool = False

    @property
    def facts(self) -> ModelFacts:
        """What its task asks for."""
        return ModelFacts(self.names, self.more, self.agnostic)


def read_metadata(folder: Path) -> Metadata:
    """Reads `metadata.yaml`.

    Raises:
        ModelError: If it is missing, cannot be read or is damaged, or the model is for no task that there is.
    """
    path = folder / METADATA
    values = _read_yaml(path)
    try:
        names, imgsz = _literal(values["names"]), _literal(values["imgsz"])
        height, width = (imgsz, imgsz) if isinstance(imgsz, int) else (imgsz[0], imgsz[-1])
        arguments = _literal(values.get("args") or {})
        rtdetr = values.get("head") == RTDETR_HEAD
        done = bool(_literal(values.get("end2end", False)) or arguments.get("nms", False))
        task = find_task(str(values["task"]), folder)
        metadata = Metadata(
            names={int(index): str(name) for index, name in names.items()},
            stride=int(values["stride"]),
            imgsz=(int(height), int(width)),
            task=task,
            channels=int(values.get("channels", 3)),
            end_to_end=done or rtdetr,
            more={key: _literal(values[key]) for key in task.asks if key in values},
            fit=_fit(values.get("fit", "stretch" if rtdetr else task.fit)),
            agnostic=bool(values.get("agnostic", False)),
            in_shares=rtdetr,
        )
        check_sizes(metadata.stride, metadata.imgsz)
        if not metadata.names:
            raise ValueError("no class has a name")
        if metadata.channels not in {1, 3}:
            raise ValueError(f"takes {metadata.channels} channels; images have 1 or 3")
    except _DAMAGE as error:
        raise _damaged(path, error) from error
    return metadata


def check_metadata(model: Path) -> None:
    """Looks at the metadata beside or in a converted model, before a library reads it that would wait for a FIFO.

    Raises:
        ModelError: If it is there, and cannot be read or is damaged.
    """
    path = (model if model.is_dir() else model.parent) / METADATA
    if path.exists():
        _read_yaml(path)


def check_sizes(stride: int, imgsz: tuple[int, int]) -> None:
    """Checks what a model says of its input.

    Raises:
        ValueError: If no picture can be letterboxed to it.
    """
    if not 1 <= stride <= LARGEST_SIDE:
        raise ValueError(f"stride {stride}")
    if not all(1 <= side <= LARGEST_SIDE for side in imgsz):
        raise ValueError(f"imgsz {list(imgsz)}")


_DAMAGE = (
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    SyntaxError,
    ArithmeticError,
    RecursionError,
    MemoryError,
)
"""What values may raise that are not what they should be."""


def _read_yaml(path: Path) -> Any:
    """Returns what a file of YAML holds, if it is of a size and depth, and repeats nothing by reference.

    Raises:
        ModelError: If it is not, or cannot be read.
    """
    import yaml

    try:
        data = read_bounded(path, LARGEST_METADATA)
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        depth = 0
        for event in yaml.parse(data, Loader=loader):
            if isinstance(event, yaml.AliasEvent):  # some lines of these can stand for gigabytes
                raise ValueError("aliases are not for metadata")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST_METADATA:
                raise ValueError("too deep")
        return yaml.load(data, Loader=loader)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}; convert the model again") from error
    except (yaml.YAMLError, *_DAMAGE) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: BaseException) -> ModelError:
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return ModelError(f"{path}: damaged ({reason}); convert the model again")


def write_metadata(folder: Path, metadata: Metadata, *, quantised: bool = False) -> None:
    """Writes `metadata.yaml` in the form of an Ultralytics export with dynamic shapes."""
    import yaml

    values = {
        "description": "OpenVINO model made by yolocli",
        "stride": metadata.stride,
        "task": metadata.task.name,
        "batch": 1,
        "imgsz": list(metadata.imgsz),
        "names": dict(metadata.names),
        "args": {"batch": 1, "half": False, "int8": quantised, "dynamic": True, "nms": False},
        "channels": metadata.channels,
        "end2end": metadata.end_to_end,
        "fit": metadata.fit,
        "agnostic": metadata.agnostic,
        **metadata.more,
    }
    (folder / METADATA).write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), encoding="utf-8")


def _fit(value: Any) -> Fit:
    if value not in get_args(Fit):
        raise ValueError(f"fit {value!r}")
    return cast("Fit", value)


def _literal(value: Any) -> Any:
    """Returns a value that some versions write as the text of a Python literal."""
    return ast.literal_eval(value) if isinstance(value, str) else value
