"""What becomes of models that are converted, fused or saved in ways of their own, and what is refused with a reason."""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from tests.families.made import make
from tests.families.test_families import PICTURES, _same_rows
from tests.support import detector, run
from yolocli.errors import ModelError
from yolocli.images.letterbox import Canvas
from yolocli.images.picture import Picture
from yolocli.runtimes import RUNTIMES
from yolocli.runtimes.openvino import convert
from yolocli.runtimes.openvino.convert import drawn_picture
from yolocli.runtimes.torch.library import import_ultralytics

pytestmark = pytest.mark.slow
IMGSZ = 160


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("YOLOCLI_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(
        convert, "_convert_apart", lambda weights, folder, trust: convert.convert(weights, folder, trust_weights=trust)
    )


@pytest.mark.parametrize("kind", ["openvino", "torchscript"])
def test_an_rtdetr_that_ultralytics_converted_is_told_by_its_head(kind: str, openvino: None, tmp_path: Path) -> None:
    weights = make("yolov8n-rtdetr.yaml", "plain", tmp_path / "best.pt", PICTURES, IMGSZ)
    from ultralytics import RTDETR

    model = RTDETR(str(weights))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns of every Python number in the head
        exported = Path(RTDETR(str(weights)).export(format=kind, imgsz=IMGSZ, verbose=False))
    for runtime in RUNTIMES if kind == "openvino" else ["torch"]:
        outcomes, _ = run(*PICTURES, model=str(exported), runtime=runtime, workers=1, trust_weights=True)
        for outcome in outcomes:
            # Ultralytics lets OpenVINO compute in bf16 where a CPU can, so the weights are what to compare with
            if runtime == "openvino" or kind == "torchscript":
                (answer,) = model.predict(outcome.ref.source, batch=1, verbose=False)
                _same_rows([box.to_dict() for box in outcome.detections], answer, outcome.path)
            else:
                assert len(outcome.detections) > 1


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.usefixtures("openvino", "in_this_process")
def test_a_head_that_needs_no_nms_takes_fewer_anchors_than_it_gives_boxes(runtime: str, tmp_path: Path) -> None:
    """A narrow image at a small size: 84 anchors, where 300 boxes are the rule."""
    weights = make("yolo26n.yaml", "one-to-one", tmp_path / "best.pt", PICTURES, IMGSZ)
    pixels = drawn_picture(32, 3)[0][:32, :128]
    loaded = detector(weights, runtime=runtime, confidence=0.0, imgsz=(128, 128))
    (canvas,) = loaded.prepare(Picture(pixels))
    assert canvas.shape[:2] == (32, 128)
    (raw,) = loaded.infer([canvas])
    assert len(raw.rows) == 4 * 16 + 2 * 8 + 1 * 4


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.usefixtures("openvino", "in_this_process")
def test_more_boxes_than_usual_of_a_head_that_needs_no_nms(runtime: str, tmp_path: Path) -> None:
    weights = make("yolo26n.yaml", "one-to-one", tmp_path / "best.pt", PICTURES, 320)
    for asked in (5, 300, 400):
        (outcome,), _ = run(
            PICTURES[0], model=str(weights), runtime=runtime, confidence=0.001, max_detections=asked, workers=1
        )
        assert len(outcome.detections) == asked


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.usefixtures("openvino", "in_this_process")
def test_a_prompt_free_yoloe_finds_in_a_batch_what_it_finds_alone(runtime: str, tmp_path: Path) -> None:
    """It looks for a class only at anchors that some image of the batch has something at."""
    weights = make("yoloe-11n.yaml", "prompt-free", tmp_path / "best.pt", PICTURES, IMGSZ)
    loaded = detector(weights, runtime=runtime, threads=1, confidence=0.1)
    canvases = [Canvas(image, 288, 224) for image in (*drawn_picture(32, 3), *drawn_picture(32, 3)[:, :, ::-1].copy())]
    alone = [loaded.finish(loaded.infer([canvas]), [canvas]) for canvas in canvases]
    together = [loaded.finish([raw], [canvas]) for raw, canvas in zip(loaded.infer(canvases), canvases, strict=True)]
    assert any(found.detections for found in alone)
    assert together == alone


