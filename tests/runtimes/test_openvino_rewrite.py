"""A rewritten graph gives the same numbers; one that only looks alike is left as it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from yolocli.runtimes.openvino.model_folder import graph_file
from yolocli.runtimes.openvino.rewrite import rewrite

CHANNELS, SIDE = 6, 8
MAP = (2, CHANNELS, SIDE, SIDE)
SMALL = (2, CHANNELS, SIDE // 2, SIDE // 2)


def kinds(model: Any) -> Counter[str]:
    return Counter(node.get_type_name() for node in model.get_ops())


def outputs(model: Any, arrays: list[np.ndarray]) -> list[np.ndarray]:
    from openvino import Core

    compiled = Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return [np.array(array) for array in compiled(arrays).values()]


def rewritten(model: Any) -> tuple[Counter[str], Counter[str]]:
    """Kinds of operations before and after a rewrite; checks that the outputs are the same."""
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=tuple(item.get_shape())).astype(np.float32) for item in model.inputs]
    before, expected = kinds(model), outputs(model, arrays)
    rewrite(model)
    model.validate_nodes_and_infer_types()
    for ours, theirs in zip(outputs(model, arrays), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    return before, kinds(model)


def parameter(shape: tuple[int, ...]) -> Any:
    from openvino import Type
    from openvino import opset13 as ops

    return ops.parameter(shape, Type.f32)


def enlarged(source: Any, mode: str = "nearest", pads: int = 0) -> Any:
    from openvino import opset13 as ops

    scales, axes = np.array([2, 2], np.float32), np.array([2, 3], np.int32)
    around = [0, 0, pads, pads]
    return ops.interpolate(
        source,
        scales,
        mode,
        "scales",
        pads_begin=around,
        pads_end=around,
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
        axes=ops.constant(axes),
    )


def convolved(source: Any, side: int = 1, stride: int = 1) -> Any:
    from openvino import opset13 as ops

    channels = source.output(0).get_partial_shape()[1].get_length()
    weights = np.random.default_rng(1).normal(size=(5, channels, side, side)).astype(np.float32)
    pads = [side // 2] * 2
    return ops.convolution(source, weights, [stride] * 2, pads, pads, [1, 1])


def biased(source: Any) -> Any:
    from openvino import opset13 as ops

    return ops.add(source, np.random.default_rng(2).normal(size=(1, 5, 1, 1)).astype(np.float32))


def enlarging(build: Callable[[Any, list[Any]], list[Any]], others: int = 1) -> Any:
    """A graph of a small map and large ones."""
    from openvino import Model
    from openvino import opset13 as ops

    small, large = parameter(SMALL), [parameter(MAP) for _ in range(others)]
    return Model([ops.result(node) for node in build(small, large)], [small, *large], "enlarging")


def join(*parts: Any) -> Any:
    from openvino import opset13 as ops

    return ops.concat(list(parts), 1)


def beside_what_else_is_joined(small: Any, large: list[Any]) -> list[Any]:
    joined = join(enlarged(small), large[0])
    return [convolved(joined), joined]


@pytest.mark.parametrize("others", [1, 2])
@pytest.mark.parametrize("with_bias", [False, True])
def test_a_map_is_enlarged_after_its_convolution(others: int, with_bias: bool) -> None:
    def build(small: Any, large: list[Any]) -> list[Any]:
        node = convolved(join(enlarged(small), *large))
        return [biased(node) if with_bias else node]

    model = enlarging(build, others)
    before, after = rewritten(model)
    assert after["Convolution"] == before["Convolution"] + 1
    assert after["Concat"] == before["Concat"] - (others == 1)
    (node,) = (node for node in model.get_ops() if node.get_type_name() == "Interpolate")
    assert node.input_value(0).get_node().get_type_name() == "Convolution"


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(lambda small, large: [convolved(join(enlarged(small), *large), side=3)], id="3x3"),
        pytest.param(lambda small, large: [convolved(join(enlarged(small), *large), stride=2)], id="stride"),
        pytest.param(lambda small, large: [convolved(join(enlarged(small, "linear_onnx"), *large))], id="linear"),
        pytest.param(lambda small, large: [convolved(join(*large, enlarged(small)))], id="second"),
        pytest.param(lambda small, large: [convolved(join(enlarged(small)))], id="alone"),
        pytest.param(beside_what_else_is_joined, id="used twice"),
    ],
)
def test_a_map_is_enlarged_where_it_was(build: Callable[[Any, list[Any]], list[Any]]) -> None:
    before, after = rewritten(enlarging(build))
    assert after == before


def test_an_enlargement_with_borders_is_left_alone() -> None:
    from openvino import Model
    from openvino import opset13 as ops

    small, large = parameter(SMALL), parameter((2, CHANNELS, SIDE + 4, SIDE + 4))
    node = convolved(join(enlarged(small, pads=1), large))
    before, after = rewritten(Model([ops.result(node)], [small, large], "borders"))
    assert after == before


def splitting(build: Callable[[Any, Any, Any], list[Any]], lengths: tuple[int, int] = (3, 3), axis: int = 1) -> Any:
    from openvino import Model
    from openvino import opset13 as ops

    whole = parameter(MAP)
    split = ops.variadic_split(whole, axis, list(lengths))
    first, second = split.output(0), split.output(1)
    return Model([ops.result(node) for node in build(whole, first, second)], [whole], "splitting")


@pytest.mark.parametrize("lengths", [(3, 3), (2, 4)])
def test_only_one_half_is_copied(lengths: tuple[int, int]) -> None:
    from openvino import opset13 as ops

    before, after = rewritten(
        splitting(lambda whole, first, second: [join(whole, first, second, ops.relu(second))], lengths)
    )
    assert before["VariadicSplit"] == 1
    assert (after["VariadicSplit"], after["Slice"]) == (0, 1)


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(lambda whole, first, second: [join(second, first)], id="turned round"),
        pytest.param(lambda whole, first, second: [join(first, whole, second)], id="apart"),
        pytest.param(lambda whole, first, second: [join(first, second), first], id="first used twice"),
        pytest.param(lambda whole, first, second: [join(first, whole), second], id="second elsewhere"),
    ],
)
def test_both_halves_are_copied(build: Callable[[Any, Any, Any], list[Any]]) -> None:
    before, after = rewritten(splitting(build))
    assert after == before


def test_halves_of_rows_are_left_alone() -> None:
    from openvino import opset13 as ops

    before, after = rewritten(
        splitting(lambda whole, first, second: [ops.concat([first, second], 2)], (SIDE // 2, SIDE // 2), axis=2)
    )
    assert after == before


def test_the_built_in_model_is_rewritten(converted: Path) -> None:
    """Its neck enlarges twice before a 1x1 convolution; each of its C3k2 blocks joins the halves of a split again."""
    from openvino import Core

    model = Core().read_model(str(graph_file(converted)))
    model.reshape([1, 3, 96, 160])
    before, after = rewritten(model)
    assert after["Convolution"] == before["Convolution"] + 2
    assert after["Slice"] - before["Slice"] >= 8
