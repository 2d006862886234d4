"""OpenVINO on x86 CPUs. It needs neither torch nor Ultralytics: only the conversion of a checkpoint does."""

from __future__ import annotations

from collections.abc import Sequence

from yolocli.config import Precision
from yolocli.images.letterbox import Canvas
from yolocli.runtimes.base import BATCH_OF_MANY_THREADS, fixed_imgsz, frame_for
from yolocli.runtimes.openvino.network import Network, Setting
from yolocli.runtimes.plan import Prepared
from yolocli.tasks.base import Raw

FEW_BOXES_FROM = 0.05
"""Confidence from which on few anchors of an image count: 127 in a street scene at 0.25, 295 at 0.05. Their boxes alone
take as long as those of all 5040 do when some 900 of them count."""


def load(prepared: Prepared) -> OpenVinoRuntime:
    """Loads a model.

    Args:
        prepared: Its `path` is an OpenVINO model folder.

    Raises:
        ModelError: If the model cannot be loaded, or is no detector.
    """
    return OpenVinoRuntime(prepared)


class OpenVinoRuntime:
    """A network of its own; see `Runtime`."""

    def __init__(self, prepared: Prepared) -> None:
        folder, asked = prepared.path, prepared.asked
        precision = prepared.plan.precision or Precision.fp32
        network = Network(Setting(folder, precision, prepared.threads, asked.confidence >= FEW_BOXES_FROM))
        metadata = network.metadata
        self._network = network
        self._confidence = asked.confidence
        self.task = metadata.task
        self.facts = metadata.facts
        self.channels = metadata.channels
        self.suppressed = metadata.end_to_end
        self.description = f"openvino {precision.value} on cpu"
        fixed = network.fixed_size
        imgsz = fixed_imgsz(fixed, asked) if fixed else asked.imgsz or metadata.imgsz
        self.frame = frame_for(imgsz, metadata.stride, network.fixed_size is None, metadata.fit)
        self.best_batch = BATCH_OF_MANY_THREADS if prepared.threads > 1 else 1

    def infer(self, batch: Sequence[Canvas]) -> list[Raw]:
        """Runs the network on canvases of one shape; see `Runtime.infer`."""
        import numpy as np

        if len(batch) == 1:
            images = np.ascontiguousarray(batch[0].pixels)[None]
        else:
            images = np.stack([canvas.pixels for canvas in batch])
        return self._network.candidates(images, self._confidence)
