"""The options of `bench`, `optimize` and `convert` alone; see `options`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

from yolocli import config
from yolocli.cli import options
from yolocli.cli.declare import argument, one_of, option, several
from yolocli.config import DEFAULT_MODEL
from yolocli.parsing import parse_count

INT8 = config.Precision.int8.value
"""What `optimize` makes: commands that people have written down name it."""

# Of bench alone: what detect takes once can be repeated there

Pictures = Annotated[str, argument("FOLDER", "Pictures like those you will run on.")]
Models = Annotated[
    Optional[list[str]],
    several(
        "--model -m MODEL",
        options.MODEL,
        "As for detect; repeatable, all are compared with the first.",
        commas=False,
        default=DEFAULT_MODEL,
    ),
]
Modes = Annotated[
    Optional[list[str]],
    several(
        "--mode MODE",
        options.RUN,
        "thread, locked, process or ray; repeatable.",
        default="all of one machine",
        **options.MODES,
    ),
]
Runtimes = Annotated[
    Optional[list[str]],
    several(
        "--runtime RUNTIME",
        options.RUN,
        "openvino or torch; repeatable.",
        default="all installed",
        **options.CHOSEN_RUNTIMES,
    ),
]
Precisions = Annotated[
    Optional[list[str]],
    several(
        "--precision PRECISION",
        options.RUN,
        "fp32, bf16, fp16 or int8; repeatable.",
        default="the model's own",
        **options.PRECISIONS,
    ),
]
WorkerCounts = Annotated[
    Optional[list[str]], several("--workers -j N", options.RUN, "Repeatable; 0 chooses.", parse_count, default="0")
]
BatchSizes = Annotated[
    Optional[list[str]], several("--batch N", options.RUN, "Repeatable; 0 chooses.", parse_count, default="0")
]
Images = Annotated[int, option("--images N", options.RUN, "Pictures of each run.", min=2)]
Repeats = Annotated[int, option("--repeats N", options.RUN, "Rounds.", min=1)]
Baseline = Annotated[bool, option("--baseline/--no-baseline", options.RUN, "Run plain `yolo predict` beside it.")]
AsJson = Annotated[bool, option("--json", options.OUTPUT, "Print the figures as JSON.")]

# Of optimize alone

OldModel = Annotated[str, argument("MODEL", "Weights, a model converted to OpenVINO, or an official name.")]
Calibrate = Annotated[
    str, option("--calibrate FOLDER", options.INPUT, "Pictures like those it will run on.", default=False)
]
NewPrecision = Annotated[str, option("--precision PRECISION", options.MODEL, "Of the new model.", **one_of([INT8]))]
NewModel = Annotated[
    Optional[Path],
    option(
        "--output -o FOLDER",
        options.OUTPUT,
        "Folder; by default MODEL_int8_openvino_model.",
        options.path,
        default=False,
    ),
]
MaxLoss = Annotated[
    float,
    option(
        "--max-loss SHARE",
        options.MODEL,
        "Share of the boxes that fp32 finds at --conf that may be lost, 0 to 1: not found even 0.1 below it.",
    ),
]
Force = Annotated[bool, option("--force", options.OUTPUT, "Write it whatever it loses, and over an older one.")]

# Of convert alone

Weights = Annotated[str, argument("MODEL", "Weights, an official name, or builtin.")]
ConvertedModel = Annotated[
    Optional[Path],
    option(
        "--output -o FOLDER", options.OUTPUT, "Folder; by default MODEL_openvino_model.", options.path, default=False
    ),
]
Replace = Annotated[bool, option("--force", options.OUTPUT, "Write it over an older one.")]
