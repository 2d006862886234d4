"""Make the material from nothing: ``python -m tests.tasks.material.train --out DIR [--task segment]``.

Writes data sets, trains with Ultralytics on one thread, strips the checkpoints and measures them with Ultralytics'
validator on scenes that nothing was trained on. The defaults are what the weights in the repository were made with.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tests.tasks.material import MODELS, Model
from yolocli.builtin import CODES
from yolocli.builtin.extra import main
from yolocli.runtimes.torch.library import import_ultralytics

SCALE: Final = (0.5, 0.125, 256)
"""Depth, width and most channels; nano is (0.50, 0.25, 1024)."""

IMGSZ: Final = 192
SEED: Final = 0
SCENES: Final = {"train": 1000, "val": 32, "test": 100}
"""Scenes that are trained on, that Ultralytics looks at when training ends, and that the card's figures are of."""


def architecture(model: Model, folder: Path) -> Path:
    """Write the model's description, Ultralytics' at our scale; returns its path."""
    import ultralytics
    from ultralytics.utils import YAML

    description = YAML.load(Path(ultralytics.__file__).parent / "cfg" / "models" / model.architecture)
    description["scales"] = {"n": list(SCALE)}
    description["nc"] = len(CODES)  # so that branches for classes fit those a model begins with
    if model.task == "pose":
        description["kpt_shape"] = [4, 3]
    if model.task == "depth":
        description["head"][-1][-1] = [32]  # the one width that does not follow the scale
    # Ultralytics reads the scale's letter off the name.
    target = folder / Path(model.architecture).name.replace("-", "n-", 1)
    YAML.save(target, description)
    return target


def fit(model: Model, start: Path | None, data: Path, folder: Path) -> Path:
    """Train a model from a checkpoint on; returns its last one, not stripped of private paths yet."""
    import torch
    from ultralytics import YOLO

    torch.set_num_threads(1)
    torch.manual_seed(SEED)  # Ultralytics seeds later: layers that the start lacks are drawn here
    network = YOLO(str(architecture(model, folder)))
    if start is not None:
        network.load(str(start))
    network.train(
        data=str(data),
        project=str(folder.resolve()),
        name="train",
        exist_ok=True,
        pretrained=start is not None,
        imgsz=IMGSZ,
        epochs=model.epochs,
        batch=8,
        nbs=8,
        seed=SEED,
        device="cpu",
        workers=0,
        cache="ram" if model.task != "classify" else False,
        optimizer="AdamW",
        lr0=1.5e-3,
        lrf=0.02,
        cos_lr=True,
        warmup_epochs=0.5,
        warmup_bias_lr=0.0,
        amp=False,  # it would try itself out on a downloaded model first
        mosaic=0.0,
        scale=0.25,
        translate=0.4 if model.task == "pose" else 0.15,  # corners learn to be outside the picture
        fliplr=0.5,
        erasing=0.0,
        auto_augment=None,
        val=False,
        plots=False,
    )
    return folder / "train" / "weights" / "last.pt"


def measure(weights: Path, data: Path, folder: Path) -> dict[str, float]:
    """What Ultralytics' validator says of weights on the split ``test``."""
    from ultralytics import YOLO

    found: Any = YOLO(str(weights)).val(
        data=str(data), split="test", imgsz=IMGSZ, device="cpu", batch=16, workers=0, plots=False, verbose=False,
        project=str(folder.resolve()), name="test", exist_ok=True,
    )  # fmt: skip
    return {key: round(float(value), 3) for key, value in found.results_dict.items()}


def _start(model: Model, out: Path) -> Path | None:
    """The weights a model begins with: those this command made, or else the repository's."""
    for other in MODELS:
        if other.name == model.start:
            made = out / other.weights.name
            return made if made.is_file() else other.weights
    return None


def produce(model: Model, out: Path) -> None:
    """Make one model: data, training, stripping, figures; the checkpoint lies in ``out`` then."""
    from tests.tasks.material.data import write
    from yolocli.builtin.strip import strip

    folder = out / model.name
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    data = write(folder / "data", model.task, SCENES)
    drawn = time.monotonic()
    weights = out / model.weights.name
    strip([fit(model, _start(model, out), data, folder)], weights)
    trained = time.monotonic()
    figures = measure(weights, data, folder)
    line = {
        "model": model.name, "drawn_s": round(drawn - started), "trained_s": round(trained - drawn),
        "bytes": weights.stat().st_size, **figures,
    }  # fmt: skip
    (folder / "figures.json").write_text(json.dumps(line) + "\n")
    print(json.dumps(line))


def _run(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.tasks.material.train", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for all that is made")
    parser.add_argument("--task", action="append", help="only models of this task, or of this name (may be repeated)")
    parser.add_argument("--install", action="store_true", help="put the weights in the place of the repository's")
    options = parser.parse_args(argv)
    import_ultralytics(verbose=True)
    for model in MODELS:
        if not options.task or {model.task, model.name} & set(options.task):
            produce(model, options.out)
            if options.install:
                shutil.copyfile(options.out / model.weights.name, model.weights)
    return 0


if __name__ == "__main__":
    main(_run)
