"""No pixel comes from memory that was never written: two processes that fill fresh memory differently agree on all."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import pickle
import random
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from tests.chaos import corpus
from tests.support import REPOSITORY
from tests.tiff import CMYK, DEFLATE, FLOAT, INT, LZMA, NONE, PACKBITS, PALETTE, UINT, YCBCR, tiff
from yolocli.errors import ImageError
from yolocli.images.decode import decode

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="MALLOC_PERTURB_ is the GNU C library's")

FILLINGS = ("85", "170")
Named = tuple[str, bytes]


def tiffs() -> Iterator[Named]:
    kinds = [(bits, UINT) for bits in (1, 2, 4, 8, 10, 12, 14, 16, 32)]
    kinds += [(8, INT), (16, INT), (32, INT), (16, FLOAT), (32, FLOAT), (64, FLOAT)]
    colours = ((0, 1), (1, 1), (1, 2), (2, 3), (2, 4), (2, 5), (PALETTE, 1), (CMYK, 4), (YCBCR, 3), (8, 3))
    layouts = ({}, {"rows": 7}, {"tile": 32})
    for (bits, kind), (photometric, samples) in itertools.product(kinds, colours):
        if photometric == PALETTE and bits > 16:
            continue
        values = np.random.default_rng(bits).integers(0, 2 ** min(bits, 16) // 2, (33, 41, samples))
        pixels = values.astype({FLOAT: f"f{bits // 8}", INT: f"i{bits // 8}"}.get(kind, "u4" if bits > 16 else "u2"))
        pixels = pixels.astype(np.uint8) if kind == UINT and bits <= 8 else pixels
        for planar, compression, layout in itertools.product(
            (False, True), (NONE, DEFLATE, PACKBITS, LZMA), layouts if bits in {8, 16} else layouts[:1]
        ):
            name = f"{bits}-{kind}-{photometric}-{samples}-{planar}-{compression}-{len(layout) and next(iter(layout))}"
            whole = tiff(
                pixels, bits=bits, kind=kind, photometric=photometric, planar=planar, compression=compression, **layout
            )
            yield f"{name}.tif", whole
            if bits in {8, 16} and kind == UINT:
                yield (
                    f"{name}-hollow.tif",
                    tiff(pixels, bits=bits, photometric=photometric, planar=planar, stored=[b""]),
                )
                yield (
                    f"{name}-tall.tif",
                    tiff(pixels, bits=bits, photometric=photometric, planar=planar, extra={257: [190]}, **layout),
                )


def bitmaps() -> Iterator[Named]:
    def bitmap(bits: int, method: int, body: bytes, palette: int = 0, masks: bytes = b"", height: int = 20) -> bytes:
        start = 14 + 40 + len(masks) + 4 * palette
        info = struct.pack("<IiiHHIIiiII", 40, 30, height, 1, bits, method, len(body), 0, 0, palette, 0)
        colours = bytes(range(4)) * palette
        return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + info + masks + colours + body

    row16, noise = 64, np.random.default_rng(3).bytes(4_000)
    masks = struct.pack("<III", 0xF800, 0x07E0, 0x001F)
    yield "16.bmp", bitmap(16, 0, noise[: row16 * 20])
    yield "565.bmp", bitmap(16, 3, noise[: row16 * 20], masks=masks)
    yield "top-down.bmp", bitmap(24, 0, noise[: 92 * 20], height=-20)
    yield "32.bmp", bitmap(32, 0, noise[: 120 * 20])
    yield "4.bmp", bitmap(4, 0, noise[: 16 * 20], palette=16)
    row = b"\x1e\x07\0\0"
    yield "rle8.bmp", bitmap(8, 1, row * 20 + b"\0\x01", palette=256)
    yield "rle8-skips.bmp", bitmap(8, 1, b"\x05\x07\0\x02\x04\x03\x05\x09\0\x01", palette=256)
    yield "rle8-ends.bmp", bitmap(8, 1, row * 3, palette=256)
    yield "rle4.bmp", bitmap(4, 2, row * 20 + b"\0\x01", palette=16)
    yield "rle4-skips.bmp", bitmap(4, 2, b"\x05\x37\0\x02\x04\x03\x05\x19\0\x01", palette=16)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(depth: int, colour: int, *, interlaced: bool = False, extra: bytes = b"", rows: int = 20) -> bytes:
    """Of 30x20 pixels; interlaced ones are seven passes of nothing but zeros."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    header = struct.pack(">IIBBBBB", 30, 20, depth, colour, 0, 0, interlaced)
    row = b"\0" + np.random.default_rng(depth).bytes(-(-30 * channels * depth // 8))
    body = bytes(9_000) if interlaced else row * rows
    palette = chunk(b"PLTE", bytes(range(256)) * 3) if colour == 3 else b""
    parts = [chunk(b"IHDR", header), palette, extra, chunk(b"IDAT", zlib.compress(body)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def frame(width: int, height: int, left: int = 0, top: int = 0) -> bytes:
    control = struct.pack(">IIIIIHHBB", 0, width, height, left, top, 1, 10, 0, 0)
    return chunk(b"acTL", struct.pack(">II", 1, 0)) + chunk(b"fcTL", control)


def pngs() -> Iterator[Named]:
    for depth, colour in (
        (1, 0),
        (2, 0),
        (4, 0),
        (8, 0),
        (16, 0),
        (8, 2),
        (16, 2),
        (1, 3),
        (4, 3),
        (8, 3),
        (8, 4),
        (16, 6),
    ):
        for interlaced in (False, True):
            yield f"{depth}-{colour}-{interlaced}.png", png(depth, colour, interlaced=interlaced)
        yield f"{depth}-{colour}-short.png", png(depth, colour, rows=11)
    yield "transparent.png", png(8, 3, extra=chunk(b"tRNS", bytes(range(100))))
    yield "frame.png", png(8, 2, extra=frame(30, 20))
    yield "small-frame.png", png(8, 2, extra=frame(10, 8))
    yield "moved-frame.png", png(8, 6, extra=frame(10, 8, 5, 6))


def small_frames() -> Iterator[Named]:
    """Animations whose first frame covers a part of the canvas."""
    small = Image.fromarray(corpus.picture()).resize((12, 10))
    stream = io.BytesIO()
    small.quantize().save(stream, "GIF")
    gif = stream.getvalue()
    yield "small-frame-gif.jpg", gif[:6] + struct.pack("<HH", 40, 30) + gif[10:]
    stream = io.BytesIO()
    small.save(stream, "WEBP", save_all=True, append_images=[small.rotate(90)])
    webp = bytearray(stream.getvalue())
    webp[24:30] = struct.pack("<I", 39)[:3] + struct.pack("<I", 29)[:3]
    yield "small-frame.webp", bytes(webp)


def damaged() -> Iterator[Named]:
    """Healthy files of every format, cut off at many places, and otherwise mutated."""
    randomness = random.Random(7)
    healthy = [(name, data) for name, data in corpus.samples() if len(data) < 100_000]
    for name, data in healthy:
        for part in range(1, 12):
            yield f"cut-{part}-{name}", data[: len(data) * part // 12]
    for number in range(600):
        name, data = randomness.choice(healthy)
        yield f"mutated-{number}-{name}", randomness.choice(corpus.MUTATIONS)(data, randomness)


def files() -> Iterator[Named]:
    for maker in (tiffs, bitmaps, pngs, small_frames, corpus.samples, damaged):
        yield from maker()


def outcome(name: str, data: bytes, channels: int) -> str:
    """The digest of the pixels, or the error."""
    try:
        pixels = decode(data, os.path.splitext(name)[1], channels=channels, max_pixels=10**6).pixels
    except ImageError as error:
        return f"{error.kind}: {error}"
    return hashlib.sha256(pixels.tobytes()).hexdigest()


def write_outcomes(source: str, target: str) -> None:
    """What each of the two processes does."""
    with open(source, "rb") as stream:
        named = pickle.load(stream)
    found = {f"{name} in {channels}": outcome(name, data, channels) for name, data in named for channels in (3, 1)}
    with open(target, "w") as stream:
        json.dump(found, stream)


@pytest.mark.slow
def test_every_format_whole_or_damaged_has_one_outcome(tmp_path: Path) -> None:
    if not features.check("libtiff"):
        pytest.skip("this Pillow reads no compressed TIFF")
    (tmp_path / "files").write_bytes(pickle.dumps(list(files())))
    running = []
    for filling in FILLINGS:
        program = f"import tests.test_repeatable as here; here.write_outcomes('files', '{filling}')"
        environment = os.environ | {
            "MALLOC_PERTURB_": filling,
            "OPENCV_LOG_LEVEL": "SILENT",
            "PYTHONPATH": str(REPOSITORY),
        }
        command = [sys.executable, "-W", "ignore", "-c", program]
        running.append(subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL))
    assert [process.wait(300) for process in running] == [0, 0]
    first, second = (json.loads((tmp_path / filling).read_text()) for filling in FILLINGS)
    assert len(first) > 8_000
    assert sum(":" not in outcome for outcome in first.values()) > 1_500, "hardly anything was decoded"
    assert {name: (one, second[name]) for name, one in first.items() if one != second[name]} == {}


def test_a_damaged_png_is_refused_whether_it_moves_or_not() -> None:
    moving = dict(corpus.samples())["animated.png"]
    for place in (124, 142, 1_728):
        data = bytearray(moving)
        data[place] ^= 0xFF
        with pytest.raises(ImageError) as caught:
            decode(bytes(data), ".png", max_pixels=10**6)
        assert caught.value.kind == "TruncatedImage"


def test_frames_of_an_animated_png_leave_its_image_alone() -> None:
    plain = decode(png(8, 2), ".png", max_pixels=10**6).pixels
    for size in ((30, 20), (10, 8), (10, 8, 5, 6)):
        found = decode(png(8, 2, extra=frame(*size)), ".png", max_pixels=10**6).pixels
        np.testing.assert_array_equal(found, plain)
