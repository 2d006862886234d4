"""classify: the five best classes, as Ultralytics' predict names them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.tasks.predicted import found_by
from tests.tasks.whole import files, loaded, odd, predicted, weights
from yolocli.errors import ModelError
from yolocli.images.fit import crop
from yolocli.images.letterbox import Canvas, Frame
from yolocli.tasks.base import ModelFacts, Raw, Wanted
from yolocli.tasks.candidates import no_rows
from yolocli.tasks.classify import Classify

MODEL = weights("classify")
CANVAS = Canvas(np.zeros((32, 32, 3), np.uint8), 32, 32)
RUNTIMES = ("torch", "openvino")


def read(scores: list[float], names: dict[int, str] | None = None, **wanted: Any) -> list[tuple[int, float | None]]:
    facts = ModelFacts(names or {index: str(index) for index in range(len(scores))})
    records = Classify().read(Raw(no_rows(), np.array(scores, np.float32)), CANVAS, facts, Wanted(**wanted)).detections
    return [(record.class_id, record.confidence) for record in records]


def test_the_five_best_are_recorded_by_falling_score() -> None:
    assert read([0.01, 0.3, 0.02, 0.4, 0.05, 0.2, 0.02]) == [(3, 0.4), (1, 0.3), (5, 0.2), (4, 0.05), (2, 0.02)]
    assert read([0.25, 0.75]) == [(1, 0.75), (0, 0.25)]
    assert read([0.0, 1.0]) == [(1, 1.0), (0, 0.0)], "no confidence is too small"


def test_of_equal_scores_the_first_class_comes_first() -> None:
    assert [index for index, _ in read([0.1] * 10)] == [0, 1, 2, 3, 4]


def test_the_best_of_those_wanted_are_recorded() -> None:
    assert read([0.01, 0.3, 0.02, 0.4, 0.05, 0.2], classes=frozenset((0, 3))) == [(3, 0.4), (0, 0.01)]


def test_only_the_best_is_compared() -> None:
    records = (
        Classify()
        .read(Raw(no_rows(), np.array([0.2, 0.8], np.float32)), CANVAS, ModelFacts({0: "a", 1: "b"}), Wanted())
        .detections
    )
    assert [record.name for record in Classify().judged(records)] == ["b"]
    assert Classify().judged(()) == ()


@pytest.mark.slow
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_records_are_those_of_predict(runtime: str, openvino: None, tmp_path: Path) -> None:
    ours = loaded(MODEL, runtime, confidence=0.9, max_detections=1)
    for path in (*files(), *odd(tmp_path)):
        expected = predicted(MODEL, path).summary()
        records = found_by(ours, path).detections
        assert [record.name for record in records] == [record["name"] for record in expected], path
        for record, other in zip(records, expected, strict=True):
            assert record.class_id == other["class"]
            assert record.confidence == pytest.approx(other["confidence"], abs=1e-3), path


@pytest.mark.slow
@pytest.mark.parametrize("imgsz", [(96, 96), (64, 224)])
def test_records_are_those_of_predict_at_other_sizes(imgsz: tuple[int, int]) -> None:
    ours = loaded(MODEL, "torch", imgsz=imgsz)
    for path in files()[:6]:
        expected = {record["class"]: record["confidence"] for record in predicted(MODEL, path, imgsz=imgsz).summary()}
        records = {record.class_id: record.confidence for record in found_by(ours, path).detections}
        assert records == pytest.approx(expected, abs=1e-3), path


def transforms_of(imgsz: tuple[int, int]) -> Callable[[Any], Any]:
    """The part of Ultralytics' transforms that makes pixels of pixels."""
    from ultralytics.data.augment import classify_transforms

    from yolocli.runtimes.torch.library import import_ultralytics

    import_ultralytics()
    resize, cut, *_ = classify_transforms(imgsz).transforms
    return lambda image: cut(resize(image))


