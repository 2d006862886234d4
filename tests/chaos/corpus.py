"""Image files that a camera never wrote: odd, hostile, broken; the same bytes for the same seed."""

from __future__ import annotations

import gzip
import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

BOMB = 10_400
"""Side of a square that stays just below the default of --max-pixels."""

Named = tuple[str, bytes]


def corpus(count: int, seed: int) -> Iterator[Named]:
    """Yields so many files, all names different: crafted ones, at most two thirds, and mutations of healthy ones."""
    made = list(crafted())
    if len(made) > count * 2 // 3:  # some of each kind, other ones for another seed
        made = random.Random(seed).sample(made, count * 2 // 3)
    yield from made
    randomness = random.Random(seed)
    healthy = [(name, data) for name, data in samples() if len(data) < 200_000]
    for position in range(count - len(made)):
        name, data = randomness.choice(healthy)
        stem, _, suffix = name.rpartition(".")
        if randomness.random() < 0.1:
            suffix = randomness.choice(SUFFIXES)
        how = randomness.choice(MUTATIONS)
        yield f"m{position:05}-{how.__name__.strip('_')}-{stem}.{suffix}", how(data, randomness)


def crafted() -> Iterator[Named]:
    """Yields each file that was made with a thought, but for the bombs."""
    makers = (samples, oriented, _no_images, _odd_jpegs, _odd_pngs, _odd_tiffs, _odd_others)
    for maker in makers:
        prefix = maker.__name__.strip("_")
        for name, data in maker():
            yield f"{prefix}-{name}", data


SUFFIXES = ("avif", "bmp", "dng", "heic", "heif", "jp2", "jpeg", "jpg", "mpo", "png", "tif", "tiff", "webp")


# Healthy files, of formats old and new


@cache
def picture(width: int = 96, height: int = 64) -> NDArray[np.uint8]:
    """Returns a picture with edges, flat parts and noise."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = np.linspace(0, 255, width, dtype=np.uint8)
    pixels[..., 1] = np.linspace(0, 255, height, dtype=np.uint8)[:, None]
    pixels[height // 4 : height // 2, width // 4 : width // 2] = (10, 240, 90)
    noise = np.random.default_rng(1).integers(0, 40, (height // 2, width // 2, 3), np.uint8)
    pixels[: height // 2, width // 2 : width // 2 * 2] = noise
    return pixels


@cache
def samples() -> tuple[Named, ...]:
    """Returns a healthy file of every kind that can be written here."""
    rgb = Image.fromarray(picture())
    pages = [rgb.rotate(angle) for angle in (10, 20, 30)]
    found: list[Named] = []

    def pillow(name: str, image: Image.Image, kind: str, **options: object) -> None:
        stream = io.BytesIO()
        try:
            image.save(stream, kind, **options)
        except Exception as error:  # a Pillow without this codec
            found.append((f"unwritable-{name}", repr(error).encode()))
        else:
            found.append((name, stream.getvalue()))

    def opencv(name: str, pixels: NDArray[np.generic]) -> None:
        done, encoded = cv2.imencode(f".{name.rpartition('.')[0].rpartition('-')[2]}", pixels)
        if done:
            found.append((name, encoded.tobytes()))

    pillow("plain.jpg", rgb, "JPEG")
    pillow("progressive.jpg", rgb, "JPEG", progressive=True)
    pillow("cmyk.jpg", rgb.convert("CMYK"), "JPEG")
    pillow("grey.jpeg", rgb.convert("L"), "JPEG")
    pillow("restart.jpg", rgb, "JPEG", restart_marker_blocks=1)
    pillow("subsampled.jpg", rgb, "JPEG", subsampling=2, quality=3)
    pillow("plain.png", rgb, "PNG")
    pillow("alpha.png", rgb.convert("RGBA"), "PNG")
    pillow("palette.png", rgb.convert("P"), "PNG", transparency=3)
    pillow("bilevel.png", rgb.convert("1"), "PNG")
    pillow("grey-alpha.png", rgb.convert("LA"), "PNG")
    pillow("16bit.png", Image.fromarray(picture()[..., 0].astype(np.uint16) * 257), "PNG")
    pillow("animated.png", rgb, "PNG", save_all=True, append_images=pages)
    pillow("lossy.webp", rgb, "WEBP")
    pillow("lossless.webp", rgb.convert("RGBA"), "WEBP", lossless=True)
    pillow("animated.webp", rgb, "WEBP", save_all=True, append_images=pages)
    for mode in ("RGB", "L", "P", "1", "RGBA"):
        pillow(f"{mode}.bmp", rgb.convert(mode), "BMP")
    for compression in ("raw", "tiff_lzw", "tiff_deflate", "packbits", "jpeg", "tiff_adobe_deflate", "zstd", "lzma"):
        pillow(f"{compression}.tif", rgb, "TIFF", compression=compression)
    pillow("group4.tiff", rgb.convert("1"), "TIFF", compression="group4")
    pillow("grey.tiff", rgb.convert("L"), "TIFF")
    pillow("palette.tiff", rgb.convert("P"), "TIFF")
    pillow("cmyk.tiff", rgb.convert("CMYK"), "TIFF")
    pillow("lab.tiff", rgb.convert("LAB"), "TIFF")
    pillow("ycbcr.tiff", rgb.convert("YCbCr"), "TIFF")
    pillow("alpha.tiff", rgb.convert("RGBA"), "TIFF")
    pillow("float.tiff", rgb.convert("F"), "TIFF")
    pillow("int32.tiff", rgb.convert("I"), "TIFF")
    pillow("16bit.tiff", Image.fromarray(picture()[..., 0].astype(np.uint16) * 257), "TIFF")
    pillow("pages.tiff", rgb, "TIFF", save_all=True, append_images=pages)
    pillow("big.tiff", rgb, "TIFF", big_tiff=True)
    pillow("camera.dng", rgb, "TIFF", compression="raw")
    pillow("plain.jp2", rgb, "JPEG2000")
    pillow("alpha.jp2", rgb.convert("RGBA"), "JPEG2000")
    pillow("codestream.jp2", rgb, "JPEG2000", no_jp2=True)
    pillow("plain.avif", rgb, "AVIF")
    pillow("alpha.avif", rgb.convert("RGBA"), "AVIF")
    pillow("animated.avif", rgb, "AVIF", save_all=True, append_images=pages)
    pillow("avif.heic", rgb, "AVIF")
    pillow("pair.mpo", rgb, "MPO", save_all=True, append_images=pages)
    pillow("gif.jpg", rgb, "GIF")
    pillow("gif-animated.png", rgb, "GIF", save_all=True, append_images=pages)
    for kind in ("PPM", "TGA", "ICO", "PCX", "SGI", "DDS", "ICNS", "EPS", "PDF", "IM", "MSP", "XBM", "SPIDER", "QOI"):
        mode = {"MSP": "1", "XBM": "1", "SPIDER": "F"}.get(kind, "RGB")
        pillow(f"{kind.lower()}.jpg", rgb.convert(mode), kind)
    floats = picture().astype(np.float32) / 255
    opencv("16-tiff.tiff", picture().astype(np.uint16) * 257)
    opencv("float-tiff.tif", floats)
    opencv("double-tiff.tif", floats.astype(np.float64))
    opencv("16-png.png", picture().astype(np.uint16) * 257)
    opencv("16-jp2.jp2", picture().astype(np.uint16) * 257)
    opencv("radiance-hdr.jpg", floats)
    opencv("portable-pfm.png", floats)
    opencv("sun-ras.jpg", picture())
    opencv("portable-pam.png", picture())
    opencv("ascii-ppm.bmp", picture())
    found.append(("noise.tiff", random.Random(2).randbytes(5_000)))
    return tuple(found)


def _sample(name: str) -> bytes:
    return dict(samples())[name]


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


# Orientation


def oriented() -> Iterator[Named]:
    """Yields the picture with every value that EXIF's orientation may have, and some that it may not."""
    image = Image.fromarray(picture())
    for orientation in (*range(10), 65535):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield f"{orientation}.jpg", _encoded(image, "JPEG", exif=exif)
        yield f"{orientation}.webp", _encoded(image, "WEBP", exif=exif)
    exif = Image.Exif()
    exif[0x0112] = 6
    yield "6.png", _encoded(image, "PNG", exif=exif)
    yield "6.tiff", _encoded(image, "TIFF", exif=exif)
    yield "6.avif", _encoded(image, "AVIF", exif=exif)
    broken = b"Exif\0\0II*\0\xff\xff\xff\x7f"
    yield "rubbish.jpg", _with_segment(_sample("plain.jpg"), 0xE1, broken)
    yield "loop.jpg", _with_segment(_sample("plain.jpg"), 0xE1, b"Exif\0\0" + _looping_tiff())
    yield "huge.jpg", _with_segment(_sample("plain.jpg"), 0xE1, b"Exif\0\0MM\0*\0\0\0\x08" + b"\xff" * 60_000)


# What is no image at all


def _no_images() -> Iterator[Named]:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.jpg", _sample("plain.jpg"))
    magics: dict[str, bytes] = {
        "nothing": b"",
        "byte": b"\xff",
        "newline": b"\n",
        "nulls": bytes(4096),
        "ones": b"\xff" * 4096,
        "text": b"this is not an image\n" * 40,
        "html": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        "svg": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="1e9" height="1e9"><rect/></svg>',
        "bomb-xml": b'<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;&b;&b;&b;&b;">]><svg>&c;</svg>',
        "pdf": b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer << /Root 1 0 R >>\n%%EOF",
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100000 100000\n%%EndComments\n{} loop\n",
        "zip": archive.getvalue(),
        "gzip": gzip.compress(_sample("plain.jpg")),
        "elf": b"\x7fELF\x02\x01\x01" + bytes(57) + random.Random(3).randbytes(900),
        "exe": b"MZ\x90\0" + bytes(200),
        "pickle": b"\x80\x04cposix\nsystem\n(S'touch /tmp/never'\ntR.",
        "exr": b"v/1\x01\x02\0\0\0channels\0chlist\0" + bytes(200),
        "mp4": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(100),
        "heif": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100),
        "heif-meta": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic\0\0\0\x40meta" + b"\xff" * 60,
        "avif-meta": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf\xff\xff\xff\xffmeta" + bytes(80),
        "jxl": b"\xff\x0a" + random.Random(4).randbytes(200),
        "wmf": b"\xd7\xcd\xc6\x9a\0\0" + struct.pack("<4hHI", 0, 0, 32767, 32767, 1, 0) + bytes(40),
        "psd": b"8BPS\0\x01" + bytes(6) + struct.pack(">HIIHH", 3, 300_000, 300_000, 8, 3) + bytes(20),
        "fits": b"SIMPLE  =                    T".ljust(80) + b"BITPIX  = -64".ljust(80) + b"END".ljust(2720),
        "noise": random.Random(5).randbytes(3_000),
    }
    for kind, data in magics.items():
        yield f"{kind}.jpg", data
    for suffix in SUFFIXES:
        yield f"random.{suffix}", random.Random(suffix).randbytes(2_000)
        yield f"empty.{suffix}", b""
        yield f"brand.{suffix}", magics["heif"]
    for suffix in ("png", "tiff", "webp", "heic"):
        yield f"text.{suffix}", magics["text"]
        yield f"jpeg-in.{suffix}", _sample("plain.jpg")


