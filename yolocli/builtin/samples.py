"""Write the project's sample images: ``python -m yolocli.builtin.samples sample_images``.

The scenes are picked by hand out of a family that nothing is trained or evaluated on. They cover
what a reader of images meets: EXIF rotation, grey, 16 bits a channel, WebP, and one broken file
in a folder of its own, which an ignore file keeps out of a walk from above.
"""

# ruff: noqa: T201 (a command prints)

import argparse
import io
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from yolocli.builtin.extra import main

SEED: Final = 7


@dataclass(frozen=True)
class Sample:
    """One sample image.

    Attributes:
        path: Where it goes, relative to the folder; the suffix decides the file format.
        index: Which scene of the family.
        size: Width and height in pixels.
        kind: Kind of scene.
        form: How it is stored, one of ``FORMS``.
    """

    path: str
    index: int
    size: tuple[int, int]
    kind: str = "photo"
    form: str = "colour"


def _colour(image: Any) -> Any:
    return image


def _grey(image: Any) -> Any:
    import cv2

    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)


def _deep(image: Any) -> Any:
    """Grey with 16 bits a pixel, over the whole range."""
    import numpy as np

    return _grey(image).astype(np.uint16) * 257


def _sideways(image: Any) -> Any:
    """Stored a quarter turn to the left; EXIF orientation 6 tells a reader to turn it back."""
    import numpy as np

    return np.ascontiguousarray(np.rot90(image))


FORMS: Final[dict[str, Callable[[Any], Any]]] = {
    "colour": _colour,
    "grey": _grey,
    "deep": _deep,
    "sideways": _sideways,
}

SAMPLES: Final = (
    Sample("shop/letter.jpg", 0, (960, 720)),
    Sample("shop/carton.jpg", 3, (800, 800)),
    Sample("shop/poster.jpg", 23, (600, 800)),
    Sample("shop/books.jpg", 27, (640, 480)),
    Sample("shop/phone.jpg", 30, (600, 800), form="sideways"),
    Sample("shop/counter.webp", 63, (960, 720)),
    Sample("shop/price_tags.jpg", 53, (1200, 500), "sheet"),
    Sample("shop/nothing_to_scan.jpg", 106, (800, 800), "empty"),
    Sample("workshop/bench.jpg", 8, (1024, 576)),
    Sample("workshop/tablet.jpg", 17, (800, 800)),
    Sample("workshop/plate_grey.jpg", 28, (960, 720), form="grey"),
    Sample("workshop/parcel_16bit.png", 38, (800, 800), form="deep"),
    Sample("workshop/pillar.jpg", 102, (420, 900)),
    Sample("workshop/racks.jpg", 50, (1024, 576)),
    Sample("workshop/wall.jpg", 104, (600, 800)),
    Sample("workshop/no_marks.jpg", 104, (600, 800), "empty"),
)

BROKEN: Final = "broken/cut.jpg"
IGNORED: Final = "# Kept apart for the failure demo: named directly, it is still read.\nbroken/\n"


def _encode(image: Any, suffix: str, orientation: int = 1) -> bytes:
    import cv2
    from PIL import Image

    if orientation == 1:
        quality = {".jpg": [cv2.IMWRITE_JPEG_QUALITY, 88], ".webp": [cv2.IMWRITE_WEBP_QUALITY, 82]}
        return cv2.imencode(suffix, image, quality.get(suffix, []))[1].tobytes()
    stream, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(image[:, :, ::-1]).save(stream, "JPEG", quality=88, exif=exif)
    return stream.getvalue()


def write(out: Path) -> dict[str, Any]:
    """Write every sample, the broken file, the ignore file and ``labels.json``.

    Args:
        out: Folder to write to.

    Returns:
        What is in ``labels.json``: for every path the upright ``width`` and ``height`` in pixels
        and ``marks``, each with its ``name`` and ``box`` of ``x1``, ``y1``, ``x2``, ``y2``.
    """
    from yolocli.builtin.scene import make

    labels: dict[str, Any] = {}
    cut = b""
    for sample in SAMPLES:
        scene = make(SEED, sample.index, sample.size, sample.kind)
        target = out / sample.path
        target.parent.mkdir(parents=True, exist_ok=True)
        pixels = FORMS[sample.form](scene.image)
        encoded = _encode(pixels, target.suffix, 6 if sample.form == "sideways" else 1)
        target.write_bytes(encoded)
        cut = cut or encoded[: len(encoded) * 2 // 5]
        width, height = sample.size
        marks = [
            {"name": b.name, "box": {k: round(getattr(b, k), 2) for k in ("x1", "y1", "x2", "y2")}} for b in scene.boxes
        ]
        labels[sample.path] = {"width": width, "height": height, "marks": marks}
    (out / BROKEN).parent.mkdir(parents=True, exist_ok=True)
    (out / BROKEN).write_bytes(cut)
    (out / ".yolocliignore").write_text(IGNORED)
    (out / "labels.json").write_text(json.dumps(labels, indent=1) + "\n")
    return labels


def _run(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m yolocli.builtin.samples", description=__doc__)
    parser.add_argument("out", type=Path, help="folder to write to")
    options = parser.parse_args(argv)
    labels = write(options.out)
    marks = sum(len(entry["marks"]) for entry in labels.values())
    print(f"{len(labels)} images, {marks} marks in {options.out}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    main(_run)
