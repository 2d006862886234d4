"""Pillow as a reader of headers, and of the pixels that OpenCV cannot read.

Files go to Pillow's plugins directly and not through `Image.open`: what that finds depends on the openers that somebody
has registered before. Ultralytics even replaces it with a function that registers one for HEIF when it first meets a
file that is no image. Here, what is found depends on the bytes alone.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from yolocli.errors import ImageError, install_hint
from yolocli.images.png import exif_of_png

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

PLUGINS: Mapping[str, str] = MappingProxyType(
    {
        "JPEG": "JpegImagePlugin",
        "PNG": "PngImagePlugin",
        "BMP": "BmpImagePlugin",
        "WEBP": "WebPImagePlugin",
        "TIFF": "TiffImagePlugin",
        "JPEG2000": "Jpeg2KImagePlugin",
        "AVIF": "AvifImagePlugin",
        "GIF": "GifImagePlugin",
        "PPM": "PpmImagePlugin",
        "SUN": "SunImagePlugin",
    }
)
"""The formats that OpenCV or Pillow is asked to read here, by Pillow's name, and the modules that register them."""
AVIF_BRANDS = frozenset({b"avif", b"avis"})
HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"})
EIGHT_BITS = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})
"""Modes whose conversion to RGB loses nothing but alpha."""
XMP = ("xmp", "XML:com.adobe.xmp")
"""What Pillow calls it, which has an orientation of its own."""

_limit_lock = threading.Lock()


def opened(data: bytes) -> Image.Image | None:
    """Returns an image of which only the header has been read; None when it is of no format in `PLUGINS`, nor HEIF.

    Raises:
        ImageError: If it is a HEIF, and the package that reads those is not installed.
    """
    from PIL import Image

    if _is_heif(data):
        return _opened_heif(data)
    for name, module in PLUGINS.items():
        try:
            import_module(f"PIL.{module}")
            factory, accepts = Image.OPEN[name]
            if accepts is None or accepts(data[:16]) is True:
                with _no_limit():
                    return factory(io.BytesIO(data), "")
        except Exception:  # plugins raise whatever the bytes make them, or are not there
            continue
    return None


def _is_heif(data: bytes) -> bool:
    """Tells by the file type box (ISO/IEC 14496-12, 4.3), which AVIF has, too."""
    if data[4:8] != b"ftyp":
        return False
    box = data[8 : min(int.from_bytes(data[:4], "big"), 256)]
    brands = {box[at : at + 4] for at in range(0, len(box), 4) if at != 4}  # the second is a version
    return bool(brands & HEIF_BRANDS) and not brands & AVIF_BRANDS


def _opened_heif(data: bytes) -> Image.Image | None:
    try:
        from pi_heif import HeifImageFile
    except ImportError:
        raise ImageError("UnsupportedFormat", f"HEIC needs an extra: {install_hint('heif')}") from None
    try:
        return HeifImageFile(io.BytesIO(data))  # type: ignore[no-any-return]
    except Exception:  # as above
        return None


def exif(image: Image.Image, data: bytes) -> Image.Exif:
    """Returns the EXIF of an image, without decoding its pixels.

    Args:
        image: From `opened`.
        data: Its whole file.

    Raises:
        Exception: Whatever damaged bytes make Pillow raise.
    """
    from PIL import Image

    forget_xmp(image)
    # Pillow would decode a PNG to come to what is behind its pixels
    if image.format == "PNG" and "exif" not in image.info and (found := exif_of_png(data)):
        image.info["exif"] = found
    return Image.Image.getexif(image)


def forget_xmp(image: Image.Image) -> None:
    """Lets EXIF alone say how an image lies in its file, as OpenCV does; Pillow goes by XMP where EXIF is silent."""
    for name in XMP:
        image.info.pop(name, None)
    image._exif = None  # as it was read when the file was opened it may have the orientation of XMP


def pixels(image: Image.Image, channels: int, bits: int = 16) -> NDArray[np.uint8] | None:
    """Returns the upright pixels of an image, 8-bit BGR or grey; None when they cannot be decoded.

    Args:
        image: From `opened`; it is changed.
        channels: 3 for BGR, 1 for grey.
        bits: Of samples that Pillow gives as 16-bit numbers.
    """
    import numpy as np
    from PIL import ImageOps

    try:
        with _no_limit() if image.format == "TIFF" else nullcontext():  # the only one to look at it again
            image.load()
        ImageOps.exif_transpose(image, in_place=True)
        if image.mode.startswith("I;16"):
            grey = (np.asarray(image) >> (bits - 8)).astype(np.uint8)
            return grey if channels == 1 else np.repeat(grey[..., None], 3, axis=2)
        if not is_plain(image):
            return None
        mode = "L" if channels == 1 else "RGB"
        converted: Any = np.asarray(image if image.mode == mode else image.convert(mode))
        return np.ascontiguousarray(converted if channels == 1 else converted[..., ::-1])
    except Exception:  # as above
        return None


def is_plain(image: Image.Image) -> bool:
    """Tells whether the pixels of an image are numbers of 8 or 16 bits that stand for grey or colours."""
    return image.mode in EIGHT_BITS or image.mode.startswith("I;16")


@contextmanager
def _no_limit() -> Iterator[None]:
    """Lets Pillow take an image of any size, without a warning; `max_pixels` is the limit, and was checked or will be.

    Pillow's own is a global that a program which uses this library may count on, so it is put back.
    """
    from PIL import Image

    with _limit_lock:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit
