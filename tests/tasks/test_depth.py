"""depth: how far away each pixel is, as Ultralytics' predict says it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.tasks.predicted import found_by
from tests.tasks.whole import SIZES, files, loaded, odd, pixels, predicted, weights
from yolocli.images.enlarge import enlarged_to_image
from yolocli.images.fit import stretch
from yolocli.images.letterbox import Canvas, Frame
from yolocli.tasks.base import ModelFacts, Raw, Wanted
from yolocli.tasks.candidates import no_rows
from yolocli.tasks.depth import Depth

MODEL = weights("depth")
FRAME = Frame(192, 160, 32, False, "stretch")


def canvas_of(height: int, width: int) -> Canvas:
    return stretch(np.zeros((height, width, 3), np.uint8), FRAME)


def read(depths: NDArray[Any], canvas: Canvas, names: dict[int, str] | None = None) -> Any:
    return Depth().read(Raw(no_rows(), depths.astype(np.float32)), canvas, ModelFacts(names or {}), Wanted(maps=True))


def test_a_map_is_enlarged_as_torch_does_it() -> None:
    import torch
    from torch.nn.functional import interpolate

    random = np.random.default_rng(0)
    for height, width in (*SIZES, (700, 300)):
        for stride in (4, 1):
            depths = random.random((FRAME.height // stride, FRAME.width // stride), np.float32) + 0.1
            whole = torch.from_numpy(depths)[None, None]
            for shape in ((FRAME.height, FRAME.width), (height, width)):
                whole = interpolate(whole, shape, mode="bilinear", align_corners=True)
            ours = enlarged_to_image(depths, canvas_of(height, width))
            np.testing.assert_allclose(ours, whole[0, 0].numpy(), rtol=5e-4, err_msg=f"{height} x {width}")


def test_the_record_has_the_least_the_median_and_the_greatest() -> None:
    depths = np.linspace(1, 3, FRAME.height * FRAME.width).reshape(FRAME.height, FRAME.width)
    for shape in (depths, depths[None]):
        (record,) = read(shape, canvas_of(FRAME.height, FRAME.width)).detections
        assert record.to_dict() == {"name": "depth", "class": 0, "min": 1.0, "median": 2.0, "max": 3.0}
    (record,) = read(depths, canvas_of(48, 48), {0: "far"}).detections
    assert record.name == "far"


@pytest.mark.parametrize("greatest", [0.5, 3.0, 80.0, 700.0])
def test_the_map_says_how_its_steps_are_read(greatest: float) -> None:
    scale = max(greatest, 1) / 65535
    depths = np.linspace(0, greatest, FRAME.height * FRAME.width).reshape(FRAME.height, FRAME.width)
    findings = read(depths, canvas_of(FRAME.height, FRAME.width))
    seen = pixels(findings)
    assert seen.dtype == np.uint16
    assert findings.more["map"] == {"metres_per_unit": pytest.approx(scale, abs=1e-9)}
    np.testing.assert_allclose(seen * findings.more["map"]["metres_per_unit"], depths, atol=scale * 0.51)


def test_there_is_no_record_where_the_network_overflowed() -> None:
    for value in (np.nan, np.inf):
        depths = np.ones((FRAME.height, FRAME.width))
        depths[3, 4] = value
        findings = read(depths, canvas_of(64, 64))
        assert (findings.detections, findings.more, findings.files) == ((), {}, {})


def test_maps_are_made_for_who_asks_only() -> None:
    raw = Raw(no_rows(), np.ones((1, 48, 40), np.float32))
    findings = Depth().read(raw, canvas_of(64, 64), ModelFacts({}), Wanted())
    assert (len(findings.detections), findings.more, findings.files) == (1, {}, {})


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["torch", "openvino"])
def test_records_and_maps_are_those_of_predict(runtime: str, openvino: None, tmp_path: Path) -> None:
    ours = loaded(MODEL, runtime)
    for path in (*files(), *odd(tmp_path)):
        answer = predicted(MODEL, path)
        expected = answer.depth.data.numpy().reshape(answer.orig_shape)
        findings = found_by(ours, path)
        (record,) = findings.detections
        figures = {"min": expected.min(), "median": np.median(expected), "max": expected.max()}
        assert dict(record.more) == pytest.approx(figures, rel=1e-3), path
        scale = findings.more["map"]["metres_per_unit"]
        np.testing.assert_allclose(pixels(findings) * scale, expected, rtol=1e-3, atol=0.51 * scale, err_msg=str(path))
