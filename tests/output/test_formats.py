"""The contract of every format: a new row in FORMATS is tested by being there."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import IO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import REPOSITORY, box, projections, ref, result
from tests.test_results import outcomes
from yolocli.errors import UsageError
from yolocli.output.folder import OutputFolder
from yolocli.output.formats import (
    ALWAYS,
    FORMATS,
    every_format,
    files_of,
    find_format,
    find_formats,
    open_final,
    open_live,
    trees_of,
)
from yolocli.output.formats.base import Context, Format, Writer
from yolocli.output.formats.tables import FORMULA_STARTS
from yolocli.output.journal import Journal
from yolocli.output.ownership import JOURNAL, OWN_FILES, mark_of, mark_of_link, refuse_foreign
from yolocli.output.past import replay
from yolocli.output.places import per_image
from yolocli.output.projection import project, project_all
from yolocli.output.run_file import write_json
from yolocli.output.sink import File, ImageFiles, Link, Sink
from yolocli.output.trees import refuse_changed, remove_trees
from yolocli.results import Detection, ImageFailure, Outcome
from yolocli.sources.outputs import MARKER

in_every_format = pytest.mark.parametrize("name", FORMATS)

NASTY = [
    "plain.jpg",
    "with,comma.jpg",
    'with"quote.jpg',
    "with\nnewline.jpg",
    "with\r\nboth.jpg",
    " spaces .jpg",
    "=1+1.jpg",
    "@SUM(A1).jpg",
    "+x.jpg",
    "-x.jpg",
    "\tx.jpg",
    "deep/=x.jpg",
    "'=1+1.jpg",
    "''=1+1.jpg",
    "'x.jpg",
    "with\rreturn.jpg",
    "\udcff\udcfe.jpg",
    "é\u2028.jpg",
    "n" * 251 + ".jpg",
]


@pytest.fixture
def folder(tmp_path: Path) -> OutputFolder:
    return _opened(tmp_path / "out")


def _opened(root: Path) -> OutputFolder:
    root.mkdir(parents=True, exist_ok=True)
    made = OutputFolder(root)
    made.create()
    return made


def _files(folder: OutputFolder) -> dict[str, bytes]:
    """Returns all files, but for the marker."""
    files = [file for file in folder.root.rglob("*") if file.is_file() and ".partial" not in file.parts]
    files = [file for file in files if file.name != MARKER]
    return {str(file.relative_to(folder.root)): file.read_bytes() for file in files}


def _written(name: str, folder: OutputFolder, lines: Sequence[Outcome]) -> dict[str, bytes]:
    """Returns the files that a format makes of outcomes, without those that are always written."""
    for writer in _writers(name, folder):
        for outcome in _of_a_picture(name, lines):
            writer.add(outcome)
        writer.close()
    return _files(folder)


def _of_a_picture(name: str, lines: Sequence[Outcome]) -> list[Outcome]:
    """Returns outcomes of a file that is there, for formats that put it somewhere."""
    if not find_format(name).trees:
        return list(lines)
    source = str(REPOSITORY / "sample_images/shop/letter.jpg")
    return [replace(outcome, ref=replace(outcome.ref, source=source)) for outcome in lines]


def _writers(name: str, sink: Sink) -> list[Writer]:
    found = find_format(name)
    context = Context(sink, {0: "person", 5: "bus"}, options=found.options)
    return [opener(context) for opener in (found.live, found.final) if opener]


def _declared(*formats: Format) -> set[str]:
    """Returns what formats say that they write: files, and sub-folders."""
    files, images = files_of(formats)
    always = {file.name for one in ALWAYS for file in one.files}
    folders = {one.folder for one in images} | {name for tree in trees_of(formats) for name in tree.folders}
    return {file.name for file in files} - always | folders


def _is_in_a_tree(found: Format, path: str) -> bool:
    return path.split("/")[0] in {name for tree in found.trees for name in tree.folders}


def _tables(files: dict[str, bytes]) -> dict[str, list[list[str]]]:
    """Every CSV file as rows, read as strictly as Python can."""
    return {
        path: list(csv.reader(io.StringIO(content.decode("utf-8"), newline=""), strict=True))
        for path, content in files.items()
        if path.endswith(".csv")
    }


def _failure(path: str, error: str = "TruncatedImage") -> ImageFailure:
    return ImageFailure(ref(path), "decode", error, "cut off")


# Every format


@in_every_format
def test_it_writes_what_it_declares_and_no_more(name: str, folder: OutputFolder) -> None:
    files = _written(name, folder, [result("a/x.jpg", [box()]), result("../../y.jpg"), _failure("z.jpg")])
    assert {path.split("/")[0] for path in files} == _declared(find_format(name))
    assert [path for path in folder.root.parent.iterdir() if path != folder.root] == []


def test_no_two_formats_write_the_same_file() -> None:
    files, images = files_of(every_format())
    names = [file.name for file in (*OWN_FILES, *files)] + [files.folder for files in images]
    assert len(names) == len(set(names))


@in_every_format
def test_its_files_begin_as_it_declares(name: str, folder: OutputFolder) -> None:
    """Each is known for its own, whole or torn; with something else at its beginning, it is somebody else's."""
    files = _written(name, folder, [result("a.jpg", [box()]), _failure("z.jpg")])
    found = find_format(name)
    write_json(folder, "run.json", {"fingerprint": {}})

    def refuse() -> None:
        refuse_foreign(folder.root, files_of([found])[0], found.images, found.trees)
        folder.refuse_foreign_images(["a.jpg", "z.jpg"], found.images)

    for path, content in files.items():
        if _is_in_a_tree(found, path):
            continue
        for length in {len(content), 1, *range(0, len(content), 7)}:
            (folder.root / path).write_bytes(content[:length])
            refuse()
        (folder.root / path).write_bytes(b"mine\n" + content)
        with pytest.raises(UsageError, match=path):
            refuse()
        (folder.root / path).write_bytes(content)


