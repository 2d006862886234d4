"""The page in Chromium, from disk: what is asserted is what a person sees, hears and reaches with keys."""

from __future__ import annotations

import json
import os
import shutil
import urllib.parse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.report.material import CLASSES, HEIGHT, WIDTH, failed, found, write_run
from tests.support import write_image
from yolocli.report import make_report
from yolocli.results import STAGES, ImageResult, Outcome

View = Callable[[Path], Any]
TILES_AT_ONCE = 48
HOSTILE = (
    b'"><script>alert(1)</script>.jpg',  # a folder and a file
    b"caf\xe9 \xff.jpg",
    b"new\nline.jpg",
    "\N{GRINNING FACE} 100%41 #1?.jpg".encode(),
    b'it\'s <b>"bold"</b>.jpg',
    "</script>\u2028<img src=x onerror=alert(2)>.jpg".encode(),
)


def outcomes(root: Path) -> list[Outcome]:
    """130 images: of four, one with two cups, one with a person, one with nothing and one that is not sure; 3 fail."""
    made: list[Outcome] = []
    for number in range(130):
        path = f"{number:03}.jpg"
        if number in {5, 50, 100}:
            made.append(failed(path, root))
            continue
        write_image(root / path, WIDTH, HEIGHT)
        scores = (((1, 0.9), (1, 0.55)), ((0, 0.8),), (), ((2, 0.28),))[number % 4]
        made.append(found(path, *scores, root=root))
    return made


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Outcome]]:
    """A page, and what it is about."""
    root = tmp_path_factory.mktemp("photos")
    made = outcomes(root)
    return make_report(write_run(tmp_path_factory.mktemp("out") / "run", made)), made


def count(made: list[Outcome], least: float, most: float = 2.0, classes: tuple[str, ...] = CLASSES) -> int:
    return sum(
        any(box.name in classes and least <= (box.confidence or 0) < most for box in one.detections)
        for one in made
        if isinstance(one, ImageResult)
    )


def status(page: Any, images: int) -> None:
    """Waits until the page says that it shows so many images."""
    from playwright.sync_api import expect

    words = f"of {images} image" if images else "None of"
    expect(page.locator("#status")).to_contain_text(words)


def slide(page: Any, value: float) -> None:
    page.get_by_role("slider", name="Least confidence").fill(str(round(value * 100)))


def boxes(page: Any) -> int:
    return int(page.locator(".tile rect.shape:not(.under)").count())


def test_it_shows_pictures_with_their_boxes(view: View, shown: tuple[Path, list[Outcome]]) -> None:
    page, made = view(shown[0]), shown[1]
    status(page, count(made, 0.25))
    assert page.locator(".tile").count() == TILES_AT_ONCE
    first = page.get_by_role("list", name="Pictures").get_by_role("button").first
    assert first.get_attribute("aria-label") == "000.jpg: cup 0.90, cup 0.55"
    assert first.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") == WIDTH
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    totals = page.locator(".totals").inner_text().split("\n")
    assert set(totals[:2]) == {"130", "images"}
    rect, image = (first.locator(what).last.bounding_box() for what in ("rect.shape:not(.under)", "img"))
    assert rect["x"] - image["x"] == pytest.approx(4 / WIDTH * image["width"], abs=3)  # the surest lies on top
    assert rect["height"] == pytest.approx(35 / HEIGHT * image["height"], abs=4)


def test_the_slider_hides_boxes_and_images(view: View, shown: tuple[Path, list[Outcome]]) -> None:
    page, made = view(shown[0]), shown[1]
    page.get_by_role("radio", name="All").check(force=True)
    status(page, 130)
    before = boxes(page)
    slide(page, 0.6)
    page.locator("#least-shown", has_text="0.60").wait_for()
    first = page.locator(".tile").first
    assert first.locator("rect.shape:not(.under)").count() == 1
    assert boxes(page) < before
    status(page, 130)
    page.get_by_role("radio", name="With detections").check(force=True)
    status(page, count(made, 0.6))
    slide(page, 0.95)
    status(page, 0)


@pytest.mark.slow
def test_classes_are_switched_off_and_on(view: View, shown: tuple[Path, list[Outcome]]) -> None:
    page, made = view(shown[0]), shown[1]
    page.get_by_role("checkbox", name="cup").uncheck()
    status(page, count(made, 0.25, classes=("person", "traffic light")))
    assert all("cup" not in text for text in page.locator(".tile .what").all_inner_texts())
    page.get_by_role("button", name="Only cup").click()
    status(page, count(made, 0.25, classes=("cup",)))
    assert set(page.locator(".tile .what").all_inner_texts()) == {"cup \N{MULTIPLICATION SIGN}2"}
    page.get_by_role("button", name="None").click()
    status(page, 0)
    page.get_by_role("button", name="All", exact=True).click()
    status(page, count(made, 0.25))
    page.get_by_role("button", name="Show pictures of person").click()
    status(page, count(made, 0.25, classes=("person",)))


@pytest.mark.slow
def test_views(view: View, shown: tuple[Path, list[Outcome]]) -> None:
    page, made = view(shown[0]), shown[1]
    results = sum(isinstance(one, ImageResult) for one in made)
    page.get_by_role("radio", name="Near the threshold").check(force=True)
    status(page, count(made, 0.25, 0.3))
    slide(page, 0.56)
    status(page, count(made, 0.51, 0.61))
    assert page.locator(".tile").first.locator("rect.below").count() == 1  # 0.55, just below
    slide(page, 0.25)
    page.get_by_role("radio", name="Nothing found").check(force=True)
    status(page, results - count(made, 0.25))
    page.get_by_role("radio", name="Failed").check(force=True)
    status(page, 3)
    assert page.locator(".tile .why").all_inner_texts() == ["the JPEG data is cut off or damaged"] * 3
    page.get_by_role("radio", name="All").check(force=True)
    page.get_by_role("button", name="Show them").click()
    status(page, 3)


@pytest.mark.slow
def test_pages_are_turned_and_only_one_is_there(view: View, shown: tuple[Path, list[Outcome]]) -> None:
    page = view(shown[0])
    page.get_by_role("radio", name="All").check(force=True)
    page.get_by_role("button", name="Next", exact=True).click()
    page.locator(".tile .name", has_text="048.jpg").wait_for()
    assert page.locator(".tile").count() == TILES_AT_ONCE
    page.get_by_label("page").fill("3")
    page.keyboard.press("Enter")
    page.locator(".tile .name", has_text="129.jpg").wait_for()
    assert page.locator(".tile").count() == 130 - 2 * TILES_AT_ONCE
    assert page.get_by_role("button", name="Next", exact=True).is_disabled()


def focused(page: Any) -> str:
    return str(page.evaluate("document.activeElement.getAttribute('aria-label')"))


@pytest.mark.slow
def test_keys_alone_are_enough(view: View, shown: tuple[Path, list[Outcome]]) -> None:
    page = view(shown[0])
    page.get_by_role("radio", name="With detections").focus()
    page.keyboard.press("ArrowRight")  # to the next view
    status(page, 130)
    for _ in range(30):
        page.keyboard.press("Tab")
        if focused(page).startswith("000.jpg"):
            break
    assert focused(page).startswith("000.jpg")
    page.keyboard.press("ArrowRight")
    assert focused(page).startswith("001.jpg")
    columns = page.evaluate("getComputedStyle(document.getElementById('tiles')).gridTemplateColumns").count("px")
    page.keyboard.press("ArrowDown")
    assert focused(page).startswith(f"{1 + columns:03}.jpg")
    page.keyboard.press("End")
    page.keyboard.press("ArrowRight")  # onto the next page
    page.locator("[aria-label^='048.jpg']:focus").wait_for()
    page.keyboard.press("Enter")
    viewer = page.get_by_role("dialog")
    viewer.get_by_role("heading", name="048.jpg").wait_for()
    page.keyboard.press("ArrowLeft")
    viewer.get_by_role("heading", name="047.jpg").wait_for()
    for _ in range(6):  # Tab stays in it, or goes to the browser's own controls
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('dialog')")
    page.keyboard.press("Escape")
    page.locator("[aria-label^='047.jpg']:focus").wait_for()
    assert viewer.count() == 0


def test_names_of_any_kind_are_text_and_lead_to_their_files(view: View, tmp_path: Path) -> None:
    root, made = tmp_path / "photos", []
    for name in HOSTILE:
        file = os.path.join(os.fsencode(root), name)
        os.makedirs(os.path.dirname(file), exist_ok=True)
        write_image(file, WIDTH, HEIGHT)
        made.append(found(os.fsdecode(name), (0, 0.9), root=root))
    hostile = "<script>alert(3)</script><img src=x onerror=alert(4)>"
    made[0] = ImageResult(made[0].ref, WIDTH, HEIGHT, tuple(_named(box, hostile) for box in made[0].detections))
    broken = os.fsdecode(b"broken \xff<script>alert(5)</script>")
    page = view(make_report(write_run(tmp_path / "out", [*made, failed(broken, root)], names={"0": hostile})))
    status(page, len(made))
    names = set(page.locator(".tile .name").all_text_contents())
    assert {name for name in names if "alert(1)" in name} == {'"><script>alert(1)</script>.jpg'}
    assert "caf\\xe9 \\xff.jpg" in names
    assert hostile in page.locator("#class-list").inner_text()
    assert page.locator("script, .tile script, main img:not(.tile img)").count() == 1
    reached = set()
    page.locator(".tile").first.click()
    for place in range(len(made)):
        page.locator("#viewer-place", has_text=f"{place + 1} of {len(made)}").wait_for()
        link = page.get_by_role("link", name="Open the original").get_attribute("href")
        picture = page.locator("#viewer-figure img")
        assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == WIDTH
        assert picture.evaluate("image => image.src") == link
        file = urllib.parse.unquote_to_bytes(link.removeprefix("file://"))
        reached.add(os.path.relpath(file, os.fsencode(root)))
        page.keyboard.press("ArrowRight")
    assert reached == set(HOSTILE)


