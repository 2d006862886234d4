"""The settings of a run: frozen values, checked once, when they are made."""

from __future__ import annotations

import enum
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from yolocli.checks import check, check_count, check_seconds, check_share
from yolocli.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Config = TypeVar("Config", bound="DataclassInstance")

DEFAULT_MODEL = "yolo11n.pt"
DEFAULT_MODE: Final = "thread"
MASKS: Final = ("polygon", "rle", "none")
"""Forms that masks can have in records: outlines in pixels, the run-length encoding of COCO, or none at all."""
SORTINGS: Final = ("link", "copy")
"""Ways for pictures to get into folders of classes; they stay where they are."""
DEFAULT_MASKS: Final = "polygon"
AUTO: Final = "auto"
"""The runtime that is chosen by the machine and the model."""
DEFAULT_OUTPUT = Path("yolocli-out")
"""Of the command; a call writes nothing unless it is told where."""
DEFAULT_SAMPLE = 1000
"""Images that the page of a run shows, unless more are asked for."""
DEFAULT_MAX_PIXELS = 110_000_000
"""Enough for a 108-megapixel phone; decoding one takes 0.7 GB, so that two processes stay below 2 GB."""
SHARE_FROM = 100
"""Images after which a limit on the share of failures is judged; before, one bad image would be too large a share."""


class Precision(str, enum.Enum):
    """What the network computes in."""

    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"
    int8 = "int8"


@dataclass(frozen=True, slots=True)
class Shard:
    """One of several parts that images are in by their names.

    Attributes:
        number: From 1 to `count`.
        count: Parts.
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        valid = 1 <= self.number <= self.count
        check(valid, f"--shard {self}: the first number must be 1 to the second, as in 1/{max(self.count, 1)}")

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """What to look for, and where.

    Attributes:
        inputs: Files, directories and glob patterns, here or by URL.
        files_from: A file, or its URL, that lists further inputs, one a line; `-` is standard input.
        null: The list is separated by NUL bytes instead of newlines.
        recursive: Walk into sub-directories.
        include: Glob patterns; when given, a file must match one (by name, or by path if it holds a '/').
        exclude: Glob patterns; a file or directory that matches one is left out.
        hidden: Look at names that begin with a dot, too.
        follow_symlinks: Walk into directories behind symbolic links (links to files are always read).
        include_outputs: Walk into what earlier runs made in their output folders, too.
        shard: Take the images of this shard alone; None takes all.
    """

    inputs: tuple[str, ...] = ()
    files_from: str | None = None
    null: bool = False
    recursive: bool = True
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    hidden: bool = False
    follow_symlinks: bool = False
    include_outputs: bool = False
    shard: Shard | None = None

    def __post_init__(self) -> None:
        if not self.inputs and self.files_from is None:
            raise UsageError("no input: name files or folders, or give a list with --files-from")
        if self.null and self.files_from is None:
            raise UsageError("--null says how the list of --files-from is separated: give both")

    @property
    def piped(self) -> bool:
        """Whether names come from a pipe, which can be read but once and may be slow."""
        # a file named - in the current folder is not what is read
        name = self.files_from
        return name == "-" or (name is not None and "://" not in name and not os.path.isfile(name))


@dataclass(frozen=True, slots=True)
class DetectorConfig:
    """What to detect with, as it was asked for.

    Attributes:
        model: Path or URL of weights or of a converted model, an official name, or `builtin`.
        runtime: What runs the network: a row of `RUNTIMES`, or `auto`.
        precision: What it computes in; None takes the model's own, fp32 for weights.
        threads: Intra-op threads of one detector; 0 chooses.
        imgsz: Height and width in pixels that images are letterboxed into; None takes the model's own.
        confidence: Boxes below this score are dropped, in [0, 1].
        iou: Boxes of a class that overlap more than this are merged by NMS, in [0, 1].
        max_detections: Boxes kept of an image.
        classes: Names or ids of the classes to keep; None keeps all.
        masks: Form of masks in records, of `MASKS`; for models that give some.
        save_maps: Give the map of pixels as a file, too; for models that give one.
        exif: Put capture time, place and orientation into the records, as the files have them.
        trust_weights: Load a checkpoint that asks for arbitrary Python objects.
        max_pixels: Larger images are failures, found by their header before their pixels are allocated.
        verbose: Let the library's own messages through, on stderr.
    """

    model: str = DEFAULT_MODEL
    runtime: str = AUTO
    precision: Precision | None = None
    threads: int = 0
    imgsz: tuple[int, int] | None = None
    confidence: float = 0.25
    iou: float = 0.7
    max_detections: int = 300
    classes: tuple[str, ...] | None = None
    masks: str = DEFAULT_MASKS
    save_maps: bool = False
    exif: bool = False
    trust_weights: bool = False
    max_pixels: int = DEFAULT_MAX_PIXELS
    verbose: bool = False

    def __post_init__(self) -> None:
        check_share("--conf", self.confidence)
        check_share("--iou", self.iou)
        check_count("--max-det", self.max_detections, 1)
        check_count("--max-pixels", self.max_pixels, 1)
        check_count("--threads-per-worker", self.threads, 0)
        check(self.classes is None or bool(self.classes), "--classes: name at least one class")
        check(self.masks in MASKS, f"--masks {self.masks}: choose from {', '.join(MASKS)}")
        if self.imgsz is not None:
            check(all(8 <= side <= 16384 for side in self.imgsz), f"--imgsz {self.imgsz}: sides must be 8 to 16384")


@dataclass(frozen=True, slots=True)
class Limits:
    """When a run ends before its inputs do.

    Attributes:
        max_failures: Failures after which it stops; None for no limit.
        max_failure_share: Share of failures, in [0, 1], above which it stops, judged from `SHARE_FROM` images on.
        max_runtime: Seconds after which it stops; what was done is kept, and the same command goes on.
        timeout: Seconds an image may take, in a mode of processes; None for no limit.
        fail_incomplete: A run that was stopped by `max_runtime` ends with an exit code other than 0.
    """

    max_failures: int | None = None
    max_failure_share: float | None = None
    max_runtime: float | None = None
    timeout: float | None = None
    fail_incomplete: bool = False

    def __post_init__(self) -> None:
        check_seconds("--timeout", self.timeout)
        check_seconds("--max-runtime", self.max_runtime)

    def too_many(self, failures: int, images: int) -> bool:
        """Tells whether so many failures among so many images are too many."""
        if self.max_failures is not None and failures > self.max_failures:
            return True
        share = self.max_failure_share
        return share is not None and images >= SHARE_FROM and failures > share * images


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where the workers of ray mode are, and what each takes there.

    Attributes:
        ray_address: Of a Ray cluster; None takes that of RAY_ADDRESS, or else a Ray started on this machine.
        ray_resources: What an actor holds, by name: `cpu`, `gpu`, in parts or whole, or a resource that nodes are
            given a name for. None takes a CPU for each thread, and a part of a GPU where networks run on one.
        least_workers: Workers that must be ready before the run begins; as many as `workers` join when there is room.
    """

    ray_address: str | None = None
    ray_resources: tuple[tuple[str, float], ...] | None = None
    least_workers: int = 0

    def __post_init__(self) -> None:
        check_count("--workers", self.least_workers, 0)


