"""Boxes made at a few anchors are those that the whole network makes there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import prepared
from yolocli.config import Precision
from yolocli.runtimes.metadata import read_metadata
from yolocli.runtimes.openvino import load as openvino
from yolocli.runtimes.openvino.anchors import OUTSIDE, _around
from yolocli.runtimes.openvino.graph import for_images
from yolocli.runtimes.openvino.model_folder import graph_file
from yolocli.runtimes.openvino.network import Network, Setting
from yolocli.tasks.candidates import CONFIDENCE


def network(folder: Path, few_boxes: bool) -> Network:
    return Network(Setting(folder, Precision.fp32, 1, few_boxes))


def pictures(count: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)


def graph(folder: Path, few_boxes: bool = True) -> Any:
    import openvino as ov

    return for_images(ov, ov.Core().read_model(str(graph_file(folder))), read_metadata(folder), few_boxes)


@pytest.mark.parametrize("size", [(96, 160), (32, 32), (32, 320)])
def test_every_anchor_has_the_box_of_the_whole_network(converted: Path, size: tuple[int, int]) -> None:
    """At confidence -1 all anchors count, those at the borders with them; one map is a single pixel."""
    images = pictures(2, *size)
    few, whole = (network(converted, few_boxes).candidates(images, -1.0) for few_boxes in (True, False))
    assert len(graph(converted).branches) == 3
    for ours, theirs in zip(few, whole, strict=True):
        assert len(ours.rows) == sum(size[0] * size[1] // stride**2 for stride in (8, 16, 32))
        np.testing.assert_allclose(ours.rows, theirs.rows, rtol=1e-4, atol=2e-3)


def test_an_anchor_has_the_same_box_whatever_others_count(converted: Path) -> None:
    detector, images = network(converted, True), pictures(1, 96, 160)
    everything = detector.candidates(images, -1.0)[0].rows
    for share in (0.0, 0.3, 0.9):
        confidence = float(np.quantile(everything[:, CONFIDENCE], share))
        some = detector.candidates(images, confidence)[0].rows
        assert 0 < len(some) < len(everything)
        np.testing.assert_array_equal(some, everything[everything[:, CONFIDENCE] > confidence])


def test_an_image_where_nothing_counts(converted: Path) -> None:
    assert network(converted, True).candidates(pictures(1, 96, 160), 1.0)[0].rows.shape == (0, 6)


def test_boxes_come_from_a_few_anchors_only_if_few_count(converted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(openvino, "Network", lambda setting: asked.append(setting.few_boxes) or Network(setting))
    for confidence in (0.25, 0.001):
        openvino.load(prepared(converted, confidence=confidence, threads=1))
    assert asked == [True, False]


def test_a_graph_that_is_otherwise_is_left_whole(converted: Path) -> None:
    """Here, by its activation; quantised graphs have other operations between their layers."""
    import openvino as ov

    assert graph(converted, few_boxes=False).branches == ()
    model = ov.Core().read_model(str(graph_file(converted)))
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Swish":
            node.output(0).replace(ov.opset13.relu(node.input_value(0)).output(0))
    made = for_images(ov, model, read_metadata(converted), True)
    assert made.strides == (8, 16, 32)
    assert made.branches == ()


def test_a_graph_whose_bias_depends_on_the_image_is_left_whole(converted: Path) -> None:
    import openvino as ov

    ops = ov.opset13
    model = ov.Core().read_model(str(graph_file(converted)))
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Add" and node.input_value(0).get_node().get_type_name() == "Convolution":
            greatest = ops.reduce_max(node.input_value(0), np.array([1, 2, 3]), keep_dims=True)
            node.input(1).replace_source_output(ops.add(node.input_value(1), greatest).output(0))
    made = for_images(ov, model, read_metadata(converted), True)
    assert made.strides == (8, 16, 32)
    assert made.branches == ()


def test_places_around_a_place() -> None:
    around = _around(2, 3)
    assert around[4].tolist() == [0, 1, 2, 3, 4, 5, OUTSIDE, OUTSIDE, OUTSIDE]
    assert around[0].tolist() == [OUTSIDE] * 3 + [OUTSIDE, 0, 1] + [OUTSIDE, 3, 4]
    assert _around(1, 1)[0].tolist() == [OUTSIDE] * 4 + [0] + [OUTSIDE] * 4