def _named(box: Any, name: str) -> Any:
    return replace(box, name=name)


@pytest.mark.slow
def test_an_original_that_is_gone_is_said(view: View, tmp_path: Path) -> None:
    root, told = tmp_path / "photos", []
    root.mkdir()
    write_image(root / "there.jpg", WIDTH, HEIGHT)
    write_image(root / "other.jpg", 2 * WIDTH, HEIGHT)
    names = ("gone.jpg", "other.jpg", "there.jpg")
    folder = write_run(tmp_path / "out", [found(name, (0, 0.9), root=root) for name in names])
    page = view(make_report(folder, notice=told.append))
    status(page, 3)
    assert page.locator(".tile .why").all_inner_texts() == [
        "The original is gone.",
        "The original has changed since the run.",
    ]
    assert told == ["2 images without a picture in the report: the originals are gone, or have changed since the run"]


def test_an_original_on_the_web_is_linked_and_never_loaded(
    view: View, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_image(tmp_path / "a.jpg", WIDTH, HEIGHT)
    monkeypatch.setattr("yolocli.report.pictures.read", lambda source: data)
    urls = [f"http://127.0.0.1:9/{name}.jpg" for name in "ab"]
    made, lost = found("a.jpg", (0, 0.9)), failed("b.jpg")
    made, lost = (
        replace(made, ref=replace(made.ref, source=urls[0])),
        replace(lost, ref=replace(lost.ref, source=urls[1])),
    )
    page = view(make_report(write_run(tmp_path / "out", [made, lost])))
    page.get_by_role("radio", name="All").check(force=True)
    status(page, 2)
    page.locator(".tile").first.click()
    picture = page.locator("#viewer-figure img")
    assert picture.evaluate("image => image.decode().then(() => image.src)").startswith("file:")
    assert "/large/" in picture.get_attribute("src")
    for url in urls:
        page.locator(f"#viewer-original[href='{url}']").wait_for()
        page.keyboard.press("ArrowRight")
    page.get_by_text("not on this disk").wait_for()


@pytest.mark.slow
def test_a_page_without_its_folder_says_so(browser: Any, shown: tuple[Path, list[Outcome]], tmp_path: Path) -> None:
    alone = shutil.copy(shown[0], tmp_path)
    page = browser.new_page()
    page.goto(Path(alone).as_uri())
    page.get_by_role("alert").wait_for()
    assert "must lie beside this page" in page.get_by_role("alert").inner_text()
    page.close()


@pytest.mark.slow
def test_it_is_dark_where_people_want_it_dark_and_prints_on_white(
    view: View, shown: tuple[Path, list[Outcome]]
) -> None:
    page = view(shown[0])
    colour = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(colour)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(colour) != light
    assert page.locator(".chart rect").first.evaluate("bar => getComputedStyle(bar).fill") == "rgb(143, 169, 255)"
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate(colour) == "rgb(255, 255, 255)"
    assert page.locator(".tile").first.is_visible()
    assert not page.locator("#controls").is_visible()


def test_every_stage_has_a_colour_of_its_own(view: View, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "out", [found("a.jpg")])
    ran = {"images": 1, "failures": 0, "stages": dict.fromkeys(STAGES, 0.1), "images_per_second": 1.0, "mode": "thread"}
    (folder / "summary.json").write_text(json.dumps(ran))
    rects = view(make_report(folder)).locator(".stages > svg rect")
    fills = [rects.nth(place).evaluate("rect => getComputedStyle(rect).fill") for place in range(len(STAGES))]
    assert len({*fills, "rgb(0, 0, 0)"}) == len(STAGES) + 1


@pytest.mark.slow
def test_charts_can_be_read_aloud(view: View, shown: tuple[Path, list[Outcome]]) -> None:
    page = view(shown[0])
    chart = page.get_by_role("img", name="Confidence, all classes: ")
    assert "32 at 0.90 to 0.95" in str(chart.get_attribute("aria-label"))
    page.get_by_text("As a table").first.click()
    assert page.get_by_role("row", name="0.90 to 0.95 32").is_visible()
    assert page.get_by_role("row", name="decode TruncatedImage 3").is_visible()
