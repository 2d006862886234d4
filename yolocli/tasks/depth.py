"""depth: how far away each pixel is; the least, the median and the greatest of an image."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from yolocli.images.letterbox import Canvas, Fit
from yolocli.results import Detection, Findings
from yolocli.tasks.base import ModelFacts, Raw, Wanted
from yolocli.tasks.fields import Kind
from yolocli.tasks.whole import MAP, MAPS, Whole, agreement

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FIGURES = ("min", "median", "max")
METRE_DIGITS = 4
"""Decimals kept of a depth."""
SCALE_DIGITS = 9
"""Decimals of the depth that one step of a map stands for."""
LARGEST = 65535
"""Of a pixel of a map of 16 bits."""


class Depth(Whole):
    """See `Task`. A network gives depths in metres, (1, height, width) or (height, width)."""

    name: ClassVar[str] = "depth"
    fit: ClassVar[Fit] = "stretch"
    columns: ClassVar[tuple[str, ...]] = ("name", "class", *FIGURES)
    fields: ClassVar[Mapping[str, Kind]] = dict.fromkeys(FIGURES, float)
    image_fields: ClassVar[Mapping[str, Kind]] = {MAP: {"file": str, "metres_per_unit": float}}
    likeness_name: ClassVar[str] = "ratio of medians"

    def can_read(self, shape: tuple[int, ...]) -> bool:
        """See `Whole.can_read`."""
        return len(shape) == 2 or (len(shape) == 3 and shape[0] == 1)

    def read(self, raw: Raw, canvas: Canvas, facts: ModelFacts, wanted: Wanted) -> Findings:
        """Makes the record of an image; none where the network overflowed, for which JSON has no numbers."""
        import numpy as np

        from yolocli.images.enlarge import enlarged_to_image

        output = self.output(raw)
        if not np.isfinite(output).all():
            return Findings()
        depths = enlarged_to_image(output.reshape(output.shape[-2:]).astype(np.float32), canvas)
        more, files = _map(depths) if wanted.maps else ({}, {})
        figures = (depths.min(), np.median(depths, overwrite_input=True), depths.max())  # one map in memory is enough
        values = {name: round(float(value), METRE_DIGITS) for name, value in zip(FIGURES, figures, strict=True)}
        return Findings((Detection(facts.names.get(0, self.name), 0, more=values),), more, files)

    def likeness(self, one: Detection, other: Detection) -> float:
        """Returns the lesser median as a share of the greater; see `Task.likeness`."""
        return agreement(one.more["median"], other.more["median"])

    def cells(self, record: Detection) -> tuple[str | float, ...]:
        """See `Task.cells`."""
        return (record.name, record.class_id, *(record.more[name] for name in FIGURES))

    def caption(self, record: Detection) -> str:
        """Returns the least and the greatest depth; see `Task.caption`."""
        least, _, greatest = (record.more[name] for name in FIGURES)
        return f"{record.name} {least:.1f} to {greatest:.1f} m"


def _map(depths: NDArray[np.float32]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Returns what the record says of the file, and the file: in steps so small that the greatest depth just fits."""
    import numpy as np

    from yolocli.images.png import png

    scale = math.ceil(max(float(depths.max()), 1.0) / LARGEST * 10**SCALE_DIGITS) / 10**SCALE_DIGITS
    steps = np.empty(depths.shape, np.uint16)
    for row, values in zip(steps, depths, strict=True):
        row[:] = np.clip(np.rint(values / np.float32(scale)), 0, LARGEST)
    return {MAP: {"metres_per_unit": scale}}, {MAPS: png(steps)}
