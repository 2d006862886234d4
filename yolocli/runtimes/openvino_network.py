"""An OpenVINO graph, compiled: one for all detectors of a process that are alike, an infer request for each of them."""

from __future__ import annotations

import threading
import weakref
from collections import Counter, OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from yolocli.config import Precision
from yolocli.errors import ModelError
from yolocli.runtimes.export_folder import Metadata, graph_file, is_quantised, read_metadata
from yolocli.runtimes.openvino_library import import_openvino

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PROMOTE_AFTER = 40
"""Runs of a shape after which a graph is compiled for that shape alone. It gives the same numbers and saves 4.7 ms
of 30 (yolo11n at 384x640), for some 0.2 s once, which is what 40 runs have then lost."""
FIXED_GRAPHS = 8
"""Graphs compiled for one shape at most; each holds weights and buffers of its own."""

Shape: TypeAlias = tuple[int, ...]
HINTS = {Precision.fp32: "f32", Precision.bf16: "bf16", Precision.int8: "f32"}


@dataclass(frozen=True, slots=True)
class Setting:
    """What two detectors must share to share a network.

    Attributes:
        folder: An export, see `export_folder`.
        precision: Of the arithmetic; what is quantised in the graph is INT8 whatever this says.
        threads: Threads of one infer request; 0 leaves the number to OpenVINO.
        streams: Infer requests that run at once.
    """

    folder: Path
    precision: Precision
    threads: int
    streams: int


class Network:
    """A graph for uint8 images, compiled for any shape, and for the shapes that come most for them alone.

    Attributes:
        metadata: Of the export.
        fixed_batch: Images that one run takes, exactly; None for any number.
        fixed_size: Height and width of the input in pixels; None for any multiple of the stride.
    """

    def __init__(self, setting: Setting) -> None:
        ov = import_openvino()
        self.metadata = read_metadata(setting.folder)
        self._core = ov.Core()
        if setting.precision is Precision.bf16 and "BF16" not in self._core.get_property(
            "CPU", "OPTIMIZATION_CAPABILITIES"
        ):
            raise ModelError("--precision bf16: this CPU has no bf16 arithmetic; use fp32")
        graph = graph_file(setting.folder)
        try:
            model = self._core.read_model(str(graph))
            shape = model.input(0).partial_shape
            self._model = _with_images(ov, model, self.metadata)
        except (RuntimeError, IndexError) as error:
            raise ModelError(f"{graph}: cannot be read by OpenVINO: {_first_line(error)}") from error
        self.fixed_batch = None if shape[0].is_dynamic else shape[0].get_length()
        sides = shape[2], shape[3]
        self.fixed_size = None if any(side.is_dynamic for side in sides) else tuple(s.get_length() for s in sides)
        self._properties = {
            # without it, a CPU that has bf16 or AMX uses that, and moves boxes
            "INFERENCE_PRECISION_HINT": HINTS[setting.precision],
            "NUM_STREAMS": setting.streams,
            # the scheduler knows which cores are free; OpenVINO pins the models of all processes to the same first ones
            "ENABLE_CPU_PINNING": False,
        }
        if setting.threads:
            self._properties["INFERENCE_NUM_THREADS"] = setting.threads * setting.streams
        self._lock = threading.Lock()
        self._fixed: OrderedDict[Shape, Any] = OrderedDict()
        self._seen: Counter[Shape] = Counter()
        self._any = None if self._needs_fixed_shapes(setting.folder) else self._compile(self._model)

    def compiled_for(self, shape: Shape) -> Any:
        """Returns the compiled graph to run an input of a shape with; counts that it was asked for.

        Args:
            shape: (images, height, width, channels).
        """
        with self._lock:
            if shape in self._fixed:
                self._fixed.move_to_end(shape)
                return self._fixed[shape]
            self._seen[shape] += 1
            if self._any is not None and (self._seen[shape] != PROMOTE_AFTER or len(self._fixed) >= FIXED_GRAPHS):
                return self._any
        model = self._model.clone()
        model.reshape(list(shape))
        compiled = self._compile(model)
        with self._lock:
            self._fixed[shape] = compiled
            if len(self._fixed) > FIXED_GRAPHS:
                self._fixed.popitem(last=False)
        return compiled

    def _compile(self, model: Any) -> Any:
        try:
            return self._core.compile_model(model, "CPU", self._properties)
        except RuntimeError as error:
            raise ModelError(f"OpenVINO cannot compile the model: {_first_line(error)}") from error

    def _needs_fixed_shapes(self, folder: Path) -> bool:
        """Tells of the CPUs on which OpenVINO crashes when it runs INT8 with dynamic shapes (AMX; its issue 37577)."""
        cpus = Path("/proc/cpuinfo")
        return self._model.is_dynamic() and is_quantised(folder) and cpus.exists() and "amx_int8" in cpus.read_text()


