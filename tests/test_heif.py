"""HEIC photographs, as phones write them."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support import records, yolocli
from tests.test_images import by_ultralytics, by_yolocli, picture, through
from yolocli.errors import ImageError
from yolocli.images.decode import decode
from yolocli.results import ImageFailure, Outcome

pytest.importorskip("pi_heif", reason="the extra is not installed: pip install '.[heif]'")
pillow_heif = pytest.importorskip("pillow_heif", reason="writes HEIC")


def heic(pixels: np.ndarray | None = None, mode: str = "RGB") -> bytes:
    pixels = picture(64, 96) if pixels is None else pixels
    stream = io.BytesIO()
    pillow_heif.from_bytes(mode, pixels.shape[1::-1], pixels.tobytes()).save(stream, quality=90)
    return stream.getvalue()


def in_a_fresh_process(program: str, *arguments: str | Path) -> str:
    """What a program prints."""
    command = [sys.executable, "-W", "error::UserWarning", "-c", program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


OUTCOMES = """
import sys
from pathlib import Path
from PIL import Image
from yolocli.errors import ImageError
from yolocli.images.decode import decode
for name in sys.argv[1:]:
    data, suffix = Path(name).read_bytes(), Path(name).suffix
    for max_pixels in (10**6, 1000):
        try:
            print(name, max_pixels, decode(data, suffix, max_pixels=max_pixels).pixels.sum())
        except ImageError as error:
            print(name, max_pixels, error.kind)
assert "HEIF" not in Image.OPEN
"""


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_pixels_are_those_of_ultralytics_and_of_the_picture(tmp_path: Path, mode: str) -> None:
    pixels = picture(64, 96, len(mode))
    (tmp_path / "x.heic").write_bytes(heic(pixels, mode))
    found = by_yolocli(tmp_path / "x.heic")
    np.testing.assert_array_equal(found, by_ultralytics(tmp_path / "x.heic"))
    expected = pixels[..., None] if mode == "L" else pixels[..., 2::-1]
    assert np.abs(found.astype(int) - expected).mean() < 4
    assert by_yolocli(tmp_path / "x.heic", channels=1).shape == (64, 96, 1)


def test_ten_bits(tmp_path: Path) -> None:
    pixels = picture(64, 96, dtype=np.uint16)
    (tmp_path / "x.heic").write_bytes(heic(pixels, "RGB;16"))
    found = by_yolocli(tmp_path / "x.heic")
    np.testing.assert_array_equal(found, by_ultralytics(tmp_path / "x.heic"))
    assert np.abs(found.astype(int) - (pixels >> 8)[..., ::-1]).mean() < 4


@pytest.mark.parametrize("suffix", [".heic", ".heif", ".jpg", ""])
def test_the_suffix_does_not_matter(suffix: str) -> None:
    data = heic()
    expected = decode(data, ".heic", max_pixels=10**6).pixels
    np.testing.assert_array_equal(decode(data, suffix, max_pixels=10**6).pixels, expected)


def test_upright(tmp_path: Path) -> None:
    image = Image.fromarray(picture(64, 96))
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    pillow_heif.from_pillow(image).save(stream, exif=exif.tobytes())
    (tmp_path / "x.heic").write_bytes(stream.getvalue())
    found = by_yolocli(tmp_path / "x.heic")
    assert found.shape == (96, 64, 3)
    np.testing.assert_array_equal(found, by_ultralytics(tmp_path / "x.heic"))


def test_a_fresh_process_says_the_same_of_a_file_whatever_came_before(tmp_path: Path) -> None:
    (tmp_path / "a.heic").write_bytes(heic())
    (tmp_path / "b.heic").write_bytes(heic())
    (tmp_path / "c.avif").write_bytes(heic()[:200])
    said = {}
    for names in (["a.heic", "b.heic", "c.avif"], ["c.avif", "b.heic", "a.heic"], ["b.heic", "a.heic", "b.heic"]):
        for line in in_a_fresh_process(OUTCOMES, *(tmp_path / name for name in names)).splitlines():
            name, limit, outcome = line.split()
            assert said.setdefault((name, limit), outcome) == outcome, line
    assert said[str(tmp_path / "a.heic"), "1000"] == said[str(tmp_path / "b.heic"), "1000"] == "TooManyPixels"
    assert said[str(tmp_path / "a.heic"), "1000000"].isdigit()


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["thread", "process"])
def test_copies_of_a_file_have_equal_records_in_every_mode(mode: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in "abc":
        (tmp_path / f"in/{name}.heic").write_bytes(heic())
    options = ["--model", "builtin", "--imgsz", "64", "--mode", mode, "-j", "1", "--max-pixels", "1000", "-q"]
    done = yolocli("detect", tmp_path / "in", *options, "--output", tmp_path / "out")
    assert done.returncode == 1, done.stderr
    errors = [record.get("error") for record in records(tmp_path / "out/results.jsonl")]
    assert errors == ["TooManyPixels"] * 3


def test_a_damaged_heic_is_a_record(tmp_path: Path) -> None:
    data = heic()
    for end in (12, 40, 200, len(data) // 2, len(data) - 5):
        (tmp_path / "x.heic").write_bytes(data[:end])
        outcome: Outcome = through(tmp_path / "x.heic")
        assert isinstance(outcome, ImageFailure)
        assert outcome.error in {"NotAnImage", "TruncatedImage"}


def test_without_the_extra_the_record_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.heic").write_bytes(heic())
    assert through(tmp_path / "x.heic").status == "ok"
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    for _ in range(2):
        outcome = through(tmp_path / "x.heic")
        assert isinstance(outcome, ImageFailure)
        assert outcome.error == "UnsupportedFormat"
        assert outcome.message == "HEIC needs an extra: pip install '.[heif]'"
    with pytest.raises(ImageError, match="not an image that can be decoded") as caught:
        decode(b"text", ".heic", max_pixels=10**6)
    assert "extra" not in str(caught.value)
