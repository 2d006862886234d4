"""What heads of masks, keypoints and rotated boxes give at anchors that count is what the whole network gives there.

The network is Ultralytics' own, as it was trained; those of detection are tested beside each runtime.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pytest

from tests.support import prepared
from tests.tasks.material import MODELS
from tests.tasks.predicted import weights_of
from yolocli.config import Precision
from yolocli.images.letterbox import Canvas
from yolocli.runtimes.openvino.convert import converted_model
from yolocli.runtimes.openvino.network import Network, Setting
from yolocli.runtimes.torch.library import import_ultralytics
from yolocli.tasks.base import Raw
from yolocli.tasks.candidates import BOX, CLASS, CONFIDENCE, OWN

pytestmark = pytest.mark.slow

NAMES = [model.name for model in MODELS if model.task in {"segment", "pose", "obb"}]
OWN_TOLERANCE = {"segment": 1e-3, "pose": 2e-3, "obb": 1e-5}
SIZES = [(96, 160), (32, 32), (32, 320), (224, 192)]
"""Heights and widths; of one of them the map of the largest stride is a single pixel."""
BATCH = 3


def pictures(size: tuple[int, int]) -> np.ndarray:
    """Noise with slopes, so that scores are spread."""
    height, width = size
    noise = np.random.default_rng(0).integers(0, 128, (BATCH, height, width, 3))
    return (noise + np.linspace(0, 127, width)[:, None].astype(int)).astype(np.uint8)


@lru_cache(maxsize=4)
def whole(name: str, size: tuple[int, int]) -> list[Raw]:
    """What the network gives of every anchor of the pictures."""
    import_ultralytics()
    import torch

    from yolocli.runtimes.torch.backend import load_backend, task_of
    from yolocli.runtimes.torch.load import network_output

    backend = load_backend(prepared(weights_of(name), runtime="torch"), torch.device("cpu"))
    with torch.inference_mode():
        pixels = torch.from_numpy(pictures(size)[..., ::-1].copy()).permute(0, 3, 1, 2).float() / 255
        output, maps = network_output(backend(pixels), task_of(backend, name))
    centre, sides, scores, own = np.split(output.numpy().transpose(0, 2, 1), [2, 4, 4 + len(backend.names)], 2)
    corners = [centre - sides / 2, centre + sides / 2]
    rows = np.concatenate([*corners, scores.max(2, keepdims=True), scores.argmax(2)[..., None], own], 2)
    return [Raw(*image) for image in zip(rows, [None] * BATCH if maps is None else maps.numpy(), strict=True)]


def between(raws: Sequence[Raw], share: float) -> float:
    """Returns a confidence that a share of the anchors does not exceed, and that no score is close to."""
    scores = np.sort(np.concatenate([raw.rows[:, CONFIDENCE] for raw in raws]))
    place = int(share * (len(scores) - 12))
    near = scores[place : place + 12]
    widest = int(np.diff(near).argmax())
    return float(near[widest : widest + 2].mean())


def assert_same(name: str, found: Sequence[Raw], confidence: float, size: tuple[int, int]) -> None:
    for ours, theirs in zip(found, whole(name, size), strict=True):
        expected = theirs.rows[theirs.rows[:, CONFIDENCE] > confidence]
        assert len(ours.rows) == len(expected)
        np.testing.assert_array_equal(ours.rows[:, CLASS], expected[:, CLASS])
        np.testing.assert_allclose(ours.rows[:, CONFIDENCE], expected[:, CONFIDENCE], atol=1e-5)
        np.testing.assert_allclose(ours.rows[:, BOX], expected[:, BOX], rtol=1e-5, atol=2e-3)
        tolerance = OWN_TOLERANCE[name.partition("-")[0]]
        np.testing.assert_allclose(ours.rows[:, OWN], expected[:, OWN], rtol=1e-5, atol=tolerance)
        assert (ours.maps is None) is (theirs.maps is None)
        if theirs.maps is not None:
            np.testing.assert_allclose(ours.maps, theirs.maps, atol=1e-3)


def confidences(name: str, size: tuple[int, int]) -> tuple[float, ...]:
    """That which all anchors exceed, one that some do, one that few do, and that which none does."""
    return 0.0, between(whole(name, size), 0.5), between(whole(name, size), 0.95), 1.0


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_torch_gives_what_the_whole_network_gives(name: str, size: tuple[int, int]) -> None:
    import_ultralytics()
    import torch

    from yolocli.runtimes.torch.heads import HEADS
    from yolocli.runtimes.torch.load import load

    canvases = [Canvas(pixels, *size[::-1]) for pixels in pictures(size)]
    for confidence in confidences(name, size):
        runtime = load(prepared(weights_of(name), runtime="torch", threads=1, confidence=confidence))
        if torch.backends.cpu.get_cpu_capability().startswith("AVX"):
            assert type(runtime._head) in HEADS.values(), "else this would not have run the other head"
        alone = [runtime.infer([canvas])[0] for canvas in canvases]
        assert_same(name, alone, confidence, size)
        for one, together in zip(alone, runtime.infer(canvases), strict=True):
            assert one.rows.tobytes() == together.rows.tobytes()
            assert (one.maps is None) or one.maps.tobytes() == together.maps.tobytes()


@pytest.mark.parametrize("few_boxes", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_openvino_gives_what_the_whole_network_gives(openvino: None, name: str, few_boxes: bool) -> None:
    folder = converted_model(weights_of(name), trust_weights=False)
    network = Network(Setting(folder, Precision.fp32, 1, few_boxes))
    assert network._graph.strides == (8, 16, 32), "else boxes are made by the graph"
    # of boxes, and of shares in masks, which are as the convolution gives them
    branches = 6 if name.startswith("segment") else 3
    assert len(network._branches) == (branches if few_boxes and "yolo11" in name else 0)
    for size in SIZES:
        images = pictures(size)
        for confidence in confidences(name, size):
            alone = [network.candidates(images[place : place + 1], confidence)[0] for place in range(BATCH)]
            assert_same(name, alone, confidence, size)
            # the first shape has a graph of its own, the others share one; a batch is another shape
            for one, together in zip(alone, network.candidates(images, confidence), strict=True):
                assert one.rows.tobytes() == together.rows.tobytes()
                assert (one.maps is None) or one.maps.tobytes() == together.maps.tobytes()