class Session:
    """A network's infer requests for one thread."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._requests: OrderedDict[Any, Any] = OrderedDict()  # by compiled graph

    def run(self, images: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Runs the network.

        Args:
            images: Array (images, height, width, channels), BGR or grey.

        Returns:
            What `candidates` reads. Valid until the next run.
        """
        import numpy as np

        size = self._network.fixed_batch
        if size is None or size == len(images):
            return self._run(images)
        runs = []
        for start in range(0, len(images), size):
            part = images[start : start + size]
            padded = np.concatenate([part, np.zeros((size - len(part), *part.shape[1:]), np.uint8)])
            runs.append([output[: len(part)].copy() for output in self._run(padded)])
        return [np.concatenate(outputs) for outputs in zip(*runs, strict=True)]

    def _run(self, images: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        import openvino as ov

        compiled = self._network.compiled_for(images.shape)
        request = self._requests.get(compiled)
        if request is None:
            request = self._requests[compiled] = compiled.create_infer_request()
            if len(self._requests) > FIXED_GRAPHS + 1:
                self._requests.popitem(last=False)
        request.set_input_tensor(ov.Tensor(images, shared_memory=True))
        request.infer(share_outputs=True)
        return [tensor.data for tensor in request.output_tensors]


def candidates(outputs: list[NDArray[np.float32]], image: int, confidence: float) -> NDArray[np.float32]:
    """Reads what a network found in one image.

    Args:
        outputs: Of `Session.run`: (images, boxes, 6) of a network that has done its own NMS; or the boxes of anchors,
            their best scores and all their scores, see `_with_best_score`.
        image: Position in the batch.
        confidence: Boxes above it are given.

    Returns:
        Array (n, 6) of x1, y1, x2, y2 in pixels, score, class, in memory of its own.
    """
    import numpy as np

    if len(outputs) == 1:
        done = outputs[0][image]
        above: NDArray[np.float32] = done[done[:, 4] > confidence]
        return above
    boxes, best, scores = (output[image] for output in outputs)
    found = best > confidence
    centre, half = boxes[found, :2], boxes[found, 2:] / 2
    of_found = scores[found] if len(scores) == len(best) else scores[:, found].T
    classes = of_found.argmax(1)[:, None].astype(np.float32)
    rows: NDArray[np.float32] = np.concatenate([centre - half, centre + half, best[found, None], classes], 1)
    return rows


_networks: weakref.WeakValueDictionary[Setting, Network] = weakref.WeakValueDictionary()
_networks_lock = threading.Lock()


def shared_network(setting: Setting) -> Network:
    """Returns the network of a setting, compiled by whoever asks first and kept while anyone uses it.

    Two models compiled for a thread each would be given the same core; one with two streams is not.

    Raises:
        ModelError: If it cannot be read or compiled.
    """
    with _networks_lock:
        network = _networks.get(setting)
        if network is None:
            network = _networks[setting] = Network(setting)
        return network


def _with_images(ov: Any, model: Any, metadata: Metadata) -> Any:
    """Puts into the graph what comes before and after the network, so that it is fast and holds no GIL.

    Before: uint8 to float, BGR to RGB, rows of pixels to planes, 255 to 1. After: the best score of each anchor, so
    that the host looks at the classes of those alone that count.
    """
    from openvino.preprocess import ColorFormat, PrePostProcessor

    steps = PrePostProcessor(model)
    image = steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    steps.input().model().set_layout(ov.Layout("NCHW"))
    process = steps.input().preprocess().convert_element_type(ov.Type.f32)
    if metadata.channels == 3:
        image.set_color_format(ColorFormat.BGR)
        process.convert_color(ColorFormat.RGB)
    process.scale(255.0)
    model = steps.build()
    rows = model.output(0).partial_shape[1]
    if not metadata.end_to_end and rows.is_static and rows.get_length() != 4 + len(metadata.names):
        raise ModelError(f"output of shape {model.output(0).partial_shape} is not that of a YOLO detector")
    return model if metadata.end_to_end else _with_best_score(ov, model)


def _with_best_score(ov: Any, model: Any) -> Any:
    """Replaces (images, 4 + classes, anchors) by three outputs.

    They are boxes (images, anchors, 4), best scores (images, anchors), and what the best class is found from:
    (images, anchors, classes) if the network has the numbers of an anchor side by side, see `detect_head`, else
    (images, classes, anchors).
    """
    from openvino import opset13 as ops

    whole = model.output(0).get_node().input_value(0)
    node = whole.get_node()
    if node.get_type_name() == "Transpose" and _kind(node, 0) == "Concat" and _kind(_before(node, 0), 1) == "Sigmoid":
        joined = _before(node, 0)
        boxes, scores = joined.input_value(0), _before(joined, 1).input_value(0)
        # the best is the best before the sigmoid, too, and only that one needs it
        best = ops.sigmoid(ops.reduce_max(scores, ops.constant([2], ov.Type.i32)))
    else:
        split = ops.variadic_split(whole, 1, [4, -1])
        boxes, scores = ops.transpose(split.output(0), [0, 2, 1]).output(0), split.output(1)
        best = ops.reduce_max(scores, ops.constant([1], ov.Type.i32))
    results = [ops.result(boxes), ops.result(best), ops.result(scores)]
    return ov.Model(results, model.get_parameters(), "detector")


def _before(node: Any, position: int) -> Any:
    return node.input_value(position).get_node()


def _kind(node: Any, position: int) -> str:
    kind: str = _before(node, position).get_type_name()
    return kind


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
