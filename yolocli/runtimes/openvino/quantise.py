"""An OpenVINO model to one that computes in INT8, by NNCF."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from yolocli.errors import ModelError, install_hint
from yolocli.images.letterbox import Canvas
from yolocli.runtimes.metadata import read_metadata, write_metadata
from yolocli.runtimes.openvino.library import import_openvino
from yolocli.runtimes.openvino.model_folder import MODEL, graph_file, is_quantised

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")


def quantise(source: Path, folder: Path, samples: Sequence[T], load: Callable[[T], Canvas]) -> None:
    """Writes the INT8 form of a model.

    Weights and activations of all layers become INT8 but the last steps of the head, which turn features into boxes
    and scores: there one step of INT8 is several pixels. Same samples, same model.

    Args:
        source: Folder of an fp32 model with dynamic shapes.
        folder: Exists, and is empty; becomes a model's.
        samples: What to calibrate on, all of it.
        load: Gives the letterboxed image of a sample; called once or more for each.

    Raises:
        ModelError: If NNCF is missing, or the model is of a kind that cannot be quantised.
    """
    if is_quantised(source):
        raise ModelError(f"{source}: is an INT8 model already; give the weights it was made from")
    nncf, metadata = _import_nncf(), read_metadata(source)
    model = import_openvino().Core().read_model(str(graph_file(source)))
    shape = model.input(0).partial_shape
    if shape[2].is_static or shape[3].is_static:
        raise ModelError(f"{source}: a model for one size of image; give the weights it was made from")
    with contextlib.redirect_stdout(sys.stderr):  # progress bars
        quantised = nncf.quantize(
            model,
            nncf.Dataset(list(samples), lambda sample: _network_input(load(sample))),
            preset=nncf.QuantizationPreset.MIXED,  # activations of SiLU are not symmetric
            subset_size=len(samples),
            ignored_scope=nncf.IgnoredScope(names=[] if metadata.task.whole else _decoding(model)),
        )
    import_openvino().save_model(quantised, folder / MODEL, compress_to_fp16=False)
    write_metadata(folder, metadata, quantised=True)


def _decoding(model: Any) -> list[str]:
    """Returns the names of the operations that turn the head's features into boxes, scores and what belongs to them."""
    operations = model.get_ordered_ops()
    sigmoids = [op.get_friendly_name() for op in operations if op.get_type_name() == "Sigmoid"]
    if not sigmoids:
        raise ModelError("no YOLO head found in the graph; this model cannot be quantised")
    head = sigmoids[-1].split("/", 1)[0]
    names = [op.get_friendly_name() for op in operations]
    return [name for name in names if name in sigmoids or name.startswith((f"{head}/", f"{head}.rows/", f"{head}.dfl"))]


def _network_input(canvas: Canvas) -> NDArray[np.float32]:
    """Returns (1, channels, height, width), RGB or grey, 0 to 1."""
    import numpy as np

    planes = canvas.pixels[..., ::-1].transpose(2, 0, 1)[None]
    scaled: NDArray[np.float32] = np.ascontiguousarray(planes, np.float32) / np.float32(255)
    return scaled


def _import_nncf() -> Any:
    import_openvino()  # first: it keeps the telemetry that both share from being imported
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # that there is no CUDA
    try:
        import nncf
    except ImportError as error:
        raise ModelError(f"optimize needs NNCF: {install_hint('openvino')}") from error
    nncf.set_log_level(logging.ERROR)
    return nncf
