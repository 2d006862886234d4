"""The box branch of a network, run at a few anchors instead of at all.

Boxes take a sixth of yolo11n's time, and of 5040 anchors of a picture a hundred have a score that counts. A branch is
three convolutions (3x3, 3x3, 1x1): the last two are made at these anchors alone, the first where those look.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from yolocli.runtimes.openvino.nodes import before, constant

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Layer: TypeAlias = tuple[NDArray[np.float32], NDArray[np.float32]]

PLACES = 64
"""Places of a map that go through a graph together; what is missing is filled up, as a graph for one shape is faster
and gives a place the same numbers whatever others there are."""
OUTSIDE = -1
"""In place of a place: it is not on the map, and counts as zeros. What it points at is the last one of an array."""


@dataclass(frozen=True, slots=True)
class Branch:
    """What is computed for the anchors of one stride.

    Attributes:
        map: What it looks at, an output of the network's graph: (images, channels, rows, columns).
        layers: Weights (outputs, inputs, kernel, kernel) and bias, a number an output, of the convolutions.
    """

    map: Any
    layers: tuple[Layer, ...]


def branches(logits: Any) -> tuple[Branch, ...]:
    """Finds the branches that an output (images, anchors, 4 * distances) is joined from; none if it is otherwise.

    None, too, if they give a single number for each side: they are so narrow that leaving anchors out gains nothing.
    """
    joined = logits.get_node()
    if joined.get_type_name() != "Concat" or logits.get_partial_shape()[-1] == 4:
        return ()
    found = [_branch(part) for part in joined.input_values()]
    return tuple(branch for branch in found if branch) if all(found) else ()


def _branch(output: Any) -> Branch | None:
    """Goes up from rows of anchors to the map they are made from."""
    import numpy as np

    layers = []
    for kinds, kernel in (("Reshape", "Transpose"), 1), (("Swish",), 3), (("Swish",), 3):
        for kind in kinds:
            node = output.get_node()
            if node.get_type_name() != kind or (kind == "Swish" and node.get_input_size() != 1):
                return None
            output = node.input_value(0)
        added = output.get_node()
        biased = added.get_type_name() == "Add"  # not where the bias is zero
        convolution, bias = (before(added, 0), constant(added, 1)) if biased else (added, None)
        if biased and bias is None:
            return None
        if convolution.get_type_name() != "Convolution" or not _keeps_size(convolution.get_attributes(), kernel):
            return None
        weights = constant(convolution, 1)
        if weights is None or weights.shape[2:] != (kernel, kernel):
            return None
        bias = np.zeros(len(weights), np.float32) if bias is None else bias
        if bias.size != len(weights):
            return None
        layers.append((weights, bias))
        output = convolution.input_value(0)
    return Branch(output, tuple(reversed(layers)))


def _keeps_size(attributes: dict[str, Any], kernel: int) -> bool:
    border = [kernel // 2] * 2
    return (
        list(attributes["strides"]) == list(attributes["dilations"]) == [1, 1]
        and list(attributes["pads_begin"]) == list(attributes["pads_end"]) == border
    )


def graphs_of(ov: Any, branch: Branch) -> tuple[Any, Any]:
    """Makes the graphs of a branch: of its first convolution, and of the other two.

    Returns:
        OpenVINO's own objects. Input: 3x3 pixels around a place, row by row, (`PLACES`, 9 * channels). Output:
        (`PLACES`, channels), after the second one (`PLACES`, 4 * distances).
    """
    first, *rest = branch.layers
    return _graph_of(ov, [first], True), _graph_of(ov, rest, False)


def _graph_of(ov: Any, layers: Sequence[Layer], activated: bool) -> Any:
    from openvino import opset13 as ops

    matrices = [weights.transpose(2, 3, 1, 0).reshape(-1, len(weights)) for weights, _ in layers]
    node = pixels = ops.parameter([PLACES, len(matrices[0])], ov.Type.f32)
    for number, (matrix, (_, bias)) in enumerate(zip(matrices, layers, strict=True)):
        node = ops.add(ops.matmul(node, matrix, False, False), bias.reshape(1, -1))
        if activated or number < len(layers) - 1:
            node = ops.swish(node)
    return ov.Model([ops.result(node)], [pixels], "places")


def run(
    requests: Sequence[tuple[Any, Any]], maps: Sequence[NDArray[np.float32]], anchors: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Runs the branches at some anchors of an image.

    Args:
        requests: For each branch, to infer its `graphs_of` with.
        maps: For each branch, (rows, columns, channels).
        anchors: Positions, ascending, among those of all branches: one after the other, each row by row.

    Returns:
        Array (anchors, 4 * distances) of what boxes are made from.
    """
    import numpy as np

    parts, start = [], 0
    for (first, rest), pixels in zip(requests, maps, strict=True):
        height, width, channels = pixels.shape
        chosen = anchors[slice(*np.searchsorted(anchors, [start, start + height * width]))] - start
        start += height * width
        if not len(chosen):
            continue
        around = _around(height, width)
        near = around[chosen]
        needed = np.zeros(len(around) + 1, np.bool_)
        needed[near] = True
        places = needed[:OUTSIDE].nonzero()[0]
        numbers = np.full(len(around) + 1, OUTSIDE)
        numbers[places] = np.arange(len(places))
        seen = _infer(first, pixels.reshape(-1, channels), around[places])
        # the second convolution sees zeros outside the map, not what the first would make there
        parts.append(_infer(rest, seen, numbers[near]))
    width = requests[0][1].get_output_tensor(0).shape[1]
    return np.concatenate([np.zeros((0, width), np.float32), *parts])


