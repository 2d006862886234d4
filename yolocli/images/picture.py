"""An image as it is once it is decoded, and what is known of where it came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels: TypeAlias = NDArray[np.uint8]

UPRIGHT = 1


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded image.

    Attributes:
        pixels: uint8 array (height, width, channels) of BGR or grey, upright.
        format: Of the file, as Pillow calls it; None when it knows none.
        stored: Width and height in the file, before it was turned upright; None when its header could not be read.
        orientation: How it lies in the file, 1 to 8, as the tag Orientation of EXIF and TIFF has it; 1 when nothing is
            said of it. The pixels are as the decoder made of that: some formats have their own way to say it.
    """

    pixels: Pixels
    format: str | None = None
    stored: tuple[int, int] | None = None
    orientation: int = UPRIGHT

    @property
    def width(self) -> int:
        """Pixels of the upright image."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Pixels of the upright image."""
        return int(self.pixels.shape[0])
