"""Drawn pictures: colours, letters in any script, marks of every kind, JPEGs that say whose they are."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolocli.errors import ImageError
from yolocli.images import rle
from yolocli.images.colours import class_colour, contrast, text_colour
from yolocli.images.drawing import Mark, draw
from yolocli.images.fonts import VARIABLE, Font, Fonts, _of_matplotlib, characters, every_font, of_system, trouble
from yolocli.images.jpeg import HEAD, MOST_PIXELS, jpeg
from yolocli.images.plates import Plates

(DEJAVU,) = _of_matplotlib()
GREY = 120


@pytest.fixture(scope="module")
def plates() -> Plates:
    """Those of a machine without fonts of its own."""
    return Plates(Fonts([Font(DEJAVU)]))


def canvas(width: int, height: int) -> Any:
    return np.full((height, width, 3), GREY, np.uint8)


def box_mark(box: Sequence[float], colour: int = 0, text: str = "person 0.87", **more: Any) -> Mark:
    return Mark(colour, (text,), box, **more)


# Colours


def test_the_colour_of_a_class_never_changes() -> None:
    assert [class_colour(index) for index in (0, 1, 2, 80)] == [
        (25, 67, 255),
        (255, 119, 102),
        (0, 191, 77),
        (160, 191, 0),
    ]


def test_classes_in_a_row_do_not_look_alike() -> None:
    for start in range(500):
        for one, other in itertools.combinations(range(start, start + 5), 2):
            distance = np.abs(np.subtract(class_colour(one), class_colour(other))).sum()
            assert distance > 90, (one, other)


def test_text_can_be_read_on_every_plate() -> None:
    levels = range(0, 256, 15)
    for colour in itertools.chain(map(class_colour, range(2000)), itertools.product(levels, levels, levels)):
        assert contrast(text_colour(colour), colour) >= 4.5  # AA of WCAG
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)


# Fonts


def some_fonts() -> list[str]:
    found = of_system()
    return [DEJAVU, *found[:: max(len(found) // 12, 1)]]


@pytest.mark.parametrize("path", some_fonts(), ids=lambda path: Path(path).name)
def test_what_a_font_has_is_read_as_another_reader_does(path: str) -> None:
    reader = pytest.importorskip("fontTools.ttLib")
    with open(path, "rb") as stream:
        ranges = characters(stream)
    with reader.TTFont(path, fontNumber=0, lazy=True) as font:
        outlines = {"glyf", "CFF ", "CFF2"} & set(font.keys())
        expected = set(font.getBestCmap() or ()) if outlines else set()
    found = {character for first, last in ranges for character in range(first, last + 1)}
    assert found - {0xFFFF} == expected - {0xFFFF}


def test_a_file_that_is_no_font_has_no_character(tmp_path: Path) -> None:
    data = Path(DEJAVU).read_bytes()
    for number, content in enumerate((b"", b"no font", data[:1000], b"ttcf" + bytes(20), data[:-100_000])):
        (tmp_path / f"{number}.ttf").write_bytes(content)
        assert not Font(str(tmp_path / f"{number}.ttf")).has("a")
    assert not Font(str(tmp_path / "gone.ttf")).has("a")


def test_the_font_that_is_named_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, DEJAVU + "x")
    assert next(every_font())._file == DEJAVU + "x"
    assert trouble() == f"{VARIABLE}: {DEJAVU}x cannot be read as a font; others are used"
    monkeypatch.setenv(VARIABLE, DEJAVU)
    assert trouble() == ""


def test_plain_fonts_come_first(tmp_path: Path) -> None:
    for name in ("a-Bold.ttf", "b-Regular.otf", "c-Light.ttc", "d.txt", "z/e.ttf"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [Path(path).name for path in of_system([str(tmp_path)])]
    assert found == ["b-Regular.otf", "e.ttf", "a-Bold.ttf", "c-Light.ttc"]


# Captions


@pytest.mark.parametrize("name", ["person", "čeština", "Собака", "σκύλος", "كلب"])
def test_a_name_is_written_in_a_font_that_is_always_there(name: str, plates: Plates) -> None:
    plate = plates.plate((f"{name} 0.87", "class 3 0.87"), 20, 1000)
    assert not np.array_equal(plate, plates.plate(("class 3 0.87",), 20, 1000))
    assert (plate > 128).mean() > 0.05


@pytest.mark.parametrize("name", ["人", "自転車", "강아지", "🐈", "\udcff", "person\ufffe"])
def test_where_no_font_has_it_a_number_stands_for_a_name(name: str, plates: Plates) -> None:
    plate = plates.plate((f"{name} 0.87", "class 3 0.87"), 20, 1000)
    np.testing.assert_array_equal(plate, plates.plate(("class 3 0.87",), 20, 1000))


@pytest.mark.parametrize("name", ["人", "자전거", "สุนัข", "कुत्ता"])
def test_a_font_of_the_system_is_found(name: str) -> None:
    fonts = Fonts(map(Font, of_system()))
    if fonts.font_for(name) is None:
        pytest.skip(f"no font of this machine has {name}")
    plates = Plates()
    plate = plates.plate((f"{name} 0.87", "class 3 0.87"), 40, 1000)
    assert not np.array_equal(plate, plates.plate(("class 3 0.87",), 40, 1000))


def test_a_caption_is_cut_where_the_picture_ends(plates: Plates) -> None:
    whole = plates.plate(("a very long name 0.87",), 20, 1000)
    cut = plates.plate(("a very long name 0.87",), 20, 100)
    assert whole.shape[1] > 150
    assert 60 < cut.shape[1] <= 100
    assert plates.plate(("x",), 20, 3).size
    assert plates.plate(("",), 20, 3).size


def test_captions_of_one_size_are_of_one_height(plates: Plates) -> None:
    assert len({plates.plate((text,), 20, 1000).shape[0] for text in ("bus 0.5", "person 0.5", "age 0.5")}) == 1


# Marks


@pytest.mark.parametrize(("width", "height"), [(300, 300), (1920, 1080), (7680, 4320)])
def test_lines_and_letters_grow_with_the_picture(width: int, height: int, plates: Plates) -> None:
    pixels = canvas(width, height)
    draw(pixels, [box_mark((width * 0.25, height * 0.5, width * 0.75, height * 0.75))], plates)
    changed = pixels[..., 1] != GREY
    below = changed[round(height * 0.65), : width // 2].sum()  # what the left bar is thick
    above = changed[: height // 2, width // 2 - width // 5 :].any(1).sum()  # what the plate is high
    assert 0.002 <= below / width <= 0.012
    assert above >= 11
    assert above / height <= 0.06


def test_a_box_is_drawn_where_it_is_even_at_the_edge_of_the_picture(plates: Plates) -> None:
    for box in ((10, 40, 60, 90), (0, 0, 100, 100), (-20, 50, 50, 300)):
        pixels = canvas(100, 100)
        draw(pixels, [box_mark(box, text="")], plates)
        left, top, right, bottom = (min(max(value, 0), 99) for value in box)
        across, down = (left + right) // 2 + 9, (top + bottom) // 2 + 10
        for x, y in ((left, down), (right, down), (across, bottom)):
            assert tuple(pixels[y, x]) == class_colour(0)
        assert (pixels[bottom - 12 : bottom - 5, right - 12 : right - 5] == GREY).all()


def test_a_line_shows_on_its_own_colour(plates: Plates) -> None:
    pixels = np.empty((200, 200, 3), np.uint8)
    pixels[:] = class_colour(0)
    draw(pixels, [box_mark((50, 50, 150, 150), text="")], plates)
    assert contrast(tuple(map(int, pixels[100, 49])), class_colour(0)) > 4
    assert contrast(tuple(map(int, pixels[100, 51])), class_colour(0)) > 4


def ring(left: float, top: float, right: float, bottom: float) -> list[tuple[float, float]]:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def test_a_mask_tints_what_it_covers_and_leaves_its_hole(plates: Plates) -> None:
    pixels = canvas(100, 100)
    draw(pixels, [Mark(0, ("",), (), (), [ring(10, 30, 90, 90), ring(40, 50, 60, 70)])], plates)
    expected = np.round(GREY * 0.6 + np.array(class_colour(0)) * 0.4)
    np.testing.assert_array_equal(pixels[40, 20], expected)
    assert (pixels[60, 50] == GREY).all()
    assert (pixels[95, 50] == GREY).all()


def test_a_mask_is_the_same_in_either_form(plates: Plates) -> None:
    mask = np.zeros((80, 100), np.uint8)
    mask[20:60, 30:70] = 1
    edges = np.flatnonzero(np.diff(mask.T.ravel(), prepend=0, append=0))
    coded = {"size": [80, 100], "counts": rle.encode(edges, mask.size)}
    one, other = canvas(100, 80), canvas(100, 80)
    draw(one, [Mark(4, ("",), (), (), [ring(30, 20, 69, 59)])], plates)
    draw(other, [Mark(4, ("",), (), (), (), coded)], plates)
    np.testing.assert_allclose(one, other, atol=3)  # where a line begins is smoothed otherwise
    assert (one != GREY).any()


def test_keypoints_and_limbs_are_drawn_where_they_are(plates: Plates) -> None:
    pixels = canvas(400, 400)
    draw(pixels, [Mark(3, ("",), points={0: (100, 100), 2: (300, 100), 5: (200, 300)}, limbs=[(0, 2), (0, 1)])], plates)
    for index, (x, y) in {0: (100, 100), 2: (300, 100), 5: (200, 300)}.items():
        assert tuple(pixels[y, x]) == class_colour(index)
    np.testing.assert_allclose(pixels[100, 200], class_colour(3), atol=30)  # it is smoothed
    assert (pixels[200, 150] == GREY).all(), "no line to a point that is not seen"


def test_a_turned_box_is_drawn_turned(plates: Plates) -> None:
    pixels = canvas(400, 400)
    corners = [(200, 100), (300, 200), (200, 300), (100, 200)]
    draw(pixels, [Mark(1, ("",), (100, 100, 300, 300), corners)], plates)
    assert tuple(pixels[150, 250]) == class_colour(1)
    assert (pixels[300, 105:190] == GREY).all()


def test_captions_do_not_hide_each_other(plates: Plates) -> None:
    """Of four boxes at one place each has a plate that is seen whole."""
    pixels = canvas(600, 400)
    marks = [box_mark((200, 150, 300, 250), colour, f"class {colour}") for colour in range(4)]
    draw(pixels, marks, plates)
    size = plates.plate(("class 0",), 11, 600).shape
    for colour in range(4):
        plate = plates.plate((f"class {colour}",), 11, 600)
        inkless = (pixels == class_colour(colour)).all(2)
        found = cv2.matchTemplate(inkless.astype(np.float32), (plate == 0).astype(np.float32), cv2.TM_SQDIFF)
        assert found.min() < 1, f"the plate of {colour}, {size}, is not there whole"


def test_what_has_no_box_is_a_list(plates: Plates) -> None:
    pixels = canvas(300, 200)
    draw(pixels, [Mark(colour, (f"class {colour} 0.5",)) for colour in range(50)], plates)
    tall = len(plates.plate(("class 0 0.5",), 11, 300))
    for colour in range(200 // tall):
        assert tuple(pixels[colour * tall, 0]) == class_colour(colour)


coordinates = st.floats(-1e7, 1e7, allow_nan=False) | st.floats(-5, 70)
points = st.tuples(coordinates, coordinates)
any_marks = st.builds(
    Mark,
    st.integers(0, 10_000),
    st.tuples(st.text(max_size=30), st.just("class 1 0.5")),
    st.just(()) | st.tuples(*[coordinates] * 4),
    st.just(()) | st.tuples(*[points] * 4),
    st.lists(st.lists(points, min_size=1, max_size=5), max_size=3),
    points=st.dictionaries(st.integers(0, 5), points, max_size=5),
    limbs=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=3),
)


@settings(max_examples=50, deadline=None)
@given(marks=st.lists(any_marks, max_size=4), width=st.integers(1, 60), height=st.integers(1, 60))
def test_anything_can_be_drawn(marks: list[Mark], width: int, height: int, plates: Plates) -> None:
    pixels = canvas(width, height)
    draw(pixels, marks, plates)
    assert pixels.shape == (height, width, 3)


# JPEG


@pytest.mark.parametrize("shape", [(1, 1, 3), (300, 500, 3), (40, 60, 1)])
def test_a_jpeg_is_what_opencv_gives_with_our_head(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    data = jpeg(pixels, 90)
    plain = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
    flags = cv2.IMREAD_UNCHANGED
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), flags), cv2.imdecode(plain, flags))
    assert data.startswith(HEAD)
    assert not plain.tobytes().startswith(HEAD)


def test_other_readers_take_it(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "a.jpg").write_bytes(jpeg(canvas(40, 30), 90))
    with Image.open(tmp_path / "a.jpg") as image:
        image.load()
        assert (image.format, image.size, image.info["comment"]) == ("JPEG", (40, 30), b"yolocli")


def test_what_no_jpeg_can_be_is_said() -> None:
    with pytest.raises(ImageError, match="no JPEG can be 70000 x 1"):
        jpeg(np.zeros((1, 70_000, 3), np.uint8), 90)
    assert jpeg(np.zeros((1, MOST_PIXELS, 3), np.uint8), 90)