@lru_cache(maxsize=48)
def _around(height: int, width: int) -> NDArray[np.intp]:
    """Returns the 3x3 places around each place of a map, (height * width, 9), `OUTSIDE` those that are not on it."""
    import numpy as np

    numbers = np.full((height + 2, width + 2), OUTSIDE)
    numbers[1:-1, 1:-1] = np.arange(height * width).reshape(height, width)
    return np.lib.stride_tricks.sliding_window_view(numbers, (3, 3)).reshape(-1, 9)


def _infer(request: Any, values: NDArray[np.float32], near: NDArray[np.intp]) -> NDArray[np.float32]:
    """Runs a graph on values (all places, channels) around the places that `near` (places, 9) says."""
    import numpy as np
    import openvino as ov

    output = request.get_output_tensor(0).data
    pixels = np.empty((-(-len(near) // PLACES) * PLACES, *near.shape[1:], values.shape[1]), np.float32)
    np.take(values, near, axis=0, out=pixels[: len(near)], mode="wrap")
    pixels[: len(near)][near == OUTSIDE] = 0
    pixels[len(near) :] = 0
    given = np.empty((len(pixels), output.shape[1]), np.float32)
    for start in range(0, len(pixels), PLACES):
        part = slice(start, start + PLACES)
        request.set_input_tensor(ov.Tensor(pixels[part].reshape(PLACES, -1), shared_memory=True))
        request.infer(share_outputs=True)
        given[part] = output
    return given[: len(near)]


@lru_cache(maxsize=16)
def anchors(height: int, width: int, strides: tuple[int, ...]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns an input's anchors: centres in units of their strides, (anchors, 2), and strides, (anchors, 1)."""
    import numpy as np

    points, sizes = [], []
    for stride in strides:
        rows, columns = np.mgrid[: height // stride, : width // stride].astype(np.float32)
        points.append(np.stack([columns.ravel(), rows.ravel()], 1) + np.float32(0.5))
        sizes.append(np.full((rows.size, 1), stride, np.float32))
    return np.concatenate(points), np.concatenate(sizes)


def distances(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the distances of sides from a few anchors, as Ultralytics' head does of all: means of distributions."""
    import numpy as np

    if logits.shape[1] == 4:  # they are the distances
        return logits
    bins = logits.reshape(len(logits), 4, logits.shape[1] // 4)
    shares = np.exp(bins - bins.max(2, keepdims=True))
    shares /= shares.sum(2, keepdims=True)
    distances: NDArray[np.float32] = (shares * np.arange(bins.shape[2], dtype=np.float32)).sum(2)
    return distances
