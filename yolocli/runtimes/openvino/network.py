"""An OpenVINO graph, compiled for one detector.

Detectors share none. A compiled graph can serve many threads, but hands each image over to a thread of its own and
back; a graph for one CPU runs in the thread that asks. With two workers on two cores that gave 56 to 61 images/s
against 52 to 55, for some 45 MiB a worker more.
"""

from __future__ import annotations

import errno
import os
import threading
from collections import Counter, OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from yolocli.config import Precision
from yolocli.errors import ModelError
from yolocli.machine.threads import LIMITED
from yolocli.runtimes.metadata import read_metadata
from yolocli.runtimes.openvino.graph import for_images
from yolocli.runtimes.openvino.library import import_openvino
from yolocli.runtimes.openvino.model_folder import graph_file, is_quantised
from yolocli.tasks.base import Raw

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PROMOTE_AFTER = 40
"""Runs of a shape after which a graph is compiled for that shape alone; the first shape has one at once, as it is
often the only one. It gives the same numbers and saves 4.7 ms of 30 (yolo11n at 384x640), for some 0.2 s once, which
is what 40 runs have then lost."""
FIXED_GRAPHS = 8
"""Graphs compiled for one shape at most; each holds weights and buffers of its own."""

Shape: TypeAlias = tuple[int, ...]
HINTS = {Precision.fp32: "f32", Precision.bf16: "bf16", Precision.int8: "f32"}


_building = threading.Lock()
"""OpenVINO's binding deadlocks on first use if several threads put graphs together."""


@dataclass(frozen=True, slots=True)
class Setting:
    """How to compile a network.

    Attributes:
        folder: Of the model, see `model_folder`.
        precision: Of the arithmetic; what is quantised in the graph is INT8 whatever this says.
        threads: Threads it runs on; 0 leaves the number to OpenVINO.
        few_boxes: Few anchors of an image will count; see `for_images`.
    """

    folder: Path
    precision: Precision
    threads: int
    few_boxes: bool = False


class Network:
    """A graph for uint8 images, compiled for any shape, and for the shapes that come most for them alone.

    For one thread at a time.

    Attributes:
        metadata: Of the model.
        fixed_batch: Images that one run takes, exactly; None for any number.
        fixed_size: Height and width of the input in pixels; None for any multiple of the stride.
    """

    def __init__(self, setting: Setting) -> None:
        self.metadata = read_metadata(setting.folder)
        with _building:
            self._put_together(setting)

    def _put_together(self, setting: Setting) -> None:
        ov = import_openvino()
        self._core = ov.Core()
        if setting.precision is Precision.bf16 and "BF16" not in self._core.get_property(
            "CPU", "OPTIMIZATION_CAPABILITIES"
        ):
            raise ModelError("--precision bf16: this CPU has no bf16 arithmetic; use fp32")
        graph = graph_file(setting.folder)
        try:
            model = self._core.read_model(str(graph))
            shape = model.input(0).partial_shape
            self._graph = for_images(ov, model, self.metadata, setting.few_boxes)
        except (RuntimeError, IndexError) as error:
            raise ModelError(f"{graph}: cannot be read by OpenVINO: {_first_line(error)}") from error
        self.fixed_batch = None if shape[0].is_dynamic else shape[0].get_length()
        sides = shape[2], shape[3]
        self.fixed_size = None if any(side.is_dynamic for side in sides) else tuple(s.get_length() for s in sides)
        self._properties = {
            # without it, a CPU that has bf16 or AMX uses that, and moves boxes
            "INFERENCE_PRECISION_HINT": HINTS[setting.precision],
            "NUM_STREAMS": 1,
            # the scheduler knows which cores are free; OpenVINO pins the models of all processes to the same first ones
            "ENABLE_CPU_PINNING": False,
        }
        if setting.threads:
            self._properties["INFERENCE_NUM_THREADS"] = setting.threads
        self._fixed: OrderedDict[Shape, Any] = OrderedDict()
        self._seen: Counter[Shape] = Counter()
        self._only_fixed = self._needs_fixed_shapes(setting.folder)
        self._any: Any = None
        self._branches = [(self._compile(first), self._compile(rest)) for first, rest in self._graph.branches]

    def candidates(self, images: NDArray[np.uint8], confidence: float) -> list[Raw]:
        """Runs the network.

        Args:
            images: Array (images, height, width, channels), BGR or grey.
            confidence: Boxes above it are given.

        Returns:
            What was found on each image.
        """
        import numpy as np

        size = self.fixed_batch or len(images)
        found = []
        for start in range(0, len(images), size):
            part = images[start : start + size]
            missing = size - len(part)
            full = np.concatenate([part, np.zeros((missing, *part.shape[1:]), np.uint8)]) if missing else part
            outputs = self._run(full)
            side = images.shape[1:3]
            found += [
                self._graph.candidates(outputs, self._branches, image, side, confidence) for image in range(len(part))
            ]
        return found

    def request_for(self, shape: Shape) -> Any:
        """Returns the infer request to run an input of a shape with; counts that it was asked for.

        Args:
            shape: (images, height, width, channels).
        """
        if shape not in self._fixed:
            self._seen[shape] += 1
            if not self._deserves_its_own(shape):
                self._any = self._any or self._compile(self._graph.model)
                return self._any
            with _building:
                model = self._graph.model.clone()
                model.reshape(list(shape))
            self._fixed[shape] = self._compile(model)
            if len(self._fixed) > FIXED_GRAPHS:
                self._fixed.popitem(last=False)
        self._fixed.move_to_end(shape)
        return self._fixed[shape]

    def _run(self, images: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        import openvino as ov

        request = self.request_for(images.shape)
        request.set_input_tensor(ov.Tensor(images, shared_memory=True))
        request.infer(share_outputs=True)
        return [tensor.data for tensor in request.output_tensors]

    def _deserves_its_own(self, shape: Shape) -> bool:
        if self._only_fixed or not self._fixed:
            return True
        return self._seen[shape] >= PROMOTE_AFTER and len(self._fixed) < FIXED_GRAPHS

    def _compile(self, model: Any) -> Any:
        try:
            return self._core.compile_model(model, "CPU", self._properties).create_infer_request()
        except RuntimeError as error:
            reason = _first_line(error)
            advice = f"; {LIMITED}" if os.strerror(errno.EAGAIN) in reason else ""  # it may not start its threads
            raise ModelError(f"OpenVINO cannot compile the model: {reason}{advice}") from error

    def _needs_fixed_shapes(self, folder: Path) -> bool:
        """Tells of the CPUs on which OpenVINO crashes when it runs INT8 with dynamic shapes (AMX; its issue 37577)."""
        cpus = Path("/proc/cpuinfo")
        return (
            self._graph.model.is_dynamic() and is_quantised(folder) and cpus.exists() and "amx_int8" in cpus.read_text()
        )


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