# Formats, each with what its readers have stumbled over


def _with_segment(jpeg: bytes, marker: int, content: bytes) -> bytes:
    return jpeg[:2] + struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content + jpeg[2:]


def jpeg_sized(data: bytes, width: int, height: int) -> bytes:
    """Returns a JPEG whose frame header promises another size."""
    out = bytearray(data)
    at = next(i for i in range(len(out) - 1) if out[i] == 0xFF and out[i + 1] in {0xC0, 0xC1, 0xC2})
    out[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(out)


def _odd_jpegs() -> Iterator[Named]:
    plain, progressive = _sample("plain.jpg"), _sample("progressive.jpg")
    yield "soi.jpg", b"\xff\xd8"
    yield "soi-eoi.jpg", b"\xff\xd8\xff\xd9"
    yield "no-eoi.jpg", plain[:-2]
    yield "half.jpg", plain[: len(plain) // 2]
    yield "half-progressive.jpg", progressive[: len(progressive) // 2]
    yield "header-only.jpg", plain[: plain.index(b"\xff\xda")]
    yield "twice.jpg", plain + plain
    yield "tail.jpg", plain + random.Random(6).randbytes(50_000)
    yield "icc-rubbish.jpg", _with_segment(plain, 0xE2, b"ICC_PROFILE\0\x01\x01" + random.Random(7).randbytes(3_000))
    yield "icc-short.jpg", _with_segment(plain, 0xE2, b"ICC_PROFILE\0\x09\x02")
    yield "adobe-rubbish.jpg", _with_segment(plain, 0xEE, b"Adobe\0\x64\0\0\0\0\x07")
    yield "comments.jpg", plain[:2] + b"\xff\xfe\0\x03x" * 20_000 + plain[2:]
    yield "padding.jpg", plain[:2] + b"\xff" * 100_000 + plain[2:]
    for name, size in {"zero": (0, 0), "no-height": (96, 0), "no-width": (0, 64), "wide": (65_500, 1)}.items():
        yield f"{name}.jpg", jpeg_sized(plain, *size)
    yield "tall.jpg", jpeg_sized(plain, 1, 65_500)
    yield "larger.jpg", jpeg_sized(plain, 200, 900)
    yield "largest.jpg", jpeg_sized(plain, 65_535, 65_535)
    yield "largest-progressive.jpg", jpeg_sized(progressive, 65_500, 65_500)
    at = plain.index(b"\xff\xc0")
    yield "two-frames.jpg", plain[:at] + jpeg_sized(plain, 60_000, 60_000)[at : at + 19] + plain[at:]
    yield "12bit.jpg", plain[: at + 4] + b"\x0c" + plain[at + 5 :]
    yield "arithmetic.jpg", plain[: at + 1] + b"\xc9" + plain[at + 2 :]
    yield "lossless.jpg", plain[: at + 1] + b"\xc3" + plain[at + 2 :]
    yield "no-tables.jpg", plain.replace(b"\xff\xdb", b"\xff\xfe").replace(b"\xff\xc4", b"\xff\xfe")
    yield "sampling.jpg", plain[: at + 11] + b"\x44" + plain[at + 12 :]
    yield "components.jpg", plain[: at + 9] + b"\xff" + plain[at + 10 :]
    scan = progressive.rindex(b"\xff\xda")
    yield "scans.jpg", progressive[:-2] + progressive[scan:-2] * 3_000 + b"\xff\xd9"


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """Returns a chunk with its length and checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, rows: bytes = b"", depth: int = 8, colour: int = 2, before: bytes = b"") -> bytes:
    """Returns a PNG with a header of one's own; `rows` are compressed already."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = png_chunk(b"IHDR", header) + before + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def zeros(count: int) -> bytes:
    """Returns a zlib stream of so many zeros, made without packing them all: one block, again and again."""
    size = 1 << 20
    packer = zlib.compressobj(9, wbits=-15)
    block = packer.compress(bytes(size)) + packer.flush(zlib.Z_FULL_FLUSH)
    packer = zlib.compressobj(9, wbits=-15)
    rest = packer.compress(bytes(count % size)) + packer.flush()
    checksum = (count % 65521) << 16 | 1  # Adler-32 of zeros
    return b"\x78\xda" + block * (count // size) + rest + struct.pack(">I", checksum)


def _odd_pngs() -> Iterator[Named]:
    plain = _sample("plain.png")
    yield "signature.png", plain[:8]
    yield "half.png", plain[: len(plain) // 2]
    yield "no-end.png", plain[:-12]
    yield "bad-sum.png", plain[:40] + bytes([plain[40] ^ 1]) + plain[41:]
    for width, height in ((0, 0), (0, 9), (2**31 - 1, 2**31 - 1), (2**32 - 1, 1), (50_000, 50_000), (1, 2**20)):
        yield f"{width}x{height}.png", png(width, height, zlib.compress(bytes(100)))
    yield "strip.png", png(1, 100_000, zlib.compress(bytes(4 * 100_000)))
    yield "flat.png", png(100_000, 1, zlib.compress(bytes(300_001)))
    yield "too-much-data.png", png(10, 10, zeros(50_000_000))
    rows = zlib.compress(bytes(200))
    text = png_chunk(b"zTXt", b"a\0\0" + zeros(90_000_000))
    yield "text-bomb.png", png(8, 8, rows, before=text)
    yield "icc-bomb.png", png(8, 8, rows, before=png_chunk(b"iCCP", b"a\0\0" + zeros(90_000_000)))
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    yield "two-headers.png", png(8, 8, rows, before=header)
    yield "depth.png", png(8, 8, rows, depth=7)
    yield "colour.png", png(8, 8, rows, colour=9)
    yield "no-palette.png", png(8, 8, rows, colour=3)
    yield "chunks.png", png(8, 8, rows, before=png_chunk(b"tEXt", b"a\0b") * 20_000)
    frames = png_chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))
    yield "frames.png", png(8, 8, rows, before=frames)
    control = struct.pack(">IIIIIHHBB", 0, 60_000, 60_000, 0, 0, 1, 1, 0, 0)
    yield "frame-size.png", png(8, 8, rows, before=frames + png_chunk(b"fcTL", control))


def tiff(
    width: int,
    height: int,
    data: bytes = b"",
    *,
    bits: int = 8,
    samples_per_pixel: int = 3,
    sample_format: int = 1,
    compression: int = 1,
    next_page: int = 0,
    rows_per_strip: int | None = None,
    **tags: int,
) -> bytes:
    """Returns a TIFF of one strip with a directory of one's own; `tags` are named t<number>."""
    entries = {
        256: (4, width),
        257: (4, height),
        258: (3, bits),
        259: (3, compression),
        262: (3, 2 if samples_per_pixel >= 3 else 1),
        273: (4, 8),
        277: (3, samples_per_pixel),
        278: (4, height if rows_per_strip is None else rows_per_strip),
        279: (4, len(data)),
        339: (3, sample_format),
    }
    entries |= {int(name[1:]): (4, value) for name, value in tags.items()}
    at = 8 + len(data) + len(data) % 2
    out = struct.pack("<2sHI", b"II", 42, at) + data + b"\0" * (len(data) % 2) + struct.pack("<H", len(entries))
    for tag, (kind, value) in sorted(entries.items()):
        out += struct.pack("<HHI", tag, kind, 1)
        out += struct.pack("<HH", value, 0) if kind == 3 else struct.pack("<I", value)
    return out + struct.pack("<I", next_page)


def _looping_tiff() -> bytes:
    return tiff(8, 8, bytes(192), next_page=8 + 192)


def _many_pages(pages: int) -> bytes:
    first = tiff(8, 8, bytes(192))
    directory = first[200:-4]
    out = bytearray(first[:200])
    for number in range(pages):
        following = 200 + (number + 1) * (len(directory) + 4)
        out += directory + struct.pack("<I", following if number < pages - 1 else 0)
    return bytes(out)


def _odd_tiffs() -> Iterator[Named]:
    plain = _sample("raw.tif")
    yield "half.tif", plain[: len(plain) // 2]
    yield "header.tif", plain[:8]
    yield "loop.tif", _looping_tiff()
    yield "self.tif", struct.pack("<2sHI", b"II", 42, 0) + bytes(8)
    yield "pages.tif", _many_pages(5_000)
    yield "swapped.tif", b"MM" + plain[2:]
    yield "magic.tif", plain[:2] + b"\x2b\0" + plain[4:]
    for width, height in ((0, 0), (8, 0), (2**32 - 1, 2**32 - 1), (60_000, 60_000), (1, 100_000), (100_000, 1)):
        yield f"{width}x{height}.tiff", tiff(width, height, bytes(192))
    yield "strip.tiff", tiff(1, 100_000, bytes(300_000))
    yield "bits.tiff", tiff(8, 8, bytes(192), bits=65_535)
    yield "samples.tiff", tiff(8, 8, bytes(192), samples_per_pixel=65_535)
    yield "no-rows.tiff", tiff(8, 8, bytes(192), rows_per_strip=0)
    yield "tile.tiff", tiff(8, 8, bytes(192), t322=2**31, t323=2**31, t324=8, t325=192)
    yield "planar.tiff", tiff(8, 8, bytes(192), t284=2)
    yield "sub.tiff", tiff(8, 8, bytes(192), t330=8 + 192)
    yield "sub.dng", tiff(8, 8, bytes(192), t330=8 + 192, t50706=1)
    for compression in (2, 3, 4, 5, 6, 7, 8, 32773, 32946, 34712, 34925, 50000, 50001, 50002):
        data = random.Random(compression).randbytes(192)
        yield f"compression-{compression}.tiff", tiff(8, 8, data, compression=compression)
    kinds = ((1, 1), (4, 1), (12, 1), (16, 1), (16, 3), (32, 1), (32, 2), (32, 3), (64, 1), (64, 3), (128, 6))
    for bits, kind in kinds:
        data = random.Random(bits).randbytes(8 * 8 * 3 * bits // 8)
        yield f"bits-{bits}-{kind}.tiff", tiff(8, 8, data, bits=bits, sample_format=kind)
    for count in (1, 2, 4, 5, 12):
        yield f"samples-{count}.tiff", tiff(8, 8, bytes(64 * count), samples_per_pixel=count)


def _odd_others() -> Iterator[Named]:
    bitmap = _sample("RGB.bmp")
    for width, height in ((0, 0), (60_000, 60_000), (2**31 - 1, 1), (-8, 8), (8, -(2**31)), (1, 100_000)):
        yield f"{width}x{height}.bmp", bitmap[:18] + struct.pack("<ii", width, height) + bitmap[26:]
    yield "half.bmp", bitmap[: len(bitmap) // 2]
    yield "rle.bmp", bitmap[:28] + struct.pack("<HI", 8, 1) + bitmap[34:]
    yield "bits.bmp", bitmap[:28] + struct.pack("<H", 7) + bitmap[30:]
    yield "offset.bmp", bitmap[:10] + b"\xff\xff\xff\x7f" + bitmap[14:]
    yield "palette.bmp", bitmap[:46] + b"\xff\xff\xff\xff" + bitmap[50:]
    webp = _sample("lossy.webp")
    yield "half.webp", webp[: len(webp) // 2]
    yield "riff.webp", webp[:12]
    yield "size.webp", webp[:4] + b"\xff\xff\xff\xff" + webp[8:]
    at = webp.index(b"\x9d\x01\x2a") + 3
    yield "large.webp", webp[:at] + struct.pack("<HH", 16_383, 16_383) + webp[at + 4 :]
    yield "zero.webp", webp[:at] + struct.pack("<HH", 0, 0) + webp[at + 4 :]
    canvas = b"VP8X" + struct.pack("<IB3x", 10, 0) + b"\x07\0\0\x07\0\0"
    extended = canvas + webp[12:at] + struct.pack("<HH", 16_383, 16_383) + webp[at + 4 :]
    yield "canvas-lies.webp", b"RIFF" + struct.pack("<I", len(extended) + 4) + b"WEBP" + extended
    frames = _sample("animated.webp")
    yield "half-animated.webp", frames[: len(frames) // 2]
    jp2 = _sample("plain.jp2")
    yield "half.jp2", jp2[: len(jp2) // 2]
    yield "box-lies.jp2", jp2_sized(jp2, 60_000, 60_000, header=False)
    yield "header-lies.jp2", jp2_sized(jp2, 60_000, 60_000, stream=False)
    yield "large.jp2", jp2_sized(jp2, 60_000, 60_000)
    yield "zero.jp2", jp2_sized(jp2, 0, 0)
    yield "huge.jp2", jp2_sized(jp2, 2**32 - 1, 2**32 - 1)
    stream = _sample("codestream.jp2")
    yield "tiles.jp2", stream[:24] + struct.pack(">IIII", 1, 1, 0, 0) + stream[40:]
    avif = _sample("plain.avif")
    yield "half.avif", avif[: len(avif) // 2]
    at = avif.index(b"ispe") + 8
    for width, height in ((0, 0), (60_000, 60_000), (2**32 - 1, 2**32 - 1), (8, 8)):
        yield f"{width}x{height}.avif", avif[:at] + struct.pack(">II", width, height) + avif[at + 8 :]
    gif = _sample("gif.jpg")
    yield "gif-large.png", gif[:6] + struct.pack("<HH", 65_535, 65_535) + gif[10:]
    yield "gif-half.jpg", gif[: len(gif) // 2]
    for magic in (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6", b"PF", b"Pf"):
        for size in (b"60000 60000", b"-1 -1", b"0 0", b"99999999999999999999 1", b"25000 25000"):
            yield f"{magic.decode()}-{size.decode().split()[0]}.png", magic + b"\n" + size + b"\n255\n" + bytes(90)
    for side in (25_000, 60_000, 30_000_000_000):
        pam = f"P7\nWIDTH {side}\nHEIGHT {side}\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n".encode()
        yield f"pam-{side}.jpg", pam + bytes(90)
        yield f"hdr-{side}.jpg", f"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y {side} +X {side}\n".encode() + bytes(90)
        raster = struct.pack(">8I", 0x59A66A95, side & 0xFFFFFFFF, side & 0xFFFFFFFF, 24, 0, 1, 0, 0)
        yield f"ras-{side}.jpg", raster + bytes(90)
    yield "many-pixels.jpg", b"P6\n30000 30000\n65535\n" + bytes(90)
    yield "comments.jpg", b"P6\n" + b"# x\n" * 100_000 + b"8 8\n255\n" + bytes(192)


def jp2_sized(data: bytes, width: int, height: int, *, header: bool = True, stream: bool = True) -> bytes:
    """Returns a JPEG 2000 file whose header box, code stream, or both promise another size."""
    out = bytearray(data)
    if header:
        at = data.index(b"ihdr") + 4
        out[at : at + 8] = struct.pack(">II", height, width)
    if stream:
        at = data.index(b"\xff\x4f\xff\x51") + 8
        out[at : at + 8] = struct.pack(">II", width, height)
        out[at + 16 : at + 24] = struct.pack(">II", width, height)
    return bytes(out)


# Small files that want much memory, all below the default of --max-pixels


def bombs() -> Iterator[Named]:
    """Yields small files that want much memory or time."""
    side = BOMB
    yield "rgb.png", png(side, side, zeros(side * (side * 3 + 1)))
    # a text longer than Pillow unpacks, so that it never sees the size
    text = png_chunk(b"zTXt", b"a\0\0" + zeros(90_000_000))
    yield "hidden.png", png(60_000, 16_000, zeros(16_000 * (60_000 * 3 + 1)), before=text)
    healthy = _sample("grey-alpha.png")
    yield "one-byte.png", healthy[:33] + b"\xef" + healthy[34:]  # a chunk of four gigabytes
    yield "rgba16.png", png(side, side, zeros(side * (side * 8 + 1)), depth=16, colour=6)
    yield "float.tiff", tiff(side, side, zeros(side * side * 3 * 4), bits=32, sample_format=3, compression=8)
    yield "double.tiff", tiff(side, side, bytes(500), bits=64, sample_format=3, compression=8)
    yield "16bit.tiff", tiff(side, side, zeros(side * side * 3 * 2), bits=16, compression=8)
    yield "grey.tiff", tiff(side, side, zeros(side * side), samples_per_pixel=1, compression=8)
    yield "hollow.tiff", tiff(side, side, bytes(500), bits=16)
    yield "samples.tiff", tiff(side, side, bytes(500), samples_per_pixel=40, compression=8)
    plain = _sample("plain.jpg")
    yield "hollow.jpg", jpeg_sized(plain, side, side)
    yield "hollow-cmyk.jpg", jpeg_sized(_sample("cmyk.jpg"), side, side)
    yield "hollow-progressive.jpg", jpeg_sized(_sample("progressive.jpg"), side, side)
    progressive = jpeg_sized(_sample("progressive.jpg"), 4_000, 4_000)
    scan = progressive.rindex(b"\xff\xda")
    yield "scans.jpg", progressive[:-2] + progressive[scan:-2] * 3_000 + b"\xff\xd9"
    exif = Image.Exif()
    exif[0x0112] = 6
    yield "turned.jpg", jpeg_sized(_encoded(Image.fromarray(picture()), "JPEG", exif=exif), side, side)
    yield "hollow.jp2", jp2_sized(_sample("plain.jp2"), side, side)
    yield "hollow-alpha.jp2", jp2_sized(_sample("alpha.jp2"), side, side)
    bitmap = _sample("RGB.bmp")
    yield "hollow.bmp", bitmap[:18] + struct.pack("<ii", side, side) + bitmap[26:]
    gif = _sample("gif.jpg")
    yield "gif.jpg", gif[:6] + struct.pack("<HH", side, side) + gif[10:]
    yield "hdr.jpg", f"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y {side} +X {side}\n".encode() + bytes(90)
    yield "ppm16.jpg", f"P6\n{side} {side}\n65535\n".encode() + bytes(90)
    yield "pfm.jpg", f"PF\n{side} {side}\n-1.0\n".encode() + bytes(90)


# Mutations of healthy files


def _truncated(data: bytes, randomness: random.Random) -> bytes:
    return data[: randomness.randrange(len(data) + 1)]


def _bits_flipped(data: bytes, randomness: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(randomness.choice((1, 1, 3, 30))):
        out[randomness.randrange(len(out))] ^= 1 << randomness.randrange(8)
    return bytes(out)


def _header_edited(data: bytes, randomness: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(randomness.choice((1, 2, 8))):
        at = randomness.randrange(min(len(out), 120))
        out[at] = randomness.choice((0, 1, 0x7F, 0x80, 0xFF, randomness.randrange(256)))
    return bytes(out)


def _number_edited(data: bytes, randomness: random.Random) -> bytes:
    order = randomness.choice("<>")
    value = randomness.choice((0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 12_000, 40_000))
    number = struct.pack(f"{order}H", value & 0xFFFF) if randomness.random() < 0.5 else struct.pack(f"{order}I", value)
    at = randomness.randrange(min(len(data), 200))
    return data[:at] + number + data[at + len(number) :]


def _spliced(data: bytes, randomness: random.Random) -> bytes:
    other = randomness.choice(samples())[1]
    return data[: randomness.randrange(len(data) + 1)] + other[randomness.randrange(len(other) + 1) :]


def _hole(data: bytes, randomness: random.Random) -> bytes:
    start = randomness.randrange(len(data))
    return data[:start] + data[start + randomness.randrange(1, 1 + len(data) // 4 + 1) :]


def _filled(data: bytes, randomness: random.Random) -> bytes:
    start, length = randomness.randrange(len(data)), randomness.randrange(1, 400)
    return data[:start] + randomness.choice((b"\0", b"\xff")) * min(length, len(data) - start) + data[start + length :]


def _repeated(data: bytes, randomness: random.Random) -> bytes:
    start = randomness.randrange(len(data))
    piece = data[start : start + randomness.randrange(1, 200)]
    return data[:start] + piece * randomness.randrange(2, 40) + data[start:]


MUTATIONS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _truncated,
    _bits_flipped,
    _header_edited,
    _number_edited,
    _spliced,
    _hole,
    _filled,
    _repeated,
)