@pytest.mark.slow
def test_pixels_are_those_of_the_transforms() -> None:
    from PIL import Image

    random = np.random.default_rng(0)
    sizes = [(1080, 1920), (1920, 1080), (900, 420), (426, 640), (1, 1), (1, 60), (60, 1), (223, 225), (10, 700)]
    sizes += [tuple(side) for side in np.exp(random.uniform(0, 6.5, (60, 2))).astype(int).tolist()]
    moved = total = 0
    for imgsz in ((224, 224), (192, 192), (64, 96)):
        transforms = transforms_of(imgsz)
        for height, width in sizes:
            if max(height, width) > 100 * min(height, width):
                continue  # the transforms make all of it first
            image = random.integers(0, 256, (height, width, 3), np.uint8)
            expected = np.asarray(transforms(Image.fromarray(image)))
            canvas = crop(image, Frame(*imgsz, 32, True, "crop"))
            apart = np.abs(canvas.pixels.astype(int) - expected)
            assert apart.max() <= 1, (height, width, imgsz)
            moved, total = moved + (apart > 0).sum(), total + apart.size
            assert (canvas.width, canvas.height) == (width, height)
            assert canvas.pixels.flags.writeable, "OpenVINO takes no other"
    assert moved < total / 1000


def test_a_long_strip_is_cut_before_it_is_scaled() -> None:
    strip = np.zeros((1, 60_000, 3), np.uint8)
    strip[:, 29_000:31_000] = 200
    assert crop(strip, Frame(320, 320, 32, True, "crop")).pixels.min() == 200  # the whole would take 24 GB


def changed_model(path: Path, change: Callable[[Any], None]) -> Path:
    """The small model with something changed."""
    from yolocli.runtimes.torch.library import import_ultralytics

    import_ultralytics()
    import torch

    checkpoint = torch.load(MODEL, weights_only=False)
    change(checkpoint["model"])
    torch.save(checkpoint, path)
    return path


@pytest.mark.slow
def test_a_normalisation_of_the_checkpoint_is_followed(openvino: None, tmp_path: Path) -> None:
    import torch
    from torchvision import transforms

    def normalise(model: Any) -> None:
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        model.transforms = transforms.Compose([*model.transforms.transforms[:3], transforms.Normalize(mean, std)])

    model = changed_model(tmp_path / "normalised.pt", normalise)
    changed = 0
    detectors = [loaded(model, runtime) for runtime in RUNTIMES]
    for path in files()[:6]:
        expected = {record["class"]: record["confidence"] for record in predicted(model, path).summary()}
        changed += expected != {record["class"]: record["confidence"] for record in predicted(MODEL, path).summary()}
        for ours in detectors:
            records = {record.class_id: record.confidence for record in found_by(ours, path).detections}
            assert records == pytest.approx(expected, abs=1e-3), path
    assert changed


def test_other_transforms_are_refused(tmp_path: Path) -> None:
    from torchvision import transforms

    def flip(model: Any) -> None:
        model.transforms = transforms.Compose([*model.transforms.transforms, transforms.RandomHorizontalFlip()])

    model = changed_model(tmp_path / "flipped.pt", flip)
    with pytest.raises(ModelError, match=r"flipped\.pt: its images .* not supported .*, RandomHorizontalFlip\)"):
        loaded(model, "torch", trust_weights=True)


@pytest.mark.slow
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_grey_model_takes_grey_images(runtime: str, openvino: None, tmp_path: Path) -> None:
    def grey(model: Any) -> None:
        first = model.model[0].conv
        first.weight.data = first.weight.data.sum(1, keepdim=True)
        first.in_channels, model.yaml["channels"] = 1, 1
        del model.transforms

    ours, colour = loaded(changed_model(tmp_path / "grey.pt", grey), runtime), loaded(MODEL, runtime)
    assert ours.channels == 1
    picture = tmp_path / "grey.png"
    cv2.imwrite(str(picture), np.random.default_rng(0).integers(0, 256, (300, 400), np.uint8))
    records, expected = found_by(ours, picture).detections, found_by(colour, picture).detections
    assert [record.name for record in records] == [record.name for record in expected]
    assert [record.confidence for record in records] == pytest.approx([one.confidence for one in expected], abs=1e-3)


def test_a_line_of_pixels_takes_little_memory() -> None:
    """Scaled as a whole, its rows alone would take gigabytes."""
    code = """
import numpy as np
from yolocli.images.fit import crop
from yolocli.images.letterbox import Frame
from yolocli.machine.memory import peak_memory
line = np.zeros((20_000, 1, 3), np.uint8)
for image in (line, line.transpose(1, 0, 2)):
    assert crop(image, Frame(224, 224, 32, False, "crop")).pixels.shape == (224, 224, 3)
print(peak_memory())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert int(done.stdout) < 1_500_000_000
