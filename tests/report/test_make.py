"""What `yolocli report` leaves on disk, from which journal, and what it leaves alone."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest

from tests.conftest import SAMPLES
from tests.report.material import CLASSES, HEIGHT, WIDTH, failed, found, many, ref, write_run
from tests.support import clean_environment, write_image, yolocli
from yolocli.config import DEFAULT_SAMPLE
from yolocli.errors import UsageError
from yolocli.images import rle
from yolocli.report import asked_before, make_report
from yolocli.report.sample import FAILED, FOUND, NOTHING, allot
from yolocli.report.shown import to_script
from yolocli.results import Detection, ImageResult, Outcome

MOST_MEMORY = 500 << 20


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    root.mkdir()
    for number in range(4):
        write_image(root / f"{number}.jpg", WIDTH, HEIGHT, 40 * number)
    return root


@pytest.fixture
def out(tmp_path: Path, photos: Path) -> Path:
    made: list[Outcome] = [found(name, (0, 0.9), root=photos) for name in sorted(os.listdir(photos))]
    return write_run(tmp_path / "out", [*made, failed("x.jpg", photos)])


def files(folder: Path) -> dict[str, bytes]:
    """Returns the page and all that it loads."""
    found = [folder / "report.html", *(folder / "report").rglob("*")]
    return {str(file.relative_to(folder)): file.read_bytes() for file in found if file.is_file()}


def shown(folder: Path) -> list[dict[str, Any]]:
    """Returns the records that a page shows."""
    records: list[dict[str, Any]] = []
    for file in sorted((folder / "report").rglob("part-*.js")):
        text = file.read_text()
        records += json.loads(text[text.index("[") : text.rindex("]") + 1])
    return records


def test_the_same_journal_gives_the_same_bytes(out: Path) -> None:
    page = make_report(out)
    assert page == out / "report.html"
    first = files(out)
    assert len(first) == 1 + 2 + 4
    make_report(out)
    assert files(out) == first


def test_what_an_older_page_needed_goes_once_the_new_one_is_there(out: Path) -> None:
    make_report(out)
    before = {name for name in files(out) if name != "report.html"}
    make_report(out, sample=2)
    after = {name for name in files(out) if name != "report.html"}
    assert not before & after
    assert len(list((out / "report").iterdir())) == 1


def pictures(folder: Path) -> dict[str, bytes]:
    """Returns the small pictures of a page, by the names of their images."""
    return {record["name"]: (folder / record["small"]).read_bytes() for record in shown(folder) if "small" in record}


def test_pictures_stay_where_the_originals_are_gone(out: Path, photos: Path) -> None:
    make_report(out)
    before = pictures(out)
    assert len(before) == 4
    for number in range(4):
        (photos / f"{number}.jpg").unlink()
    write_image(photos / "4.jpg", WIDTH, HEIGHT)
    write_run(out, [found("4.jpg", (0, 0.9), root=photos)])
    told: list[str] = []
    make_report(out, notice=told.append)
    after = pictures(out)
    assert after == before | {"4.jpg": after["4.jpg"]}
    assert told == []


@pytest.mark.parametrize(("version", "value"), [("1-1", 10), ("2-2", 200), ("", 200)])
def test_a_picture_is_of_the_version_that_the_record_is_of(tmp_path: Path, version: str, value: int) -> None:
    """What lies there is of another version each time; without one nothing tells whether a picture is of it."""
    for one, grey in (("1-1" if version else "", 10), (version, 200)):
        PIL.Image.new("L", (WIDTH, HEIGHT), grey).save(tmp_path / "a.png")
        made = found("a.png", (0, 0.9), root=tmp_path)
        make_report(write_run(tmp_path / "out", [replace(made, ref=replace(made.ref, version=one))]))
    (jpeg,) = pictures(tmp_path / "out").values()
    with PIL.Image.open(io.BytesIO(jpeg)) as image:
        assert image.convert("L").getpixel((0, 0)) == pytest.approx(value, abs=2)


def test_a_torn_picture_is_made_again(out: Path) -> None:
    make_report(out)
    before = pictures(out)
    torn = out / shown(out)[0]["small"]
    torn.write_bytes(torn.read_bytes()[:-20])
    make_report(out, seed=1)
    assert pictures(out) == before


def test_a_sample_is_drawn_by_names_and_seed_and_said(tmp_path: Path) -> None:
    made = list(many(1000))
    page = make_report(write_run(tmp_path / "out", made), sample=100, seed=3)
    first = [record["name"] for record in shown(tmp_path / "out")]
    assert len(first) == 100
    assert first == [one.path for one in sorted(made, key=lambda one: one.path) if one.path in set(first)]
    assert "A sample: 100 of 1,000 images, drawn with seed 3." in page.read_text()
    make_report(write_run(tmp_path / "again", reversed(made)), sample=100, seed=3)
    assert [record["name"] for record in shown(tmp_path / "again")] == first
    make_report(tmp_path / "out", sample=100, seed=4)
    assert [record["name"] for record in shown(tmp_path / "out")] != first
    make_report(tmp_path / "out", sample=None)
    assert len(shown(tmp_path / "out")) == 1000
    assert "A sample" not in page.read_text()


def test_a_page_knows_what_it_was_asked_for(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "out", many(10))
    assert asked_before(folder) == (DEFAULT_SAMPLE, 0)
    for asked in ((5, 3), (None, -7)):
        make_report(folder, *asked)
        assert asked_before(folder) == asked


def test_a_picture_that_no_decoder_takes_is_one_of_many(
    out: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As notes of cameras are, which are read by more than one library."""
    real = PIL.ImageOps.exif_transpose

    def transpose(image: PIL.Image.Image, **options: bool) -> object:
        if image.getpixel((0, 0)) == first:
            raise TypeError("bad operand type for abs(): 'bytes'")
        return real(image, **options)

    first = PIL.Image.open(photos / "1.jpg").getpixel((0, 0))
    monkeypatch.setattr("PIL.ImageOps.exif_transpose", transpose)
    make_report(out)
    assert len(list((out / "report").rglob("*.jpg"))) == 4, "the other decoder takes it"
    monkeypatch.setattr("yolocli.report.pictures.thumbnail", lambda *_, **__: 1 / 0)
    shutil.rmtree(out / "report")  # or the pictures would be taken from there
    make_report(out, seed=1)
    assert {record.get("missing") for record in shown(out)} == {
        "The original cannot be shown: ZeroDivisionError.",
        None,
    }