def test_as_many_anchors_as_a_row_has_columns_are_no_rows(tmp_path: Path) -> None:
    """How many anchors a prompt-free YOLOE keeps follows from the image; six of them look like rows done with NMS."""
    weights = make("yoloe-11n.yaml", "prompt-free", tmp_path / "best.pt", PICTURES, IMGSZ)
    content: dict[str, Any] = torch.load(weights, weights_only=False)
    for layer in content["model"].model[-1].lrpc:  # no score is so low that it is 0
        nn.init.zeros_(layer.vocab.bias)
        nn.init.normal_(layer.vocab.weight, std=0.01)
    torch.save(content, weights)
    loaded: Any = detector(weights, runtime="torch", confidence=0.0)
    head = loaded._runtime._backend.backend.model.model[-1]
    canvas = Canvas(drawn_picture(32, 3)[0][64:96, 64:96], 32, 32)
    seen: list[torch.Tensor] = []
    hooks = [
        layer.pf.register_forward_hook(lambda *args: seen.append(args[2][:, 0].sigmoid())) for layer in head.lrpc[:2]
    ]
    loaded.infer([canvas])
    for hook in hooks:
        hook.remove()
    scores = torch.cat([one.flatten() for one in seen]).sort(descending=True).values
    head.conf = float(scores[4] + scores[5]) / 2  # five of these, and the one of the largest stride
    (raw,) = loaded.infer([canvas])
    assert raw.rows.shape == (6, 6)
    assert {int(index) for index in raw.rows[:, 5]} <= set(loaded.names)
    assert (raw.rows[:, 2:4] > raw.rows[:, :2]).all()


@pytest.mark.usefixtures("openvino", "in_this_process")
def test_a_model_of_grey_pictures(tmp_path: Path) -> None:
    weights = make("yolo11n.yaml", "plain", tmp_path / "best.pt", PICTURES, IMGSZ, channels=1)
    from ultralytics import YOLO

    model = YOLO(str(weights))
    for runtime in RUNTIMES:
        for outcome in run(*PICTURES, model=str(weights), runtime=runtime, workers=1)[0]:
            (answer,) = model.predict(outcome.ref.source, batch=1, verbose=False)
            _same_rows([box.to_dict() for box in outcome.detections], answer, outcome.path)


def refusal(model: Path, runtime: str) -> str:
    with pytest.raises(ModelError) as raised:
        run(PICTURES[0], model=str(model), runtime=runtime, workers=1)
    assert str(model) in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.usefixtures("openvino", "in_this_process")
def test_what_is_refused_says_why(runtime: str, tmp_path: Path) -> None:
    import_ultralytics()
    from ultralytics import YOLO
    from ultralytics.nn.tasks import DetectionModel

    many = YOLO("yolo11n.yaml")
    many.model, many.ckpt = DetectionModel("yolo11n.yaml", ch=4, verbose=False), {}
    many.model.task = "detect"
    many.save(tmp_path / "many.pt")
    assert "takes 4 channels; images have 1 or 3" in refusal(tmp_path / "many.pt", runtime)

    YOLO("yoloe-11n.yaml").save(tmp_path / "yoloe.pt")
    assert "no classes yet" in refusal(tmp_path / "yoloe.pt", runtime)

    of_sam = {"image_encoder.pos_embed": torch.zeros(3), "mask_decoder.iou_token.weight": torch.zeros(2)}
    torch.save(of_sam, tmp_path / "sam_b.pt")
    torch.save({"model": of_sam}, tmp_path / "sam2_b.pt")
    for name in ("sam_b.pt", "sam2_b.pt"):
        assert "SAM is of another kind" in refusal(tmp_path / name, runtime)


def test_a_name_that_ultralytics_takes_for_another_is_refused() -> None:
    """Its rule looks at the whole path: a letter u anywhere, and it does not hold."""
    import_ultralytics()
    from ultralytics import YOLO

    for _ in range(100):
        with tempfile.TemporaryDirectory(prefix="x") as folder:
            if "u" not in folder:
                YOLO("yolov5n.yaml").save(Path(folder) / "yolov5n.pt")
                assert "Ultralytics loads yolov5nu.pt in place of" in refusal(Path(folder) / "yolov5n.pt", "torch")
                return
    pytest.skip("temporary folders lie where a path has the letter")


class CLIP(nn.Module):
    """Stands in a checkpoint for the text encoder, whose library is not here."""


def test_a_yolo_world_that_was_saved_with_its_text_encoder_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "clip" in sys.modules:
        pytest.skip("clip is installed")
    weights = make("yolov8n-worldv2.yaml", "world", tmp_path / "best.pt", PICTURES, IMGSZ)
    content: dict[str, Any] = torch.load(weights, weights_only=False)
    module: Any = ModuleType("ultralytics.nn.text_model")
    module.CLIP = CLIP
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, module.__name__, module)
        patch.setattr(CLIP, "__module__", module.__name__)
        content["model"].clip_model = CLIP()
        torch.save(content, weights)
    assert "clip_model = None" in refusal(weights, "torch")


def test_boxes_in_shares_that_are_not_said_to_be_are_refused(tmp_path: Path) -> None:
    """As RT-DETR gives them, without the metadata that says so."""

    class Network(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.full((1, 300, 6), 0.5) + 0 * images.mean()

    import_ultralytics()
    torch.jit.trace(Network(), torch.zeros(1, 3, 64, 64)).save(str(tmp_path / "old.torchscript"))
    loaded = detector(tmp_path / "old.torchscript", runtime="torch", trust_weights=True)
    canvases = loaded.prepare(Picture(drawn_picture(32, 3)[0]))
    with pytest.raises(ModelError, match="export it again"):
        loaded.infer(canvases)