@in_every_format
def test_files_of_its_trees_are_its_own_until_somebody_changes_them(name: str, folder: OutputFolder) -> None:
    lines = [result("a/x.jpg", [box()]), result("a.jpg"), _failure("z.jpg")]
    files = _written(name, folder, lines)
    found = find_format(name)
    for path in (path for path in files if _is_in_a_tree(found, path)):
        (folder.root / path).unlink()
        refuse_changed(folder, found.trees)
        (folder.root / path).write_bytes(b"mine\n")
        with pytest.raises(UsageError, match=path):
            refuse_changed(folder, found.trees)
        with pytest.raises(UsageError, match=path):
            _written(name, folder, lines)
        remove_trees(folder, found.trees)
        assert [name for name in _files(folder) if _is_in_a_tree(found, name)] == [path]
        assert (folder.root / path).read_bytes() == b"mine\n"
        (folder.root / path).unlink()
        assert _written(name, folder, lines) == files
    remove_trees(folder, found.trees)
    assert not any(_is_in_a_tree(found, entry.name) for entry in folder.root.iterdir())


class Memory:
    """A sink that is no folder: what a store of objects would be."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.trees = self
        self.marks: dict[str, str] = {}

    def write_image(self, files: ImageFiles, path: str, data: bytes) -> str:
        place = per_image(files, path).as_posix()
        self.objects[place] = data
        return place

    def has_image(self, files: ImageFiles, path: str) -> bool:
        return bool(self.objects.get(str(per_image(files, path))))

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        stream = io.BytesIO()
        yield stream
        self.objects[name] = stream.getvalue()

    def spool(self) -> IO[bytes]:
        return io.BytesIO()

    @contextmanager
    def build(self, file: File) -> Iterator[Path]:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder, "built")
            self.objects[file.name] = Path(folder, "built").read_bytes()

    def remove(self, *names: str) -> None:
        for name in names:
            self.objects.pop(name, None)

    def put(self, name: str, content: bytes | Link, over: str = "", modified_ns: int | None = None) -> None:
        linked = isinstance(content, Link)
        self.objects[name] = Path(content.target).read_bytes() if linked else content
        self.marks[name] = mark_of_link(content.target) if linked else mark_of(content)

    def mark(self, name: str) -> str:
        return self.marks.get(name, "")

    def is_at(self, name: str, source: str) -> bool:
        return False

    def place_in(self, folder: str, source: str) -> str:
        return ""

    def strange_pictures(self, folder: str) -> Iterator[str]:
        return iter(())

    def take_away(self, name: str, mark: str) -> None:
        if self.marks.get(name) == mark:
            del self.objects[name], self.marks[name]

    @contextmanager
    def add_to(self, name: str) -> Iterator[IO[bytes]]:
        yield io.BytesIO(self.objects.get(name, b""))

    def sync(self) -> None:
        pass


@in_every_format
def test_it_needs_no_more_of_a_place_than_a_sink_has(name: str, folder: OutputFolder) -> None:
    lines = _of_a_picture(name, [result("a/x.jpg", [box()]), _failure("z.jpg")])
    sink = Memory()
    for writer in _writers(name, sink):
        for outcome in lines:
            writer.add(outcome)
        writer.close()
    assert sink.objects == _written(name, folder, lines)


class Nowhere(Memory):
    """A sink that holds nothing of what it is given."""

    def write_image(self, files: ImageFiles, path: str, data: bytes) -> str:
        return per_image(files, path).as_posix()

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        with Path(os.devnull).open("wb") as stream:
            yield stream

    @contextmanager
    def build(self, file: File) -> Iterator[Path]:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder, "built")

    def put(self, name: str, content: bytes | Link, over: str = "", modified_ns: int | None = None) -> None:
        pass

    @contextmanager
    def add_to(self, name: str) -> Iterator[IO[bytes]]:
        with tempfile.TemporaryFile() as stream:
            yield stream

    def spool(self) -> IO[bytes]:
        return tempfile.TemporaryFile()


@in_every_format
def test_it_holds_no_more_the_more_images_there_are(name: str) -> None:
    def most_held(images: int) -> int:
        tracemalloc.start()
        try:
            for writer in _writers(name, Nowhere()):
                for index in range(images):
                    writer.add(result(f"a/{index}.jpg", [box(), box("bus", 5)]) if index % 3 else _failure(f"{index}"))
                writer.close()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    most_held(9)  # modules that are imported stay
    growth = (most_held(3000) - most_held(300) for _ in range(3))  # tables of the interpreter grow once
    assert any(more < 270_000 for more in growth), "100 bytes an image: an index, but not what was found"


@in_every_format
def test_its_options_can_be_asked_for(name: str) -> None:
    """Each has a default, of a type that can be written after the name of the format."""
    options = find_format(name).options
    for field in () if options is None else fields(options):
        value = str(getattr(options, field.name)).lower()
        assert find_format(f"{name}:{field.name.replace('_', '-')}={value}").options == options
    with pytest.raises(UsageError, match="no option 'surprise'"):
        find_format(f"{name}:surprise=1")


@in_every_format
def test_nothing_appears_before_it_is_whole(name: str, folder: OutputFolder) -> None:
    """Files of images appear as they end, and all else at the end."""
    found = find_format(name)
    writers = _writers(name, folder)
    for writer in writers:
        writer.add(*_of_a_picture(name, [result("a.jpg", [box()])]))
    lists = {tree.list.name for tree in found.trees}
    whole = {path for path in _files(folder) if not _is_in_a_tree(found, path)} - lists
    assert whole == {str(per_image(files, "a.jpg")) for files in found.images}
    for writer in writers:
        writer.close()
    assert {path.split("/")[0] for path in _files(folder)} == _declared(found)


@in_every_format
def test_every_image_leaves_a_trace_whatever_its_name(name: str, folder: OutputFolder) -> None:
    lines = [result(path, [box()]) for path in NASTY]
    files = _written(name, folder, lines)
    found = find_format(name)
    of_each = len(found.images) + sum(len(tree.folders) for tree in found.trees)
    assert len(files) == len(NASTY) * of_each + len(found.files) + len(found.trees)


@in_every_format
def test_made_again_from_the_journal_it_is_the_same_bytes(name: str, folder: OutputFolder, tmp_path: Path) -> None:
    """Files of images, written as images ended and some twice, are those that a replay gives in its own order."""
    first = [
        _failure("again.jpg"),
        *(result(path, [box(), box("bus", 5)]) for path in reversed(NASTY)),
        _failure("z.jpg"),
    ]
    first = _of_a_picture(name, first)
    lines = [*first, *_of_a_picture(name, [result("again.jpg", [box("cat", 2)])])]
    formats = find_formats([name]).values()
    context = Context(folder, {0: "person", 2: "cat", 5: "bus"})
    journal = Journal(folder)
    live = open_live(formats, context)
    for outcome in lines:
        journal.append(outcome)
        for writer in live:
            writer.add(outcome)
    journal.close()
    for writer in live:
        writer.close()
    totals = project(folder, open_final(formats, context))
    assert totals.images + totals.failures == len(list(replay(folder.root / JOURNAL))) == len(NASTY) + 2
    before = projections(folder.root, *_declared(*formats, *ALWAYS))
    assert before
    again = _opened(tmp_path / "again")
    (again.root / JOURNAL).write_bytes((folder.root / JOURNAL).read_bytes())
    assert project_all(again, formats, timings=False) == totals
    assert projections(again.root, *_declared(*formats, *ALWAYS)) == before


@in_every_format
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(outcomes, max_size=6, unique_by=lambda outcome: outcome.path))
def test_it_takes_any_outcome(name: str, lines: list[Outcome], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = _opened(tmp_path_factory.mktemp("any"))
    files = _written(name, folder, lines)
    for table in _tables(files).values():
        assert len({len(row) for row in table}) == 1


@in_every_format
def test_tables_have_a_header_even_when_empty(name: str, folder: OutputFolder) -> None:
    tables = _tables(_written(name, folder, [result("a.jpg")] if find_format(name).images else []))
    for table in tables.values():
        assert len(table) == 1
        assert all(cell.isidentifier() for cell in table[0])


@in_every_format
def test_tables_are_rfc_4180_but_for_the_ends_of_lines(name: str, folder: OutputFolder) -> None:
    files = _written(name, folder, [result(path, [box('a "b", c\n')]) for path in NASTY])
    for path, content in files.items():
        if path.endswith(".csv"):
            assert content.endswith(b"\n")
            assert not content.endswith(b"\r\n")
            assert not content.startswith(b"\xef\xbb\xbf")
            assert len({len(row) for row in _tables(files)[path]}) == 1


@in_every_format
def test_no_cell_is_a_formula(name: str, folder: OutputFolder) -> None:
    evil = [
        Detection("=cmd|' /C calc'!A0", 0, 0.5, (0, 0, 1, 1)),
        box("@x"),
        box("+1"),
        box("-1"),
        box("\t=1"),
        box("\r=1"),
    ]
    lines: list[Outcome] = [result(path, evil) for path in NASTY]
    lines += [_failure("=bad.jpg", "=Error")]
    for table in _tables(_written(name, folder, lines)).values():
        for row in table:
            assert [cell for cell in row if cell.startswith(FORMULA_STARTS)] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [("odt", "choose from json, csv"), ("jsno", "did you mean json?"), ("json:a=1", "the format has no options")],
)
def test_an_unknown_format_is_refused_with_the_known(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"--format {text}: ") + ".*" + re.escape(words)):
        find_formats([text])


# Each in particular


def test_json_is_the_record(folder: OutputFolder) -> None:
    lines = [result("a/x.jpg", [box()]), _failure("y.png"), result("\udcff.jpg")]
    files = _written("json", folder, lines)
    assert {json.loads(content)["path"]: json.loads(content) for content in files.values()} == {
        outcome.path: outcome.to_dict() for outcome in lines
    }
    assert files.keys() >= {"json/a/x.jpg.json", "json/y.png.json"}


def test_csv_has_a_row_a_detection_and_a_row_an_image(folder: OutputFolder) -> None:
    two = result("a,b.jpg", [box(), box("bus", 5, 0.25)])
    tables = _tables(_written("csv", folder, [two, result('q"\n.jpg'), _failure("z.jpg")]))
    assert tables["detections.csv"] == [
        ["path", "name", "class", "confidence", "x1", "y1", "x2", "y2", "source"],
        ["a,b.jpg", "person", "0", "0.5", "1.25", "2.5", "100.0", "200.75", "a,b.jpg"],
        ["a,b.jpg", "bus", "5", "0.25", "1.25", "2.5", "100.0", "200.75", "a,b.jpg"],
    ]
    assert tables["images.csv"] == [
        ["path", "status", "width", "height", "detections", "stage", "error", "source"],
        ["a,b.jpg", "ok", "640", "480", "2", "", "", "a,b.jpg"],
        ['q"\n.jpg', "ok", "640", "480", "0", "", "", 'q"\n.jpg'],
        ["z.jpg", "failed", "", "", "", "decode", "TruncatedImage", "z.jpg"],
    ]


@pytest.mark.parametrize("path", NASTY)
def test_names_come_back_from_csv(path: str, folder: OutputFolder) -> None:
    table = _tables(_written("csv", folder, [result(path)]))["images.csv"]
    cell = table[1][0]
    assert cell.removeprefix("'") == path.encode("utf-8", "backslashreplace").decode()


def test_csv_per_image_holds_its_detections(folder: OutputFolder) -> None:
    tables = _tables(_written("csv-per-image", folder, [result("a/x.jpg", [box()]), _failure("y.jpg")]))
    header = ["name", "class", "confidence", "x1", "y1", "x2", "y2", "source"]
    assert tables == {
        "csv/a/x.jpg.csv": [header, ["person", "0", "0.5", "1.25", "2.5", "100.0", "200.75", "a/x.jpg"]],
        "csv/y.jpg.csv": [header],
    }


@pytest.mark.parametrize(
    "lines", [list, lambda: [result("a.jpg")], lambda: [_failure("\udcff.jpg"), _failure("b.jpg")]]
)
def test_failures_are_there_only_when_there_are_any(folder: OutputFolder, lines: Callable[[], list[Outcome]]) -> None:
    (folder.root / "failures.jsonl").write_text("of an earlier run")
    journal = Journal(folder)
    for outcome in lines():
        journal.append(outcome)
    journal.close()
    project_all(folder, [], timings=False)
    expected = [outcome.to_dict() for outcome in lines() if isinstance(outcome, ImageFailure)]
    file = folder.root / "failures.jsonl"
    assert file.exists() is bool(expected)
    if expected:
        assert sorted(json.loads(line)["path"] for line in file.read_bytes().splitlines()) == sorted(
            str(record["path"]) for record in expected
        )
