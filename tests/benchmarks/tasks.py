"""How fast each task is beside `yolo predict`: ``python -m tests.benchmarks.tasks FRAMES --weights yolo11n.pt``.

Weights of YOLO11n for the other tasks are made from those of its detector: Ultralytics' own descriptions, with the
numbers of the detector wherever a layer is the same, and random ones elsewhere. So the networks are of the real size
and find what the detector finds; only masks, keypoints and angles mean nothing. `yolocli bench` measures each of them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from yolocli.runtimes.torch.library import import_ultralytics

MODELS: Mapping[str, tuple[str, dict[str, Any], int]] = MappingProxyType(
    {
        "yolo11n": ("11/yolo11.yaml", {}, 640),
        "yolo11n-seg": ("11/yolo11-seg.yaml", {}, 640),
        "yolo11n-pose": ("11/yolo11-pose.yaml", {"nc": 80}, 640),
        "yolo11n-obb": ("11/yolo11-obb.yaml", {}, 640),
        "yolo11n-cls": ("11/yolo11-cls.yaml", {}, 224),
        "yolo26n": ("26/yolo26.yaml", {}, 640),
        "yolo26n-seg": ("26/yolo26-seg.yaml", {}, 640),
    }
)
"""Description, what is changed in it, and the size of its input."""


def make(name: str, weights: Path, folder: Path) -> Path:
    """Makes weights; returns their path."""
    import torch
    import ultralytics
    from ultralytics import YOLO
    from ultralytics.utils import YAML

    architecture, changes, imgsz = MODELS[name]
    description = YAML.load(Path(ultralytics.__file__).parent / "cfg/models" / architecture)
    YAML.save(folder / f"{name}.yaml", description | changes | {"scale": "n"})
    torch.manual_seed(0)
    model = YOLO(str(folder / f"{name}.yaml")).load(str(weights))
    model.ckpt = {"train_args": {**model.model.args, "imgsz": imgsz}}
    model.save(str(folder / f"{name}.pt"))
    return folder / f"{name}.pt"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.tasks", description=__doc__)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--weights", type=Path, required=True, help="yolo11n.pt")
    parser.add_argument("--model", action="append", choices=list(MODELS), help="only these")
    parser.add_argument("--images", default="100")
    parser.add_argument("--repeats", default="5")
    options = parser.parse_args()
    import_ultralytics(verbose=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in options.model or MODELS:
            model = make(name, options.weights, Path(folder))
            command = ["bench", str(options.pictures), "--model", str(model), "--mode", "thread", "--json"]
            command += ["--images", options.images, "--repeats", options.repeats]
            done = subprocess.run([sys.executable, "-m", "yolocli", *command], capture_output=True, check=True)
            for row in json.loads(done.stdout)["rows"]:
                whole = sorted(row["wall_seconds"])[len(row["wall_seconds"]) // 2]
                same = f"{row['matched']} of {row['boxes']} {row['things']}" if row["cell"] else ""
                rate = f"{row['median']:7.1f} images/s {row['ratio']:6.2f} x"
                print(f"{name:13}{row['name']:18}{rate} {whole:6.1f} s  {same}")


if __name__ == "__main__":
    main()
