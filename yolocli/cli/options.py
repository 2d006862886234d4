"""The options of the commands, each once: what is typed, what help says of it, and what becomes of it.

The type of an alias is what typer reads; what its parser makes of it is what the field of the config holds. A parameter
of a command is named like that field and takes its default; None stands for a default that help puts in words.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

from yolocli import config
from yolocli.cli.declare import argument, one_of, option, several
from yolocli.config import AUTO, DEFAULT_OUTPUT, DEFAULTS
from yolocli.executors import EXECUTORS
from yolocli.parsing import (
    parse_devices,
    parse_duration,
    parse_failures,
    parse_imgsz,
    parse_precision,
    parse_sample,
)
from yolocli.runtimes import RUNTIMES
from yolocli.sources.shard import parse_shard
from yolocli.sources.suffixes import IMAGE_SUFFIXES
from yolocli.stores import is_url

INPUT, MODEL, RUN, LIMITS, OUTPUT, PEOPLE = "Inputs", "Model", "How to run", "Limits", "Results", "For people"
SUFFIXES = " ".join(sorted(suffix.lstrip(".") for suffix in IMAGE_SUFFIXES))

MODES = one_of(list(EXECUTORS))
CHOSEN_RUNTIMES = one_of([AUTO, *RUNTIMES])
PRECISIONS = one_of([precision.value for precision in config.Precision]) | {"parse": parse_precision}


def path(text: str, option: str) -> Path:
    """Returns what an option for a file or folder holds."""
    return Path(text)


def place(text: str, option: str) -> Path | str:
    """Returns what an option for a folder, or the URL of a place in a store, holds."""
    return text if is_url(text) else Path(text)


# Inputs

Inputs = Annotated[
    Optional[list[str]],
    argument(
        "INPUTS",
        "Files, folders and glob patterns, here or by URL (s3://bucket/photos), mixed. Of a folder, files with these "
        f"suffixes are taken, in upper case, too: {SUFFIXES}.",
        callback=lambda value: tuple(value or ()),
    ),
]
Recursive = Annotated[bool, option("--recursive/--no-recursive", INPUT, "Walk into sub-folders.")]
Include = Annotated[
    Optional[list[str]],
    several(
        "--include GLOB",
        INPUT,
        "Take only files that match this glob; repeatable.",
        commas=False,  # a name may hold one
        default="all images",
    ),
]
Exclude = Annotated[
    Optional[list[str]],
    several(
        "--exclude GLOB",
        INPUT,
        "Leave out files and folders that match this glob; repeatable.",
        commas=False,
        default="none",
    ),
]
Hidden = Annotated[bool, option("--hidden", INPUT, "Look at names that begin with a dot.")]
FollowSymlinks = Annotated[bool, option("--follow-symlinks", INPUT, "Walk into folders behind links.")]
IncludeOutputs = Annotated[bool, option("--include-outputs", INPUT, "Walk into what earlier runs made, too.")]
FilesFrom = Annotated[
    Optional[str],
    option(
        "--files-from FILE", INPUT, "Read further inputs from a file or URL, one a line; - is stdin.", default="none"
    ),
]
Null = Annotated[bool, option("--null -0", INPUT, "The list is separated by NUL bytes.")]
Shard = Annotated[
    Optional[str],
    option(
        "--shard I/N",
        INPUT,
        "Take the I-th of N parts; auto asks the array job.",
        parse_shard,
        default="all",
    ),
]
DryRun = Annotated[bool, option("--dry-run", INPUT, "Print the images that would be read, and stop.")]

# Model

Model = Annotated[
    str,
    option(
        "--model -m MODEL",
        MODEL,
        "Path or URL of weights or a converted model, an official name, or builtin.",
    ),
]
Imgsz = Annotated[
    Optional[str],
    option(
        "--imgsz SIDE|HxW", MODEL, "Side, or HxW, in pixels to letterbox to.", parse_imgsz, default="the model's own"
    ),
]
Conf = Annotated[Optional[float], option("--conf SHARE", MODEL, "Least confidence of a box, 0 to 1.")]
Iou = Annotated[float, option("--iou SHARE", MODEL, "NMS drops boxes that overlap more.")]
MaxDet = Annotated[int, option("--max-det N", MODEL, "Boxes kept of an image.")]
Classes = Annotated[
    Optional[list[str]],
    several("--classes CLASS,...", MODEL, "Names or ids to keep, comma-separated.", default="all"),
]
Masks = Annotated[
    str,
    option("--masks FORM", MODEL, "For segments: polygon, rle, none.", **one_of(config.MASKS)),
]
TrustWeights = Annotated[bool, option("--trust-weights", MODEL, "Load a checkpoint that may run code of its own.")]

# How to run

Runtime = Annotated[
    str,
    option("--runtime RUNTIME", RUN, "auto, openvino or torch.", **CHOSEN_RUNTIMES),
]
Precision = Annotated[
    Optional[str],
    option(
        "--precision PRECISION",
        RUN,
        "fp32, bf16, fp16 or int8.",
        default="the model's own, fp32 for weights",
        **PRECISIONS,
    ),
]
Mode = Annotated[
    str,
    option(
        "--mode MODE",
        RUN,
        "thread, locked (all share a model), process or ray (a cluster).",
        **MODES,
    ),
]
ThreadsPerWorker = Annotated[int, option("--threads-per-worker N", RUN, "CPU threads of a model; 0 chooses.")]
Batch = Annotated[int, option("--batch N", RUN, "Images in one batch; 0 chooses.")]
Device = Annotated[
    Optional[str],
    option(
        "--device DEVICE",
        RUN,
        "cpu, mps, cuda:0, or a list to deal workers over: cuda:0,1.",
        parse_devices,
        default="auto",
    ),
]

# Limits

MaxPixels = Annotated[int, option("--max-pixels N", LIMITS, "Larger images are failures.")]
Timeout = Annotated[
    Optional[str],
    option(
        "--timeout TIME",
        LIMITS,
        "Time an image may take (process, ray).",
        parse_duration,
        default="none",
    ),
]
MaxFailures = Annotated[
    Optional[str],
    option(
        "--max-failures N|N%",
        LIMITS,
        "Stop after more failures, N or N%.",
        parse_failures,
        default="none",
    ),
]
FailFast = Annotated[bool, option("--fail-fast", LIMITS, "Stop at the first failure.")]
MaxRuntime = Annotated[
    Optional[str],
    option(
        "--max-runtime TIME",
        LIMITS,
        "Stop after this time, such as 8h.",
        parse_duration,
        default="none",
    ),
]
FailIncomplete = Annotated[bool, option("--fail-incomplete", LIMITS, "Exit with 1, not 0, after --max-runtime.")]

# Results

Output = Annotated[
    Optional[str],
    option(
        "--output -o FOLDER",
        OUTPUT,
        "Folder for results, or a URL.",
        place,
        default=f"{DEFAULT_OUTPUT}; none with --stdout",
    ),
]
Formats = Annotated[
    Optional[list[str]],
    several(
        "--format FORMAT,...",
        OUTPUT,
        "json, csv, csv-per-image, coco, coco-dataset, yolo, voc, label-studio, megadetector, by-class, parquet, "
        "sqlite; repeatable.",
        default=",".join(DEFAULTS.formats),
    ),
]
SaveByClass = Annotated[
    Optional[str],
    option(
        "--save-by-class HOW",
        OUTPUT,
        "Sort the pictures into a folder per class found: link or copy.",
        default="no",
        **one_of(config.SORTINGS),
    ),
]
SaveConf = Annotated[bool, option("--save-conf", OUTPUT, "With confidences; for yolo.")]
ImageRoot = Annotated[
    Optional[str],
    option(
        "--image-root ADDRESS",
        OUTPUT,
        "Where images are for label-studio.",
        default="where they lie here",
    ),
]
SaveMaps = Annotated[bool, option("--save-maps", OUTPUT, "Maps of semantic and depth models, below maps/.")]
Exif = Annotated[bool, option("--exif", OUTPUT, "With capture time, GPS and orientation.")]
SaveImages = Annotated[bool, option("--save-images", OUTPUT, "Draw what is found, below drawn/.")]
SaveCrops = Annotated[bool, option("--save-crops", OUTPUT, "Cut out each box, below crops/CLASS/.")]
Stdout = Annotated[bool, option("--stdout", OUTPUT, "A JSON line per image on stdout, at once.")]
Ordered = Annotated[bool, option("--ordered", OUTPUT, "Give results in input order.")]
Timings = Annotated[bool, option("--timings", OUTPUT, "Put the ms of each stage into the records.")]
Overwrite = Annotated[bool, option("--overwrite", OUTPUT, "Start anew in a folder with results.")]
Prune = Annotated[bool, option("--prune", OUTPUT, "Drop records of images that are gone.")]
RetryFailed = Annotated[
    bool, option("--retry-failed/--no-retry-failed", OUTPUT, "Try failures of an earlier run again.")
]
Report = Annotated[bool, option("--report", OUTPUT, "Make a page of the run: report.html.")]

# For people

SummaryJson = Annotated[bool, option("--summary-json", PEOPLE, "Print the summary as JSON (stderr with --stdout).")]
Quiet = Annotated[bool, option("--quiet -q", PEOPLE, "Nothing on stderr but errors, and one line if images failed.")]
Verbose = Annotated[bool, option("--verbose -v", PEOPLE, "Library messages, and tracebacks.")]
NoProgress = Annotated[bool, option("--no-progress", PEOPLE, "No bar, no progress lines.")]

# Of export, merge and failures

RunFolder = Annotated[str, argument("FOLDER", "The output folder of a run, or its URL.")]
NewFolder = Annotated[
    Optional[str],
    option(
        "--output -o FOLDER", OUTPUT, "A new folder, needed by --conf and --classes, or a URL.", default="FOLDER itself"
    ),
]
RunFolders = Annotated[list[str], argument("FOLDERS", "The output folders of runs, or their URLs.")]
MergedFormats = Annotated[
    Optional[list[str]],
    several("--format FORMAT,...", OUTPUT, "As for detect.", default="those that all of the folders have"),
]
MergedFolder = Annotated[str, option("--output -o FOLDER", OUTPUT, "A new folder for all, or a URL.", default=False)]
NullAfter = Annotated[bool, option("--null -0", OUTPUT, "End each with a NUL byte, which no name holds.")]
KeptTimings = Annotated[bool, option("--timings", OUTPUT, "With the ms of each stage, if the run kept them.")]

# Of report alone

Sample = Annotated[str, option("--sample N|all", OUTPUT, "Images to show at most, or all.", parse_sample)]
Seed = Annotated[int, option("--seed N", OUTPUT, "Another one draws others.")]
