"""What is changed in a graph leaves its numbers alone, and is left out where it cannot be seen to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from yolocli.config import Precision
from yolocli.runtimes.metadata import read_metadata
from yolocli.runtimes.openvino import graph as openvino_graph
from yolocli.runtimes.openvino.graph import anchors, for_images
from yolocli.runtimes.openvino.model_folder import graph_file
from yolocli.runtimes.openvino.network import Network, Setting
from yolocli.runtimes.torch.library import import_ultralytics
from yolocli.tasks.detect import Detect


def candidates(folder: Path, confidence: float = -1.0) -> np.ndarray:
    images = np.random.default_rng(0).integers(0, 256, (1, 96, 160, 3), np.uint8)
    return Network(Setting(folder, Precision.fp32, 1)).candidates(images, confidence)[0].rows


def read(folder: Path) -> Any:
    from openvino import Core

    return Core().read_model(str(graph_file(folder)))


def kinds(graph: Any) -> list[str]:
    return [node.get_type_name() for node in graph.model.get_ops()]


def test_pixels_go_to_the_convolution_as_they_are(converted: Path) -> None:
    import openvino as ov

    graph = for_images(ov, read(converted), read_metadata(converted))
    assert "Gather" not in kinds(graph)[:10], "channels are swapped in the weights"
    assert graph.strides == (8, 16, 32)
    assert graph.model.input(0).get_element_type() == ov.Type.u8


def test_swapping_channels_in_the_graph_gives_the_same(converted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_weights = candidates(converted)
    monkeypatch.setattr(openvino_graph, "_first_weights", lambda model: None)
    in_graph = candidates(converted)
    np.testing.assert_allclose(in_weights, in_graph, rtol=1e-4, atol=2e-3)


@pytest.mark.parametrize("confidence", [-1.0, 0.001, 1.0])
def test_boxes_made_on_the_host_are_those_of_the_graph(
    converted: Path, monkeypatch: pytest.MonkeyPatch, confidence: float
) -> None:
    on_host = candidates(converted, confidence)
    monkeypatch.setattr(openvino_graph, "_strides", lambda *arguments: ())
    in_graph = candidates(converted, confidence)
    np.testing.assert_allclose(on_host, in_graph, rtol=1e-4, atol=2e-3)
    assert len(on_host) == {-1.0: 12 * 20 + 6 * 10 + 3 * 5, 1.0: 0}.get(confidence, len(on_host))


def test_anchors_are_those_of_ultralytics() -> None:
    import_ultralytics()
    import torch
    from ultralytics.utils.tal import make_anchors

    maps = [torch.zeros(1, 1, 96 // stride, 160 // stride) for stride in (8, 16, 32)]
    points, strides = make_anchors(maps, torch.tensor([8.0, 16.0, 32.0]), 0.5)
    for ours, theirs in zip(anchors(96, 160, (8, 16, 32)), (points, strides), strict=True):
        np.testing.assert_array_equal(ours, theirs.numpy())


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [((8, 16, 32), (8, 16, 32)), ((16, 32), (16, 32)), ((4, 8, 16), (4, 8, 16)), ((8, 32), ())],
)
def test_strides_are_told_from_the_number_of_anchors(sizes: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Of a graph that has an anchor for every so many pixels, and nothing else."""
    import openvino as ov
    from openvino import opset13 as ops

    pixels = ops.parameter(ov.PartialShape([-1, -1, -1, 3]), ov.Type.f32)
    maps = [
        ops.reshape(
            ops.max_pool(ops.transpose(pixels, [0, 3, 1, 2]), [size] * 2, [1, 1], [0, 0], [0, 0], [size] * 2).output(0),
            [0, 3, -1],
            True,
        )
        for size in sizes
    ]
    logits = ops.transpose(ops.concat(maps, 2), [0, 2, 1]).output(0)
    model = ov.Model([ops.result(logits)], [pixels], "anchors")
    metadata = _metadata(stride=32)
    assert openvino_graph._strides(ov, logits, model, metadata) == expected


def _metadata(stride: int) -> Any:
    from yolocli.runtimes.metadata import Metadata

    return Metadata({0: "x"}, stride, (640, 640), Detect(), 3, False)
