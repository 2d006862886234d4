"""What comes before and after the network in an OpenVINO graph, and how its outputs are read."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from yolocli.errors import ModelError
from yolocli.runtimes.metadata import Metadata
from yolocli.runtimes.openvino.anchors import anchors, branches, distances, graphs_of, run
from yolocli.runtimes.openvino.nodes import before, kind
from yolocli.runtimes.openvino.rewrite import rewrite
from yolocli.tasks.base import Raw, Task
from yolocli.tasks.candidates import BOX, CONFIDENCE, cornered, no_rows, side_by_side

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DECODING = frozenset(
    {"Add", "Concat", "Divide", "Multiply", "ReduceSum", "Reshape", "Split", "Subtract", "VariadicSplit"}
)
"""Operations that may lie between what the last convolutions give and boxes, besides the softmax."""
WEIGHTS = frozenset({"Convert", "FakeQuantize", "Multiply", "Subtract"})
"""Operations that may lie between the weights as they are stored and their convolution."""


@dataclass(frozen=True, slots=True)
class Graph:
    """A graph for uint8 images (images, height, width, channels), BGR or grey.

    Attributes:
        model: OpenVINO's own object. Its output is that of the network where a task is for whole images, or (images,
            boxes, 6 + k) of a network that has done its own NMS, k being the numbers of the task's own. Else they are
            boxes (images, anchors, 4) as centre x, centre y, width, height, or what boxes are made from; the best score
            of each anchor (images, anchors); what the best class is found from: (images, anchors, classes) if the
            network has the numbers of an anchor side by side, else (images, classes, anchors); and the task's own
            (images, anchors, k), if it has some. Last come maps of a task that has some, with their channels last, too.
        task: Of the model.
        strides: Of the anchors, if the first output is what boxes are made from: for each side of a box the
            probabilities, before softmax, of its distance from the anchor, (images, anchors, 4 * distances), or this
            distance, (images, anchors, 4). Else none.
        branches: Graphs of what comes before that output, for each stride two; see `anchors.graphs_of`. Perhaps as many
            follow of what comes before the task's own, which is no output then. If there are some, in place of that
            output stand the maps they look at, (images, rows, columns, channels).
        in_shares: See `Metadata`.
    """

    model: Any
    task: Task
    strides: tuple[int, ...] = ()
    branches: tuple[tuple[Any, Any], ...] = ()
    in_shares: bool = False

    def candidates(
        self,
        outputs: list[NDArray[np.float32]],
        requests: Sequence[tuple[Any, Any]],
        image: int,
        size: tuple[int, int],
        confidence: float,
    ) -> Raw:
        """Reads what the network found in one image.

        Args:
            outputs: See `model`.
            requests: To infer `branches` with.
            image: Position in the batch.
            size: Height and width of the input.
            confidence: Boxes above it are given.

        Returns:
            What it found, in memory of its own.
        """
        import numpy as np

        if self.task.whole:
            return Raw(no_rows(), outputs[0][image].copy())
        parts = [output[image] for output in outputs]
        maps = parts.pop().copy() if self.task.maps else None
        if len(parts) == 1:
            done = parts[0][parts[0][:, CONFIDENCE] > confidence]
            if self.task.centred or self.in_shares:
                done[:, BOX] = cornered(done[:, BOX])
            if self.in_shares:
                done[:, BOX] *= np.array([*size[::-1]] * 2, np.float32)
            return Raw(done, maps)
        sources = len(self.strides) if self.branches else 1
        made_from, (best, scores, *more) = parts[:sources], parts[sources:]
        found = (best > confidence).nonzero()[0]
        if len(self.branches) > sources:
            own = run(requests[sources:], made_from, found)
        else:
            own = more[0][found] if more else np.zeros((len(found), 0), np.float32)
        boxes = run(requests[:sources], made_from, found) if self.branches else made_from[0][found]
        if self.strides:
            points, strides = (array[found] for array in anchors(*size, self.strides))
            boxes = self.task.place(distances(boxes), points, own) * strides
        of_found = scores[found] if len(scores) == len(best) else scores[:, found].T
        classes = of_found.argmax(1)[:, None].astype(np.float32)
        rows = np.concatenate(side_by_side([cornered(boxes)], best[found, None], classes, [own]), 1)
        return Raw(rows, None if maps is None else maps.transpose(2, 0, 1))


def for_images(ov: Any, model: Any, metadata: Metadata, few_boxes: bool = False) -> Graph:
    """Puts into a graph what comes before and after the network, so that it is fast and holds no GIL.

    Before: rows of pixels to planes, BGR to RGB, uint8 to float, 255 to 1. After: the best score of each anchor, so
    that the host looks at those alone that count. Boxes of the others are not made at all if that can be left out.

    Args:
        ov: The library.
        model: OpenVINO's own object, as it was read; it is changed.
        metadata: Of the model.
        few_boxes: Few anchors will count, so that it pays to run the branch that boxes come from at these alone.

    Raises:
        ModelError: If the outputs are not those of a YOLO detector.
    """
    rewrite(model)
    model = _with_pixels(ov, model, metadata.channels)
    if metadata.task.whole:
        return Graph(model, metadata.task)
    if len(model.outputs) <= metadata.task.maps:
        raise ModelError(f"{len(model.outputs)} output: that of a task with masks has two")
    rows = model.output(0).partial_shape[2 if metadata.end_to_end else 1]
    own = _own_columns(model, metadata)
    known = (6 if metadata.end_to_end else 4 + len(metadata.names)) + own
    if rows.is_static and rows.get_length() != known:
        raise ModelError(f"output of shape {model.output(0).partial_shape} is not that of a YOLO detector")
    if metadata.end_to_end:
        return Graph(model, metadata.task, in_shares=metadata.in_shares)
    return _with_best_score(ov, model, metadata, few_boxes)


def _own_columns(model: Any, metadata: Metadata) -> int:
    """Returns how many numbers a task has of its own for a box; where it has maps, there are as many of these.

    Raises:
        ModelError: If what the model says of them is damaged.
    """
    said = metadata.task.extra(metadata.facts)
    maps = model.output(1).partial_shape[1] if metadata.task.maps else None
    return int(maps.get_length()) if maps is not None and maps.is_static else said


def _with_pixels(ov: Any, model: Any, channels: int) -> Any:
    """Replaces the input, RGB planes of [0, 1], by bytes as they are decoded.

    Channels are swapped in the weights where that can be, and the transpose comes last: the convolution takes pixels
    with their channels side by side, so that nothing is left to be moved. That saves 0.8 ms of 24 (yolo11n, 384x640).
    """
    from openvino import opset13 as ops

    swapped = channels != 3 or _swap_channels(ov, model)
    planar = model.input(0).get_node()
    images, planes, height, width = planar.get_output_partial_shape(0)
    pixels = ops.parameter(ov.PartialShape([images, height, width, planes]), ov.Type.u8)
    scaled = ops.divide(ops.convert(pixels, "f32"), ops.constant(255, ov.Type.f32))
    if not swapped:
        scaled = ops.gather(scaled, ops.constant([2, 1, 0], ov.Type.i32), ops.constant(3, ov.Type.i32))
    moved = ops.transpose(scaled, ops.constant([0, 3, 1, 2], ov.Type.i32))
    for target in planar.output(0).get_target_inputs():
        target.replace_source_output(moved.output(0))
    return ov.Model(model.get_results(), [pixels], "detector")


def _swap_channels(ov: Any, model: Any) -> bool:
    """Makes the first convolution take BGR; False if it is not plain to see how."""
    import numpy as np

    stored = _first_weights(model)
    if stored is None:
        return False
    (target,) = stored.output(0).get_target_inputs()
    turned = ov.op.Constant(ov.Tensor(np.ascontiguousarray(stored.get_data()[:, ::-1])))
    target.replace_source_output(turned.output(0))
    return True


def _first_weights(model: Any) -> Any:
    """Returns the constant with the weights of the convolution that takes the image, None if there is no such one."""
    node, port = model.input(0).get_node(), 0
    while node.get_type_name() != "Convolution":
        targets = node.output(0).get_target_inputs()
        if len(targets) != 1 or (node.get_type_name() == "FakeQuantize" and not _is_of_all(node, 1)):
            return None
        (target,) = targets
        node, port = target.get_node(), target.get_index()
        if port != 0 or node.get_type_name() not in {"Convolution", "FakeQuantize"}:
            return None
    node = before(node, 1)
    while node.get_type_name() in WEIGHTS:
        if not _is_of_all(node, 1):
            return None
        node = before(node, 0)
    known = (
        node.get_type_name() == "Constant" and len(node.get_output_shape(0)) == 4 and node.get_output_shape(0)[1] == 3
    )
    return node if known and len(node.output(0).get_target_inputs()) == 1 else None


def _is_of_all(node: Any, axis: int) -> bool:
    """Tells whether the other inputs of an operation have one number for all along an axis of the first."""
    shapes = [list(node.get_input_shape(port)) for port in range(1, node.get_input_size())]
    rank = node.get_input_partial_shape(0).rank.get_length()
    return all(([1] * (rank - len(shape)) + shape)[axis] == 1 for shape in shapes)


def _with_best_score(ov: Any, model: Any, metadata: Metadata, few_boxes: bool) -> Graph:
    """Replaces the output (images, 4 + classes + k, anchors) by those of `Graph`."""
    from openvino import opset13 as ops

    whole = model.output(0).get_node().input_value(0)
    node = whole.get_node()
    own = _own_columns(model, metadata)
    more, logits = [], None
    if node.get_type_name() == "Transpose" and kind(node, 0) == "Concat" and kind(before(node, 0), 1) == "Sigmoid":
        joined = before(node, 0)
        boxes, scores = joined.input_value(0), before(joined, 1).input_value(0)
        more = [joined.input_value(2)] if own else []
        # the best is the best before the sigmoid, too, and only that one needs it
        best = ops.sigmoid(ops.reduce_max(scores, ops.constant([2], ov.Type.i32)))
        logits = _logits(boxes.get_node())
    else:
        split = ops.variadic_split(whole, 1, [4, len(metadata.names), own] if own else [4, -1])
        boxes, scores = split.output(0), split.output(1)
        more = [ops.transpose(split.output(2), [0, 2, 1])] if own else []
        boxes = ops.transpose(boxes, [0, 2, 1]).output(0)
        best = ops.reduce_max(scores, ops.constant([1], ov.Type.i32))
    strides = () if logits is None else _strides(ov, logits, model, metadata)
    found = branches(logits) if strides and few_boxes else ()
    own_found = branches(more[0]) if found and more else ()
    if own_found and [branch.map for branch in own_found] == [branch.map for branch in found]:
        found, more = (*found, *own_found), []
    looked_at = [branch.map for branch in found[: len(strides)]]
    made_from = [ops.transpose(one, [0, 2, 3, 1]) for one in looked_at] or [logits if strides else boxes]
    # as they lie in memory there: to bring them into another order takes 1.5 ms of 54 (yolo11n-seg at 384x640)
    maps = [ops.transpose(model.output(1).get_node().input_value(0), [0, 2, 3, 1])] if metadata.task.maps else []
    results = [ops.result(output) for output in (*made_from, best, scores, *more, *maps)]
    graphs = tuple(graphs_of(ov, branch) for branch in found)
    return Graph(ov.Model(results, model.get_parameters(), "detector"), metadata.task, strides, graphs)


def _logits(boxes: Any) -> Any:
    """Returns what the one softmax on the way to boxes is fed with, or the distances that are split there, or None."""
    import numpy as np

    for node in _decoding(boxes):
        if node.get_type_name() == "VariadicSplit" and kind(node, 0) == "Concat":
            sides = node.input_value(0)
            if sides.get_partial_shape()[-1] == 4:
                return sides
        if node.get_type_name() == "Softmax" and kind(node, 0) == "Reshape":
            mean = [target.get_node() for target in node.output(0).get_target_inputs()]
            factors = [before(mean[0], port) for port in range(mean[0].get_input_size())]
            distances = [factor.get_data().ravel() for factor in factors if factor.get_type_name() == "Constant"]
            if len(mean) == len(distances) == 1 and np.array_equal(distances[0], np.arange(len(distances[0]))):
                return before(node, 0).input_value(0)
    return None


def _decoding(boxes: Any) -> Iterator[Any]:
    """Yields the operations that make boxes, from the last one on."""
    waiting, seen = [boxes], set()
    while waiting:
        node = waiting.pop(0)
        if node.get_name() not in seen:
            seen.add(node.get_name())
            yield node
            if node.get_type_name() in DECODING:
                waiting += [before(node, port) for port in range(node.get_input_size())]


def _strides(ov: Any, logits: Any, model: Any, metadata: Metadata) -> tuple[int, ...]:
    """Returns the strides of the anchors, each twice the one before; none if their number is not that of such ones."""
    from openvino import opset13 as ops

    probe = ov.Model([ops.result(logits)], model.get_parameters(), "probe").clone()
    if probe.is_dynamic():
        side = 2 * metadata.stride
        probe.reshape([1, side, side, metadata.channels])
    _, height, width, _ = probe.input(0).shape
    count = probe.output(0).shape[1]
    for levels, largest in itertools.product(range(1, 6), (metadata.stride, metadata.stride // 2)):
        strides = tuple(largest >> level for level in reversed(range(levels)))
        if sum((height // stride) * (width // stride) for stride in strides) == count:
            return strides
    return ()
