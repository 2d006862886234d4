"""OpenVINO on x86 CPUs. It needs neither torch nor Ultralytics: only the conversion of a checkpoint does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from yolocli.config import DetectorConfig, Precision
from yolocli.errors import ModelError
from yolocli.images.letterbox import Canvas
from yolocli.runtimes.base import BATCH_OF_MANY_THREADS, DETECT, fixed_imgsz, frame_for
from yolocli.runtimes.openvino.network import Network, Setting

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FEW_BOXES_FROM = 0.05
"""Confidence from which on few anchors of an image count: 127 in a street scene at 0.25, 295 at 0.05. Their boxes alone
take as long as those of all 5040 do when some 900 of them count."""


def load(config: DetectorConfig) -> OpenVinoRuntime:
    """Loads a model.

    Args:
        config: Settled by `choose_runtime`: its `model`, or what it was `converted` to, is an export folder.

    Raises:
        ModelError: If the model cannot be loaded, or is no detector.
    """
    return OpenVinoRuntime(config)


class OpenVinoRuntime:
    """A network of its own; see `Runtime`."""

    def __init__(self, config: DetectorConfig) -> None:
        folder = Path(config.converted or config.model)
        precision = config.precision or Precision.fp32
        network = Network(Setting(folder, precision, config.threads, config.confidence >= FEW_BOXES_FROM))
        metadata = network.metadata
        if metadata.task != DETECT:
            raise ModelError(f"{folder}: a model for '{metadata.task}'; only detection models are supported so far")
        self._network = network
        self._confidence = config.confidence
        self.names: Mapping[int, str] = metadata.names
        self.channels = metadata.channels
        self.suppressed = metadata.end_to_end
        self.description = f"openvino {precision.value} on cpu"
        self.best_batch = BATCH_OF_MANY_THREADS if config.threads > 1 else 1
        fixed = network.fixed_size
        imgsz = fixed_imgsz(fixed, config) if fixed else config.imgsz or metadata.imgsz
        self.frame = frame_for(imgsz, metadata.stride, network.fixed_size is None)

    def infer(self, batch: Sequence[Canvas]) -> list[NDArray[np.float32]]:
        """Runs the network on canvases of one shape; see `Runtime.infer`."""
        import numpy as np

        if len(batch) == 1:
            images = np.ascontiguousarray(batch[0].pixels)[None]
        else:
            images = np.stack([canvas.pixels for canvas in batch])
        return self._network.candidates(images, self._confidence)
