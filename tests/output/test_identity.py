"""Which file is a record about? Whatever is run, in whatever order: no row is lost, doubled or under another's name."""

from __future__ import annotations

import csv
import itertools
import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fakes import FakeDetector
from tests.support import REPOSITORY, projections, records, run, run_config, without_privileges, write_image
from yolocli.errors import UsageError
from yolocli.output.formats.json_files import FILES as JSON
from yolocli.output.ownership import JOURNAL
from yolocli.output.past import replay
from yolocli.output.places import per_image
from yolocli.output.projection import rebuild
from yolocli.pipeline import Run
from yolocli.results import ImageResult
from yolocli.sources.names import Names, Root

OLD_FOLDERS = REPOSITORY / "tests/old_folders"
OLD_TIME = 1_700_000_000_000_000_000


def rows(output: Path, name: str = "images.csv") -> list[dict[str, str]]:
    with open(output / name, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def sources(output: Path) -> dict[str, str]:
    """Sources of the images in a folder by their names, both of which no other has."""
    table = {row["path"]: row["source"] for row in rows(output)}
    assert len(table) == len(rows(output)) == len(set(table.values()))
    return table


@pytest.fixture
def sites(tmp_path: Path, fake_detectors: list[FakeDetector]) -> Path:
    """Two folders of equal names; each image has a size of its own, all have one size in bytes and one mtime."""
    for number, name in enumerate(("siteA/1.bmp", "siteB/1.bmp", "siteA/2.bmp", "siteB/sub/2.bmp"), 1):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        write_image(file, 8 * number, 8)
        with open(file, "ab") as stream:
            stream.truncate(2000)
        os.utime(file, ns=(OLD_TIME, OLD_TIME))
    return tmp_path


def widths(output: Path) -> dict[str, int]:
    """Widths by the file that records are about."""
    return {outcome.ref.source: outcome.width for outcome in replay(output / JOURNAL)}  # type: ignore[union-attr]


def test_a_second_folder_of_equal_names_loses_and_mixes_nothing(sites: Path) -> None:
    output = sites / "out"
    run(sites / "siteA", output=output)
    done, _ = run(sites / "siteB", output=output)
    assert len(done) == 2
    assert widths(output) == {
        str(sites / name): 8 * number
        for number, name in enumerate(("siteA/1.bmp", "siteB/1.bmp", "siteA/2.bmp", "siteB/sub/2.bmp"), 1)
    }
    assert list(sources(output)) == ["1.bmp", "2.bmp", "siteB/1.bmp", "siteB/sub/2.bmp"]
    for inputs in itertools.permutations([sites / "siteA", sites / "siteB", sites / "siteB/sub/2.bmp"]):
        done, this = run(*inputs, output=output)
        assert (done, this.summary.skipped, this.summary.vanished) == ([], 4, 0)


def test_the_order_and_the_number_of_inputs_change_no_byte(sites: Path) -> None:
    run(sites / "siteA", sites / "siteB", output=sites / "one", formats=("json", "csv", "csv-per-image"))
    expected = projections(sites / "one")
    assert sorted(sources(sites / "one")) == ["siteA/1.bmp", "siteA/2.bmp", "siteB/1.bmp", "siteB/sub/2.bmp"]
    other = [sites / "siteB/sub", sites / "siteB", sites / "siteA", sites / "siteB"]
    run(*other, output=sites / "two", formats=("json", "csv", "csv-per-image"))
    assert projections(sites / "two") == expected


def test_a_list_that_grows_at_its_head_gives_the_bytes_of_one_run(sites: Path) -> None:
    names = sorted(str(file) for file in sites.rglob("*.bmp"))
    (sites / "list").write_text("\n".join(names[2:]))
    run(files_from=str(sites / "list"), output=sites / "grown")
    (sites / "list").write_text("\n".join(names))
    run(files_from=str(sites / "list"), output=sites / "grown")
    run(files_from=str(sites / "list"), output=sites / "once")
    assert projections(sites / "grown") == projections(sites / "once")


def test_every_record_opens_from_any_folder(sites: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(sites)
    run("siteA", "siteB/1.bmp", output=Path("out"), formats=("json", "csv", "csv-per-image"))
    monkeypatch.chdir("/")
    output = sites / "out"
    found = [record["source"] for record in records(output / JOURNAL)]
    found += [json.loads(file.read_bytes())["source"] for file in output.glob("json/**/*.json")]
    tables = ["images.csv", "detections.csv", *(str(f.relative_to(output)) for f in output.glob("csv/**/*.csv"))]
    found += [row["source"] for table in tables for row in rows(output, table)]
    assert len(found) == 3 * 5
    assert all(os.path.isabs(source) and os.path.isfile(source) for source in found)


# What is gone


def test_only_what_is_gone_from_a_folder_that_was_walked_has_vanished(sites: Path) -> None:
    output = sites / "out"
    run(sites / "siteA", sites / "siteB", output=output)
    (sites / "siteA/1.bmp").unlink()
    (sites / "siteB/1.bmp").unlink()
    for inputs, gone in (
        ([sites / "siteA"], 1),
        ([sites / "siteB/sub/2.bmp"], 0),
        ([sites / "siteB"], 1),
        ([sites], 2),
    ):
        _, this = run(*inputs, output=output)
        assert (this.summary.vanished, this.summary.pruned) == (gone, 0)
    _, this = run(sites / "siteB", sites / "siteA", output=output, exclude=("siteA",), recursive=False, include=("2*",))
    assert this.summary.vanished == 2, "what was merely not asked for counts, too"
    assert len(sources(output)) == 4


def test_prune_drops_what_has_vanished_and_no_more(sites: Path) -> None:
    output = sites / "out"
    run(sites / "siteA", sites / "siteB", output=output, formats=("json", "csv", "csv-per-image"))
    (sites / "siteA/1.bmp").unlink()
    (sites / "siteB/1.bmp").unlink()
    _, this = run(sites / "siteA", output=output, prune=True)
    assert (this.summary.vanished, this.summary.pruned) == (1, 1)
    assert list(sources(output)) == ["siteA/2.bmp", "siteB/1.bmp", "siteB/sub/2.bmp"]
    assert not [file for file in output.rglob("*1.bmp*") if "siteA" in file.parts]
    assert this.summary.folder == {"images": 3, "failures": 0, "detections": 3}
    _, this = run(sites / "siteA", output=output, prune=True)
    assert this.summary.vanished == 0
    write_image(sites / "siteA/1.bmp", 80, 8)  # it is back
    done, _ = run(sites / "siteA", output=output)
    assert [outcome.path for outcome in done] == ["siteA/1.bmp"]
    assert len(sources(output)) == 4


def test_a_folder_that_can_be_read_again_is_no_failure_any_more(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests import fakes

    fakes.install(monkeypatch)
    for name in ("a/1.png", "b/2.png"):
        (open_folder / name).parent.mkdir()
        write_image(open_folder / name)
    output = open_folder / "out"
    output.mkdir()
    for folder in (output, open_folder):
        folder.chmod(0o777)
    (open_folder / "b").chmod(0)
    with without_privileges():
        _, this = run(open_folder, output=output)
        assert (this.summary.exit_code, this.summary.failures) == (1, 1)
        (record,) = records(output / "failures.jsonl")
        assert (record["path"], record["source"]) == ("b", str(open_folder / "b"))
        _, this = run(open_folder, output=output)
        assert (this.summary.exit_code, this.summary.vanished) == (1, 0), "it still cannot be read"
    (open_folder / "b").chmod(0o755)
    with without_privileges():
        _, this = run(open_folder, output=output)
    assert (this.summary.exit_code, this.summary.folder["failures"], this.summary.vanished) == (0, 0, 0)
    assert not (output / "failures.jsonl").exists()
    assert sorted(sources(output)) == ["a/1.png", "b/2.png"]
    assert not (output / "json/b.json").exists()


def test_a_file_out_of_reach_has_not_vanished(sites: Path) -> None:
    output = sites / "out"
    run(sites / "siteB", output=output)
    shutil.move(sites / "siteB/sub", sites / "siteB/away")
    (sites / "siteB/sub").symlink_to("sub")  # a loop: nobody can tell what lies below it
    _, this = run(sites / "siteB", output=output, prune=True)
    assert this.summary.pruned == 0
    assert "sub/2.bmp" in sources(output)


def test_a_pattern_through_a_link_leads_to_files_of_their_own(sites: Path) -> None:
    (sites / "siteA/link").symlink_to("../siteB")
    output = sites / "out"
    run(sites / "siteA", output=output)
    run(sites / "siteA/*", output=output)
    run(sites / "siteA/link/../siteA/1.bmp", output=output)
    run(sites / "siteA", output=output)
    assert list(sources(output)) == ["1.bmp", "2.bmp", "siteB/1.bmp", "siteB/sub/2.bmp"]


def test_a_folder_that_was_moved_behind_a_link_is_gone_from_where_it_was(sites: Path) -> None:
    output = sites / "out"
    run(sites / "siteB", output=output)
    (sites / "siteB").rename(sites / "big")
    (sites / "siteB").symlink_to("big")
    _, this = run(sites / "siteB", output=output, prune=True)
    assert (this.summary.images, this.summary.pruned) == (2, 2)
    assert set(sources(output).values()) == {str(sites / "big/1.bmp"), str(sites / "big/sub/2.bmp")}


def test_a_named_file_in_a_folder_that_is_known_is_nothing_new(sites: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    run(sites / "siteA", sites / "siteA/1.bmp", output=sites / "out")
    run(sites / "siteA/2.bmp", output=sites / "out")
    assert list(sources(sites / "out")) == ["1.bmp", "2.bmp"]
    assert len(json.loads((sites / "out/run.json").read_bytes())["roots"]) == 1


def test_a_folder_that_cannot_be_listed_takes_no_name_from_a_file() -> None:
    names = Names([Root("/p"), Root("/mnt/more", "more")])
    folders = {names.of_folder(folder) for folder in ("/p", "/p/more", "/mnt/more")}
    files = {names.of(folder, name) for folder in ("/p", "/mnt/more") for name in ("p", "more", "~")}
    assert len(folders) == 3
    assert not folders & files
    places = {per_image(JSON, name) for name in folders | files}
    assert len(places) == len(folders) + len(files)


# Any sequence of commands

FILES = [f"{folder}/{name}" for folder in ("a", "b", "b/a", "c/a", "a/~") for name in ("1.png", "2.png")]
PLACES = ["a", "b", "b/a", "c", "c/a", "a/1.png", "b/a/2.png", "c/a/1.png", ".", "a/*.png", "**/2.png", "link"]
PLACES += ["*", "*/*.png", "link/*", "link/../near.png"]
_commands = st.one_of(
    st.tuples(st.just("detect"), st.lists(st.sampled_from(PLACES), min_size=1, max_size=3), st.booleans()),
    st.tuples(st.just("interrupt"), st.lists(st.sampled_from(PLACES), min_size=1, max_size=3), st.integers(1, 4)),
    st.tuples(st.just("list"), st.lists(st.sampled_from(PLACES[:8]), min_size=1, max_size=3), st.booleans()),
    st.tuples(st.sampled_from(["remove", "make", "touch"]), st.sampled_from(FILES), st.none()),
)


@pytest.fixture
def _faked(fake_detectors: list[FakeDetector]) -> None:
    """No network."""


@pytest.mark.slow
@pytest.mark.usefixtures("_faked")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(commands=st.lists(_commands, min_size=2, max_size=8), follow=st.booleans())
def test_no_sequence_of_commands_loses_doubles_or_mixes_a_row(
    commands: list[tuple[str, object, object]], follow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(os.path.realpath(temporary))
        album = root / "album"
        output = root / "out"
        sizes: dict[str, int] = {}
        counter = itertools.count(1)

        def make(name: str) -> None:
            (album / name).parent.mkdir(parents=True, exist_ok=True)
            sizes[str(album / name)] = next(counter)
            write_image(album / name, sizes[str(album / name)], 3)
            os.utime(album / name, ns=(OLD_TIME, OLD_TIME + sizes[str(album / name)]))

        for name in FILES:
            make(name)
        (root / "far").mkdir()
        write_image(root / "far/1.png", 500, 3)
        write_image(root / "near.png", 501, 3)
        sizes |= {str(root / "far/1.png"): 500, str(root / "near.png"): 501}
        (album / "link").symlink_to(root / "far")
        monkeypatch.chdir(album)
        names: dict[str, str] = {}
        expected: dict[str, int] = {}
        for kind, what, prune in commands:
            if kind == "remove":
                (album / str(what)).unlink(missing_ok=True)
            elif kind in {"make", "touch"}:
                make(str(what))
            else:
                assert isinstance(what, list)
                there = [place for place in what if "*" in place or (album / place).exists()]
                if not there:
                    continue
                inputs = [] if kind == "list" else there
                (root / "list").write_text("\n".join(there) if kind == "list" else "")
                options = {"files_from": str(root / "list")} if kind == "list" else {}
                before = dict(expected)
                asked = _asked(album, there, follow)
                if not asked:
                    continue
                if kind == "interrupt":
                    walk = iter(Run(run_config(*inputs, output=output, workers=1, follow_symlinks=follow)))
                    for outcome in itertools.islice(walk, int(str(prune))):
                        expected[outcome.ref.source] = sizes[outcome.ref.source]
                    walk.close()  # type: ignore[attr-defined]
                    continue
                _, this = run(*inputs, output=output, workers=1, prune=bool(prune), follow_symlinks=follow, **options)
                expected |= {source: sizes[source] for source in asked}
                table = sources(output)
                found = {outcome.ref.source: outcome for outcome in replay(output / JOURNAL)}
                for source, width in expected.items():
                    if os.path.exists(source):
                        outcome = found[source]
                        assert isinstance(outcome, ImageResult)
                        assert outcome.width == (width if source in asked else before[source]), "another file's row"
                gone = {source for source in expected if source not in found}
                assert not [source for source in gone if os.path.exists(source)], "lost"
                assert not gone or prune
                assert found.keys() <= expected.keys()
                for path, source in table.items():
                    assert names.setdefault(source, path) == path, "renamed"
                expected = {source: expected[source] for source in found}
                assert this.summary.folder["images"] == len(found)
                files = {str(json.loads(file.read_bytes())["path"]) for file in (output / "json").rglob("*.json")}
                assert files == table.keys()
        monkeypatch.chdir(REPOSITORY)  # before the folder goes
        if (output / "images.csv").exists():
            rebuild(output, ("json", "csv"))
            made = projections(output)
            rebuild(output, ("json", "csv"))
            assert projections(output) == made


def _asked(album: Path, places: list[str], follow: bool) -> set[str]:
    """The images that a command is about, found without the code that is tested."""
    found: set[str] = set()
    for place in places:
        for match in album.glob(place) if "*" in place else [album / place]:
            if match.is_file():
                found.add(os.path.join(os.path.realpath(match.parent), match.name))
            elif match.is_dir() and "**" not in place:
                for folder, _, names in os.walk(os.path.realpath(match), followlinks=follow):
                    found |= {os.path.join(os.path.realpath(folder), name) for name in names if name.endswith(".png")}
    return found


# Names

_folders = st.lists(st.sampled_from(["a", "b", "~", "A", "link"]), max_size=4).map(lambda parts: "/" + "/".join(parts))


@settings(max_examples=300)
@given(
    steps=st.lists(
        st.one_of(st.tuples(_folders, st.sampled_from(["a", "b", "~", "root"])), st.tuples(_folders, st.none())),
        min_size=3,
        max_size=10,
    )
)
def test_no_two_files_have_one_name_and_none_is_renamed(steps: list[tuple[str, str | None]]) -> None:
    names = Names()
    given_out: dict[str, str] = {}
    for folder, wanted in steps:
        if wanted is not None and not names.covers(folder):
            names.add(Root(folder, wanted))
        if names.covers(folder):
            name = names.of(folder, "x.jpg")
            assert given_out.setdefault(folder, name) == name
        again = Names(names.roots, {name.split("/")[0] for name in given_out.values() if "/" in name})
        assert {folder: again.of(folder, "x.jpg") for folder in given_out} == given_out
        assert len(set(given_out.values())) == len(given_out)


def test_a_folder_that_is_called_like_another_root_is_put_aside() -> None:
    names = Names([Root("/photos"), Root("/mnt/more", "more")])
    assert names.of("/mnt/more/x", "1.jpg") == "more/x/1.jpg"
    assert names.of("/photos/more/x", "1.jpg") == "~/more/x/1.jpg"
    assert names.of("/photos/~/more/x", "1.jpg") == "~/~/more/x/1.jpg"
    assert names.of("/photos", "more") == "more"
    assert names.of_folder("/mnt/more") == "more/."


# Folders that the version before wrote


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the old folders were made, with the images that were there."""
    samples = REPOSITORY / "sample_images"
    for sample, name in (
        ("shop/counter.webp", "photos/counter.webp"),
        ("workshop/plate_grey.jpg", "photos/sub/plate.jpg"),
        ("broken/cut.jpg", "photos/sub/cut.jpg"),
        ("workshop/wall.jpg", "two/photos/counter.webp"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(samples / sample, tmp_path / name)
        os.utime(tmp_path / name, ns=(OLD_TIME, OLD_TIME))
    (tmp_path / "names").write_text("photos/sub/plate.jpg\nphotos/counter.webp\n")
    shutil.copytree(OLD_FOLDERS, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "inputs", "options", "skipped"),
    [
        ("one_folder", ["photos"], {}, 2),
        ("a_list", [], {"files_from": "names"}, 2),
        ("a_pattern", ["photos/**/*.jpg"], {}, 1),
        ("a_file", ["photos/counter.webp"], {}, 1),
    ],
)
def test_an_old_folder_goes_on(name: str, inputs: list[str], options: dict[str, str], skipped: int, old: Path) -> None:
    before = {line["path"]: line for line in records(old / name / JOURNAL)}
    formats = ("json", "csv") if name == "one_folder" else ("csv",)
    done, this = run(*inputs, model="builtin", output=old / name, formats=formats, workers=1, **options)
    assert this.summary.skipped == skipped
    assert {outcome.path for outcome in done} <= {"sub/cut.jpg"}, "what failed is tried again, and no more"
    table = sources(old / name)
    assert table.keys() == before.keys()
    assert all(os.path.isfile(source) and source.endswith(path) for path, source in table.items())
    assert all("source" in json.loads(file.read_bytes()) for file in (old / name).glob("json/**/*.json"))
    _, this = run(*inputs, model="builtin", output=old / name, formats=formats, workers=1, **options)
    assert this.summary.skipped == skipped


@pytest.mark.parametrize(("name", "inputs"), [("two_folders", ["photos", "two/photos"]), ("a_list", ["photos"])])
def test_an_old_folder_that_cannot_go_on_is_refused_and_still_exports(name: str, inputs: list[str], old: Path) -> None:
    before = rows(old / name)
    if name == "a_list":
        shutil.rmtree(old / "photos/sub")  # nothing tells any more what its names are relative to
        (old / "photos/counter.webp").touch()
    with pytest.raises(UsageError, match="an earlier version"):
        run(*inputs, model="builtin", output=old / name, formats=("csv",), workers=1)
    assert rebuild(old / name, ("csv", "json")) == len(before)
    after = sorted(({**row, "source": ""} for row in rows(old / name)), key=lambda row: row["path"])
    assert after == sorted(({**row, "source": ""} for row in before), key=lambda row: row["path"])


def test_an_export_of_an_old_folder_is_what_it_was_but_for_the_source(old: Path) -> None:
    before = projections(old / "one_folder")
    rebuild(old / "one_folder", ("csv", "json"))
    after = projections(old / "one_folder")
    assert after.keys() == before.keys()
    for name in ("json/counter.webp.json", "json/sub/plate.jpg.json"):
        record = json.loads(after[name])
        assert record.pop("source") == str(old / "photos" / record["path"])
        assert record == json.loads(before[name])
