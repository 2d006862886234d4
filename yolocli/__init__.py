"""Batch object detection on Ultralytics YOLO: paths in, one Outcome per image out, whatever happens in between.

>>> import yolocli
>>> for outcome in yolocli.detect(["photos"], mode="thread", workers=4):
...     print(outcome.path, outcome.status)
"""

import yolocli.machine.search_path  # isort: skip # noqa: F401  before all else, which may not come from the current folder
from yolocli.api import detect
from yolocli.errors import ModelError, NoImagesError, OutputError, UsageError, WorkerError, YolocliError
from yolocli.results import Detection, ImageFailure, ImageRef, ImageResult, Outcome

__version__ = "0.1.0"

__all__ = [
    "Detection",
    "ImageFailure",
    "ImageRef",
    "ImageResult",
    "ModelError",
    "NoImagesError",
    "Outcome",
    "OutputError",
    "UsageError",
    "WorkerError",
    "YolocliError",
    "__version__",
    "detect",
]