@pytest.mark.parametrize(("suffix", "orientation", "large"), [("jpg", 6, False), ("webp", 1, False), ("webp", 6, True)])
def test_an_original_that_browsers_do_not_turn_has_a_large_copy(
    tmp_path: Path, suffix: str, orientation: int, large: bool
) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    stored = (WIDTH, HEIGHT) if orientation == 1 else (HEIGHT, WIDTH)
    PIL.Image.new("RGB", stored).save(tmp_path / f"a.{suffix}", exif=exif)
    make_report(write_run(tmp_path / "out", [found(f"a.{suffix}", (0, 0.9), root=tmp_path)]))
    (entry,) = shown(tmp_path / "out")
    assert "missing" not in entry
    assert ("large" in entry) is large
    for size in ("small", "large")[: 1 + large]:
        with PIL.Image.open(tmp_path / "out" / entry[size]) as image:
            assert image.size == (WIDTH, HEIGHT)


def test_failures_and_images_with_nothing_found_have_their_share_of_a_sample(tmp_path: Path) -> None:
    made = [found(f"{number:04}.jpg", (0, 0.9)) for number in range(970)]
    made += [found(f"n{number}.jpg") for number in range(20)]
    make_report(write_run(tmp_path / "out", [*made, *(failed(f"f{number}.jpg") for number in range(10))]), sample=100)
    kinds = Counter(
        "failed" if "failed" in one else "found" if one["things"] else "none" for one in shown(tmp_path / "out")
    )
    assert kinds == {"failed": 10, "none": 10, "found": 80}


