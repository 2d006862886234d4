"""The machine-readable marks themselves, as grids of modules, one drawer a class.

Every drawer takes a random generator and a budget, the most modules the mark may have along its
long side, so that a mark drawn small in a scene is still made of modules one can see.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import barcode as barcodes
import cv2
import numpy as np
import segno
import zint
from numpy.typing import NDArray

from yolocli.builtin import CODES


@dataclass(frozen=True)
class Mark:
    """A mark before it has a size or a colour.

    Attributes:
        name: Its class, one of ``CODES``.
        modules: Grid of modules, shape (rows, columns), True where ink goes.
        aspect: Printed height over printed width.
    """

    name: str
    modules: NDArray[np.bool_]
    aspect: float


_ALPHABET: Final = np.array(list("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-./:"))
_QR_BYTES: Final = (14, 26, 42, 62, 84, 106, 122, 152, 180, 213)  # what versions 1..10 hold at level M
_DICTIONARIES: Final = (
    cv2.aruco.DICT_4X4_50,
    cv2.aruco.DICT_4X4_1000,
    cv2.aruco.DICT_5X5_50,
    cv2.aruco.DICT_5X5_1000,
    cv2.aruco.DICT_6X6_50,
    cv2.aruco.DICT_6X6_1000,
    cv2.aruco.DICT_7X7_250,
    cv2.aruco.DICT_ARUCO_ORIGINAL,
    cv2.aruco.DICT_APRILTAG_16h5,
    cv2.aruco.DICT_APRILTAG_25h9,
    cv2.aruco.DICT_APRILTAG_36h11,
)
_LINEAR: Final = ("ean13", "ean13", "ean13", "code128", "code128", "code128", "ean8", "upca", "code39", "itf")


def _text(rng: np.random.Generator, length: int) -> str:
    return "".join(rng.choice(_ALPHABET, size=max(1, length)))


def _digits(rng: np.random.Generator, length: int) -> str:
    return "".join(str(d) for d in rng.integers(0, 10, size=length))


def draw_qr(rng: np.random.Generator, budget: int) -> Mark:
    """Draw a QR code of version 1 to 10, as large as the budget and chance allow."""
    largest = int(np.clip((budget - 17) // 4, 1, 10))
    version = int(rng.integers(1, largest + 1))
    if rng.random() < 0.5:
        version = min(version, 4)  # links, the most common content, fit in small versions
    text = _text(rng, int(_QR_BYTES[version - 1] * rng.uniform(0.5, 1.0)))
    code = segno.make(text, version=version, error="m", mask=int(rng.integers(8)), micro=False, boost_error=False)
    return Mark("qr_code", np.array([list(row) for row in code.matrix]) > 0, 1.0)


def draw_barcode(rng: np.random.Generator, budget: int) -> Mark:
    """Draw a 1-D code: mostly EAN-13 and Code 128, some of their relatives."""
    kind = _LINEAR[int(rng.integers(len(_LINEAR)))]
    if kind == "code128" and budget > 60:
        content = _text(rng, int(np.clip(rng.integers(3, 18), 3, (budget - 35) // 11)))
    elif kind == "code39" and budget > 110:
        content = _text(rng, int(rng.integers(3, 8))).upper().replace(":", "X")
    elif kind == "itf":
        content = _digits(rng, int(rng.integers(2, 8)) * 2)
    elif kind in ("ean13", "ean8", "upca"):
        content = _digits(rng, {"ean13": 12, "ean8": 7, "upca": 11}[kind])
    else:
        kind, content = "code128", _digits(rng, 4)
    bars = barcodes.get_barcode_class(kind)(content).build()[0]
    modules = np.frombuffer(bars.encode(), dtype=np.uint8)[None, :] != ord("0")
    columns = np.flatnonzero(modules[0])
    modules = modules[:, columns[0] : columns[-1] + 1]  # some builders pad with white
    return Mark("barcode", modules, float(np.exp(rng.uniform(np.log(0.16), np.log(0.85)))))


def draw_data_matrix(rng: np.random.Generator, budget: int) -> Mark:
    """Draw a Data Matrix: square from 10 x 10 up, sometimes one of the rectangular ones."""
    symbol = zint.Symbol()
    symbol.symbology = zint.Symbology.DATAMATRIX
    symbol.scale = 0.5  # one pixel a module
    symbol.show_text = False
    side = int(rng.integers(10, max(11, min(budget, 44)) + 1))
    if side <= 24 and rng.random() < 0.1:
        symbol.option_2 = int(rng.integers(25, 31))  # 8x18 .. 16x48
        symbol.encode(_digits(rng, 8))
    else:
        symbol.option_3 = zint.DataMatrixOptions.SQUARE.value
        # A square of n modules holds about (n - 2)^2 / 8 code words, under half of them data.
        symbol.encode(_text(rng, int((side - 2) ** 2 / 8 * 0.38)))
    symbol.buffer()
    modules = np.asarray(symbol.bitmap)[:, :, 0] < 128
    return Mark("data_matrix", modules, modules.shape[0] / modules.shape[1])


def draw_aruco(rng: np.random.Generator, budget: int) -> Mark:
    """Draw an ArUco or AprilTag marker with its black border."""
    del budget  # at most 9 modules wide: always visible
    kind = _DICTIONARIES[int(rng.integers(len(_DICTIONARIES)))]
    dictionary = cv2.aruco.getPredefinedDictionary(kind)
    number = int(rng.integers(len(dictionary.bytesList)))
    image = cv2.aruco.generateImageMarker(dictionary, number, dictionary.markerSize + 2, borderBits=1)
    return Mark("aruco_marker", image < 128, 1.0)


DRAWERS: Final[dict[str, Callable[[np.random.Generator, int], Mark]]] = {
    "qr_code": draw_qr,
    "barcode": draw_barcode,
    "data_matrix": draw_data_matrix,
    "aruco_marker": draw_aruco,
}
assert tuple(DRAWERS) == CODES


def draw(rng: np.random.Generator, name: str, side: float) -> Mark:
    """Draw a mark fit to be seen at a size.

    Args:
        rng: Source of chance.
        name: Class of the mark.
        side: Its longest side in the finished scene, in pixels.
    """
    finest = rng.uniform(1.0, 1.9)  # pixels a module: what a camera can still tell apart
    return DRAWERS[name](rng, max(10, int(side / finest)))