@dataclass(frozen=True, slots=True)
class RunConfig:
    """One run, whole.

    Attributes:
        source: What to look for.
        detector: What to detect with.
        mode: Who owns the detector: a row of `EXECUTORS`.
        workers: Workers; 0 lets the run choose from the CPUs it may use.
        devices: Devices that workers are dealt over; empty lets the runtime choose.
        batch: Images that go through the network together; 0 lets the runtime choose.
        output: Folder for results; None keeps nothing on disk.
        store: URL of a place in a store that the output folder is published to; None for none.
        formats: Names from the registry of formats, each with its options after it: `name:option=value`.
        save_by_class: How each picture gets below a folder for each class found in it, of `SORTINGS`; None leaves it.
        save_images: Make a picture of each image, with what was found drawn into it.
        save_crops: Make a picture of each box.
        ordered: Give outcomes in input order instead of as they end.
        timings: Put the milliseconds of each stage into the records.
        retry_failed: On a second run, try again what failed.
        overwrite: Start anew in an output folder that holds another run.
        prune: Drop the records of images that are gone from the folders walked.
        limits: When to stop early.
        cluster: Where the workers of ray mode are.
    """

    source: SourceConfig
    detector: DetectorConfig = field(default_factory=DetectorConfig)
    mode: str = DEFAULT_MODE
    workers: int = 0
    devices: tuple[str, ...] = ()
    batch: int = 0
    output: Path | None = None
    store: str | None = None
    formats: tuple[str, ...] = ("json", "csv")
    save_by_class: str | None = None
    save_images: bool = False
    save_crops: bool = False
    ordered: bool = False
    timings: bool = False
    retry_failed: bool = True
    overwrite: bool = False
    prune: bool = False
    limits: Limits = field(default_factory=Limits)
    cluster: Cluster = field(default_factory=Cluster)

    def __post_init__(self) -> None:
        check_count("--workers", self.workers, 0)
        check_count("--batch", self.batch, 0)
        check(not self.prune or self.output is not None, "--prune drops records from a folder: give --output")
        if self.save_by_class is not None:
            choice = f"--save-by-class {self.save_by_class}: choose from {', '.join(SORTINGS)}"
            check(self.save_by_class in SORTINGS, choice)
            check(self.output is not None, "--save-by-class makes folders: give --output")

    @property
    def written(self) -> tuple[str, ...]:
        """The formats, and those that other settings ask for."""
        sorting = () if self.save_by_class is None else (f"by-class:how={self.save_by_class}",)
        return self.formats + sorting

    @property
    def pictures(self) -> bool:
        """Whether pictures are to be made of images."""
        return self.save_images or self.save_crops

    @property
    def place(self) -> str | Path | None:
        """Where results go."""
        return self.store or self.output


def configure(given: Mapping[str, Any]) -> RunConfig:
    """Makes a run of settings, each under the name of the field that takes it; what no field takes is left alone.

    Raises:
        UsageError: If a value cannot be used, or two do not go together.
    """
    parts: dict[str, Any] = {"source": build(SourceConfig, given), "detector": build(DetectorConfig, given)}
    parts |= {"limits": build(Limits, given), "cluster": build(Cluster, given)}
    return build(RunConfig, {**given, **parts})


def build(kind: type[Config], given: Mapping[str, Any]) -> Config:
    """Makes one config of settings as `configure` does; a field that is not given keeps its default."""
    return kind(**{entry.name: given[entry.name] for entry in fields(kind) if entry.name in given})


DEFAULTS = RunConfig(SourceConfig(inputs=(os.curdir,)))
"""A run of which nothing was asked but where to look: what options, arguments of a call and tests take as defaults."""
