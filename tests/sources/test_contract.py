"""The contract of every source: a new row in SOURCES is tested by being there, with a place in `places`."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from tests import fakes
from tests.sources import pack
from tests.sources.places import ALIKE, PLACES, Place
from tests.support import projections, run, write_image
from yolocli import sources
from yolocli.config import SourceConfig
from yolocli.errors import ImageError, UsageError
from yolocli.executors import EXECUTORS
from yolocli.results import ImageFailure, ImageRef
from yolocli.runtimes.plan import Prepared
from yolocli.sources import SOURCES, read, source_of
from yolocli.sources.archives import MARK
from yolocli.sources.base import MOST_BYTES
from yolocli.sources.discover import Discovery, discover

every_source = pytest.mark.parametrize("scheme", list(PLACES))
QUICK = {("::tar", "thread"), ("::zip", "locked"), ("::parquet", "thread"), ("::tar.gz", "process")}
GONE = {"FileNotFoundError", "NoSuchMember"}


@pytest.fixture(autouse=True)
def _row(monkeypatch: pytest.MonkeyPatch) -> None:
    pack.register(monkeypatch)


@pytest.fixture
def place(scheme: str, tmp_path: Path) -> Place:
    return PLACES[scheme](tmp_path / "place")


@pytest.fixture
def picture(tmp_path: Path) -> bytes:
    return write_image(tmp_path / "picture.png")


def outright(place: Place, path: str) -> str:
    """What names a file of a place by itself."""
    return place.name + place.between + path


def found(*inputs: str, **options: Any) -> list[ImageRef | ImageFailure]:
    return list(discover(SourceConfig(inputs, **options)))


def names(*inputs: str, **options: Any) -> list[str]:
    return [item.path for item in found(*inputs, **options)]


def test_every_row_has_a_place() -> None:
    assert {MARK if scheme.startswith(MARK) else scheme for scheme in PLACES} == {*SOURCES, *pack.ROW} - ALIKE.keys()


@every_source
def test_what_is_listed_has_a_name_and_a_version_and_can_be_read(place: Place) -> None:
    files = {"1.jpg": b"one", "a/2.png": b"two", "a/b/3.webp": b"three", "é/\udcff 4.jpg": b"four"}
    if not place.any_name:
        files.pop("é/\udcff 4.jpg")
    for path, data in reversed(files.items()):
        place.put(path, data)
    refs = found(place.name)
    assert [ref.path for ref in refs] == [place.before + path for path in files]
    for ref, (path, data) in zip(refs, files.items(), strict=True):
        assert isinstance(ref, ImageRef)
        assert ref.version
        assert ref.source == outright(place, path)
        assert read(ref.source) == read(ref.source, ref.hint) == data
        assert source_of(ref.source).version(ref.source, walked=True) == ref.version


@every_source
def test_the_version_tells_when_a_file_is_another(place: Place) -> None:
    for path in ("1.jpg", "2.jpg"):
        place.put(path, b"before")
    before = found(place.name)
    assert found(place.name) == before
    place.put("2.jpg", b"behind")
    after = found(place.name)
    assert (after[0] == before[0]) is place.apart
    assert after[1] != before[1]


@every_source
def test_a_file_is_one_whether_walked_named_or_listed(place: Place, tmp_path: Path) -> None:
    for path in ("a/1.jpg", "a/2.jpg"):
        place.put(path, b"x")
    second = outright(place, "a/2.jpg")
    (tmp_path / "list").write_text(f"{second}\n{place.name}\n")
    by_walk = found(place.name)
    for way in itertools.permutations((place.name, second)):
        assert sorted(found(*way), key=str) == by_walk
    listed = found(files_from=str(tmp_path / "list"))
    assert [item.ref.source if isinstance(item, ImageFailure) else item.source for item in listed] == [
        second,
        outright(place, "a/1.jpg"),
    ]


@every_source
def test_filters_hold_everywhere(place: Place) -> None:
    for path in ("1.jpg", "a/2.jpg", "a/3.png", "notes.txt"):
        place.put(path, b"x")
    jpegs = [place.before + path for path in ("1.jpg", "a/2.jpg")]
    assert names(place.name, include=("*.jpg",)) == jpegs
    assert names(place.name, exclude=("a/3.*",)) == jpegs
    discovery = Discovery(SourceConfig((place.name,)))
    assert len(list(discovery)) == 3
    assert discovery.search.passed_over == 1


@every_source
def test_what_is_not_there_is_said_at_once_or_recorded(place: Place, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        Discovery(SourceConfig((place.name.replace("place", "nowhere"),)))
    (tmp_path / "list").write_text(f"{outright(place, 'gone.jpg')}\n")
    (failure,) = found(files_from=str(tmp_path / "list"))
    assert isinstance(failure, ImageFailure)
    assert failure.stage == "read"
    assert failure.error in GONE


@every_source
def test_what_cannot_be_read_raises_what_becomes_a_record(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for path, data in {"empty.jpg": b"", "large.jpg": bytes(2000), "gone.jpg": b"x"}.items():
        place.put(path, data)
    place.remove("gone.jpg")
    with pytest.raises(ImageError, match="no bytes") as caught:
        read(outright(place, "empty.jpg"))
    assert caught.value.kind == "EmptyFile"
    monkeypatch.setattr("yolocli.sources.base.MOST_BYTES", 1999)
    with pytest.raises(ImageError, match="more than any image") as caught:
        read(outright(place, "large.jpg"))
    assert caught.value.kind == "FileTooLarge"
    with pytest.raises((ImageError, FileNotFoundError)):
        read(outright(place, "gone.jpg"))
    assert MOST_BYTES > 1999


@every_source
def test_what_is_gone_is_known(place: Place) -> None:
    for path in ("a/1.jpg", "a/2.jpg"):
        place.put(path, b"x")
    place.remove("a/2.jpg")
    assert not source_of(place.name).gone(outright(place, "a/1.jpg"))
    assert source_of(place.name).gone(outright(place, "a/2.jpg"))
    assert source_of(place.name).can_list(place.name)
    assert not source_of(place.name).can_list(place.name.replace("place", "nowhere"))


@every_source
@pytest.mark.usefixtures("fake_detectors")
def test_what_is_left_out_and_what_is_out_of_reach_has_not_vanished(
    place: Place, picture: bytes, tmp_path: Path
) -> None:
    for name in ("1.png", "2.png", "3.png"):
        place.put(name, picture)
    out = tmp_path / "out"
    run(place.name, output=out)
    place.remove("3.png")
    outcomes, this = run(place.name, output=out, exclude=("1.png",), prune=True)
    assert ([outcome.ref.source for outcome in outcomes], this.summary.pruned) == (
        [] if place.apart else [outright(place, "2.png")],
        1,
    )
    assert projections(out, "json").keys() == {f"json/{place.before}{number}.png.json" for number in (1, 2)}


def test_names_of_places_in_one_run_never_meet(tmp_path: Path) -> None:
    """Whatever is searched together, and in whatever order, each file has one name of its own."""
    places = [PLACES[scheme](tmp_path / f"{number}") for number, scheme in enumerate(("", "pack", "pack", "", "::tar"))]
    for place in places:
        place.put("a/1.jpg", b"x")
    every = {order: found(*(place.name for place in order)) for order in itertools.permutations(places)}
    expected = {(item.path, item.source) for item in next(iter(every.values()))}
    assert len({path for path, _ in expected}) == len({source for _, source in expected}) == 5
    for items in every.values():
        assert {(item.path, item.source) for item in items} == expected


@pytest.mark.parametrize("name", ["rtsp://host/1.jpg", "RTSP://host/1.jpg"])
def test_a_scheme_without_a_row_is_refused_with_what_to_do(name: str, tmp_path: Path) -> None:
    assert name.split(":")[0].lower() not in SOURCES
    with pytest.raises(UsageError, match="is a URL; yolocli reads files: download it first"):
        found(name)
    (tmp_path / "list").write_text(f"{name}\n")
    (failure,) = found(files_from=str(tmp_path / "list"))
    assert isinstance(failure, ImageFailure)
    assert (failure.error, "download it first" in failure.message) == ("NotAnImage", True)


class Loader(fakes.FakeLoader):
    """Loads fakes, and adds the row in a worker process, which has the modules alone."""

    def load(self, prepared: Prepared) -> fakes.FakeDetector:
        pack.register()
        return super().load(prepared)


@pytest.mark.parametrize(
    ("scheme", "mode"),
    [
        # of archives, what only the process that listed them knows is what may be wrong in another
        pytest.param(scheme, mode, marks=[pytest.mark.slow] * (scheme[:2] == MARK and (scheme, mode) not in QUICK))
        for scheme, mode in itertools.product(PLACES, EXECUTORS)
    ],
)
def test_a_run_goes_on_where_it_was_in_every_mode(place: Place, picture: bytes, mode: str, tmp_path: Path) -> None:
    if place.name.startswith("memory:") and mode not in {"thread", "locked"}:
        pytest.skip("no other process sees what is in memory")
    for number in range(5):
        place.put(f"a/{number}.png", picture)
    place.put("a/none.jpg", b"no image")
    out = tmp_path / "out"
    outcomes, _ = run(place.name, loader=Loader(), mode=mode, workers=2, output=out)
    assert {outcome.path: outcome.status for outcome in outcomes} == {
        **{f"{place.before}a/{number}.png": "ok" for number in range(5)},
        f"{place.before}a/none.jpg": "failed",
    }
    assert len(projections(out, "json")) == 6
    place.put("a/3.png", write_image(tmp_path / "other.png", value=50))
    place.put("a/5.png", picture)
    place.remove("a/0.png")
    outcomes, second = run(place.name, loader=Loader(), mode=mode, workers=2, output=out, retry_failed=False)
    done_again = ("3.png", "5.png") if place.apart else ("1.png", "2.png", "3.png", "4.png", "5.png", "none.jpg")
    assert sorted(outcome.path for outcome in outcomes) == [f"{place.before}a/{name}" for name in done_again]
    assert (second.summary.skipped, second.summary.vanished) == (6 - len(done_again), 1)


def test_a_plain_path_asks_for_no_scheme() -> None:
    assert sources.scheme_of("/data/a/1.jpg") == sources.scheme_of("c:/a.jpg") == sources.DISK
    assert sources.scheme_of("PACK:///a.zip/1.jpg") == "pack"
    assert sources.scheme_of("nobody://a/1.jpg") == sources.DISK