@pytest.mark.parametrize(
    ("size", "counts"),
    [(1, (5, 5, 5)), (10, (100, 1, 0)), (99, (100, 0, 0)), (1000, (998, 2, 3)), (7, (3, 3, 3)), (50, (0, 60, 70))],
)
def test_shares_of_a_sample_add_up(size: int, counts: tuple[int, int, int]) -> None:
    by_kind = dict(zip((FOUND, NOTHING, FAILED), counts, strict=True))
    shares = allot(size, by_kind)
    assert sum(shares.values()) == size
    assert all(min(by_kind[kind], size // 10) <= share <= by_kind[kind] for kind, share in shares.items())


def test_figures_are_of_all_images_not_of_the_sample(tmp_path: Path) -> None:
    made = list(many(600))
    text = make_report(write_run(tmp_path / "out", made), sample=5).read_text()
    boxes = Counter(box.name for one in made for box in getattr(one, "detections", ()))
    for name in CLASSES:
        row = re.search(rf"</svg>{name}</th>\s*<td class=\"number\">([\d,]+)</td>", text)
        assert row is not None
        assert int(row[1].replace(",", "")) == boxes[name]
    assert "12 of 600 images failed" in text


def test_the_best_class_alone_counts_of_a_classifier(tmp_path: Path) -> None:
    ranked = [
        Detection(name, kind, score) for kind, (name, score) in enumerate(zip(CLASSES, (0.5, 0.3, 0.2), strict=True))
    ]
    made = [ImageResult(ref(f"{number}.jpg"), WIDTH, HEIGHT, tuple(ranked)) for number in range(4)]
    text = make_report(write_run(tmp_path / "out", made, task="classify")).read_text()
    assert re.findall(r"</svg>([\w ]+)</th>\s*<td class=\"number\">(\d+)</td>", text) == [
        ("person", "4"),
        ("cup", "0"),
        ("traffic light", "0"),
    ]
    assert "The best class of each image counts" in text
    assert "<dt>detections</dt>" not in text
    assert "Detections per class" not in text
    assert "The best class" not in make_report(write_run(tmp_path / "boxes", many(9))).read_text()


def test_the_slowest_images_are_named_if_the_records_have_timings(tmp_path: Path) -> None:
    made = [replace(found(f"{number}.jpg"), timings={"infer": float(number)}) for number in range(30)]
    text = make_report(write_run(tmp_path / "out", made)).read_text()
    slowest = text[text.index("Slowest images") : text.index('id="run"')]
    assert re.findall(r">(\d+)\.jpg</a>", slowest) == [str(number) for number in range(29, 19, -1)]
    assert "--timings" in make_report(write_run(tmp_path / "none", [found("a.jpg")])).read_text()


def test_a_mask_has_the_same_outline_whatever_form_it_is_recorded_in(tmp_path: Path) -> None:
    inside = np.array([[10 * HEIGHT + 5, 10 * HEIGHT + 20], [11 * HEIGHT + 5, 11 * HEIGHT + 20]])
    corners = {"x": [10, 10, 11, 11], "y": [5, 19, 19, 5]}
    masks: list[dict[str, Any]] = [
        {"segments": corners},
        {"rle": {"size": [HEIGHT, WIDTH], "counts": rle.encode(inside.ravel(), WIDTH * HEIGHT)}},
        {"rle": {"size": [HEIGHT, WIDTH], "counts": rle.encode(np.zeros(0, np.int64), WIDTH * HEIGHT)}},
    ]
    things = tuple(Detection("cup", 1, 0.9, (9.0, 4.0, 12.0, 21.0), mask) for mask in masks)
    make_report(write_run(tmp_path / "out", [ImageResult(ref("a.jpg"), WIDTH, HEIGHT, things)], task="segment"))
    (entry,) = shown(tmp_path / "out")
    assert [thing.get("rings") for thing in entry["things"]] == [[[10, 5, 10, 19, 11, 19, 11, 5]]] * 2 + [None]


def test_nothing_ends_a_script_or_its_line() -> None:
    text = to_script({"</script>": "<!-- \u2028 \u2029 \udcff"})
    assert json.loads(text) == {"</script>": "<!-- \u2028 \u2029 \udcff"}
    assert text.isascii()
    assert not re.search("[<>]", text)


# Files of somebody else


def test_a_page_of_somebody_else_is_not_replaced(out: Path) -> None:
    (out / "report.html").write_text("<!doctype html><title>mine</title>")
    with pytest.raises(UsageError, match=r"report\.html is no file that yolocli wrote"):
        make_report(out)
    assert "mine" in (out / "report.html").read_text()
    done = yolocli("detect", SAMPLES, "--model", "builtin", "--output", out, "--report", "--overwrite")
    assert done.returncode == 2, done.stderr
    assert "mine" in (out / "report.html").read_text()


def test_files_of_somebody_else_beside_ours_stay(out: Path, photos: Path) -> None:
    make_report(out)
    folder = next((out / "report").iterdir())
    for mine in (out / "report/notes.js", folder / "mine.jpg", folder / "small/mine.txt"):
        mine.write_text("mine")
    make_report(out, sample=1)
    assert {name for name, data in files(out).items() if data == b"mine"} == {
        "report/notes.js",
        f"report/{folder.name}/mine.jpg",
        f"report/{folder.name}/small/mine.txt",
    }


@pytest.mark.slow
def test_overwrite_clears_the_page(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert yolocli("detect", SAMPLES / "shop/letter.jpg", "--model", "builtin", "-o", out, "--report").returncode == 0
    assert len(files(out)) == 4
    done = yolocli("detect", SAMPLES / "shop/poster.jpg", "--model", "builtin", "-o", out, "--overwrite")
    assert done.returncode == 0, done.stderr
    assert not (out / "report.html").exists()
    assert not (out / "report").exists()


# At the end of a run


@pytest.mark.slow
def test_the_last_line_of_a_run_names_the_page_and_a_later_run_keeps_it_up(tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    (photos / "letter.jpg").write_bytes((SAMPLES / "shop/letter.jpg").read_bytes())
    command = ("detect", photos, "--model", "builtin", "-o", out)
    done = yolocli(*command, "--report")
    assert done.stderr.splitlines()[-1].decode() == f"Report: {out / 'report.html'}"
    assert [record["name"] for record in shown(out)] == ["letter.jpg"]
    (photos / "poster.jpg").write_bytes((SAMPLES / "shop/poster.jpg").read_bytes())
    done = yolocli(*command)
    assert done.stderr.splitlines()[-1].decode() == f"Report: {out / 'report.html'}"
    assert [record["name"] for record in shown(out)] == ["letter.jpg", "poster.jpg"]
    assert b"Report" not in yolocli(*command).stderr  # nothing new
    assert yolocli(*command, "--report", "--quiet").stderr == b""


@pytest.mark.slow
def test_a_page_that_cannot_be_written_costs_a_run_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ("detect", SAMPLES / "shop/letter.jpg", "--model", "builtin", "-o", out)
    assert yolocli(*command).returncode == 0
    (out / "report").write_text("a file where the folder goes")
    done = yolocli(*command, "--report")
    assert done.returncode == 0, done.stderr
    assert b"no report: " in done.stderr.splitlines()[-1]
    assert json.loads((out / "summary.json").read_bytes())["folder"]["images"] == 1


def test_a_page_needs_a_folder() -> None:
    done = yolocli("detect", SAMPLES, "--model", "builtin", "--stdout", "--report")
    assert done.returncode == 2
    assert b"--report writes files: give --output" in done.stderr
    done = yolocli("report", SAMPLES)
    assert done.returncode == 2
    assert b"holds no results.jsonl" in done.stderr


@pytest.mark.slow
def test_memory_is_bounded_at_100_000_images(tmp_path: Path) -> None:
    out = write_run(tmp_path / "out", many(100_000))
    code = (
        "import sys; from pathlib import Path; from yolocli.report import make_report\n"
        "make_report(Path(sys.argv[1]), sample=None)\n"
        "status = Path('/proc/self/status').read_text()\n"  # what getrusage tells may be of the process that forked it
        "print(status.partition('VmHWM:')[2].split()[0])"
    )
    command = [sys.executable, "-c", code, str(out)]
    done = subprocess.run(command, capture_output=True, check=True, env=clean_environment())
    assert int(done.stdout) << 10 < MOST_MEMORY
    assert len(shown(out)) == 100_000
