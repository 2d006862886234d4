"""How the shipped weights are trained, on Ultralytics' own trainer.

Nothing here is larger than it must be: the shipped weights were made on two processor cores, in
two hours and twenty minutes. A GPU runs the same recipe.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import torch
import ultralytics
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.nn.tasks import DetectionModel, torch_safe_load
from ultralytics.utils import YAML
from ultralytics.utils.loss import v8DetectionLoss

from yolocli.builtin.scenes import write_yaml

SCALE: Final = (0.50, 0.1875, 512)
"""Depth, width and most channels of the YOLO11 that is trained; nano is (0.50, 0.25, 1024)."""

AVERAGED: Final = 3
"""Last stages whose weights are averaged ("Model soups", Wortsman et al., 2022): about as many marks are found as by
the best of them, and less in photographs is taken for one."""

LATE: Final[tuple[str | None, ...]] = (
    "close", "wild", None, "close", "wild", None, "close", None, "close", "wild",
)  # fmt: skip
"""Kinds of the late scenes, in turn: what the first stages leave weakest comes most."""


@dataclass(frozen=True)
class Stage:
    """A part of the training.

    Attributes:
        splits: Scenes it sees: ``train`` are of all kinds by chance, ``late`` of the kinds above.
        imgsz: Size that pictures are brought to, pixels.
        epochs: How often every scene is seen.
        lr0: Learning rate at the start; it falls to a fiftieth along a cosine.
        multi_scale: Share by which the size of a batch varies, up and down.
        batch: Pictures a step.
        cache: Where decoded pictures are kept, as Ultralytics takes it.
    """

    splits: tuple[str, ...]
    imgsz: int
    epochs: int
    lr0: float
    multi_scale: float = 0.0
    batch: int = 16
    cache: str | bool = False


def stages(imgsz: int, epochs: int) -> tuple[Stage, ...]:
    """Plan a training: most of it on pictures of half the size, where a step costs a fourth.

    Args:
        imgsz: Size of pictures at the end, pixels.
        epochs: How often scenes are seen, all stages together: of 17, nine at half the size.
    """
    half = max(64, imgsz // 64 * 32)
    most = max(64, imgsz // 160 * 128)
    late = max(1, epochs // 5)
    early = max(1, epochs - 2 - 2 * late)
    return (
        Stage(("train",), half, early, 2e-3, multi_scale=0.25, cache="ram"),
        Stage(("train",), imgsz, 1, 5e-4),
        Stage(("late",), imgsz, late, 1e-3),
        Stage(("train", "late"), most, late, 1e-3, multi_scale=0.25),
        Stage(("late",), imgsz, 1, 3e-4),
    )


class FullPrecisionLoss(v8DetectionLoss):  # type: ignore[misc]
    """The detection loss in 32 bits: half precision would round box edges by half a pixel."""

    def __call__(self, preds: Any, batch: dict[str, Any]) -> Any:
        """Compute the loss from the head's outputs, whatever their precision."""
        with torch.autocast(self.device.type, enabled=False):
            return super().__call__(_to_float(preds), batch)


def _to_float(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.float() if value.is_floating_point() else value
    if isinstance(value, dict):
        return {key: _to_float(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_to_float(item) for item in value)
    return value


class CodesTrainer(DetectionTrainer):  # type: ignore[misc]
    """Ultralytics' trainer with the memory layout and the precision that processors are fast at."""

    def get_model(self, cfg: Any = None, weights: Any = None, verbose: bool = True) -> DetectionModel:
        """Build the model, its convolutions laid out channels-last."""
        model = super().get_model(cfg, weights, verbose)
        return model.to(memory_format=torch.channels_last)

    def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Bring a batch to the device, scale it, lay it out like the model."""
        batch = super().preprocess_batch(batch)
        batch["img"] = batch["img"].contiguous(memory_format=torch.channels_last)
        if getattr(self.model, "criterion", None) is None:
            self._speed_up()
        return batch

    def _speed_up(self) -> None:
        # Done once training runs: the averaged copy that is saved was made before, and stays plain.
        torch.set_num_threads(os.cpu_count() or 1)  # Ultralytics leaves a core unused
        self.model.criterion = FullPrecisionLoss(self.model)
        if self.device.type == "cpu":  # where Ultralytics has no 16-bit training of its own
            self.model.predict = torch.autocast("cpu", torch.bfloat16)(self.model.predict)


def architecture(folder: Path) -> Path:
    """Write the model's description, Ultralytics' YOLO11 at our scale; returns its path."""
    source = Path(ultralytics.__file__).parent / "cfg" / "models" / "11" / "yolo11.yaml"
    description = YAML.load(source)
    description["scales"] = {"n": list(SCALE)}
    target = folder / "yolo11n-codes.yaml"  # Ultralytics reads the scale's letter off the name
    YAML.save(target, description)
    return target


def _finished(checkpoint: Path) -> bool:
    """Whether a stage ran to its end: its last checkpoint is stripped of the optimizer then."""
    return checkpoint.is_file() and torch_safe_load(str(checkpoint), safe_only=True)[0]["epoch"] == -1


SETTINGS: Mapping[str, Any] = MappingProxyType(
    {
        "optimizer": "AdamW",
        "lrf": 0.02,
        "cos_lr": True,
        "warmup_bias_lr": 0.0,
        "weight_decay": 5e-4,
        "amp": False,  # it would try itself out on a downloaded model first
        # Scenes are varied enough as they come: what is left is what costs nothing to add.
        "mosaic": 0.0,
        "scale": 0.25,
        "translate": 0.1,
        "fliplr": 0.5,
        "flipud": 0.2,
        "hsv_s": 0.5,
        "hsv_v": 0.3,
        "erasing": 0.0,
        "val": False,
        "plots": False,
    }
)
"""Of every stage, for Ultralytics' trainer."""


def fit(
    data: Path, out: Path, plan: tuple[Stage, ...], seed: int, device: str, workers: int, resume: bool = False
) -> tuple[Path, ...]:
    """Train through every stage.

    Args:
        data: Folder with the scenes of every split.
        out: Folder for checkpoints and logs.
        plan: Stages, each starting from the weights of the one before.
        seed: Seed of weights, shuffling and augmentation.
        device: As Ultralytics takes it; on ``cpu`` the network runs in bfloat16.
        workers: Processes that read pictures.
        resume: Skip the stages that an earlier run finished in the same folder.

    Returns:
        The checkpoints whose mean is the model, not stripped of private paths yet.
    """
    from ultralytics import YOLO

    start = architecture(out)
    ends: list[Path] = []
    for number, stage in enumerate(plan):
        name = f"stage{number}"
        last = out / name / "weights" / "last.pt"
        ends.append(last)
        if resume and _finished(last):
            start = last
            continue
        model = YOLO(str(start))
        model.train(
            trainer=CodesTrainer,
            data=str(write_yaml(data, stage.splits, "val")),
            project=str(out.resolve()),
            name=name,
            exist_ok=True,
            pretrained=number > 0,
            seed=seed,
            device=device,
            workers=workers,
            warmup_epochs=0.3 if number else 0.5,
            nbs=stage.batch,  # a step a batch: the default gathers 64 pictures first
            **SETTINGS,
            **{key: value for key, value in asdict(stage).items() if key != "splits"},
        )
        start = last
    return tuple(ends[-AVERAGED:])
