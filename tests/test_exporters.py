"""The contract of every exporter: a new row in EXPORTERS is tested by being there."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import box, projections, ref, result
from tests.test_results import outcomes
from yolocli.errors import UsageError
from yolocli.output.folder import OutputFolder
from yolocli.output.formats import EXPORTERS, PER_IMAGE, TABLES, exporter_factory, open_exporter
from yolocli.output.formats.tables import FORMULA_STARTS
from yolocli.output.journal import Journal
from yolocli.output.ownership import JOURNAL
from yolocli.output.past import replay
from yolocli.output.projection import project
from yolocli.results import Detection, ImageFailure, Outcome

FORMATS = list(EXPORTERS)
every_format = pytest.mark.parametrize("name", FORMATS)

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
    files = [file for file in folder.root.rglob("*") if file.is_file() and ".partial" not in file.parts]
    return {str(file.relative_to(folder.root)): file.read_bytes() for file in files}


def _export(name: str, folder: OutputFolder, lines: Sequence[Outcome]) -> dict[str, bytes]:
    exporter = open_exporter(name, folder)
    for outcome in lines:
        exporter.add(outcome)
    exporter.close()
    return _files(folder)


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


@every_format
def test_it_writes_only_what_the_registry_names(name: str, folder: OutputFolder) -> None:
    files = _export(name, folder, [result("a/x.jpg", [box()]), result("../../y.jpg"), _failure("z.jpg")])
    assert files
    assert {path.split("/")[0] for path in files} <= {*PER_IMAGE, *TABLES}
    assert [path for path in folder.root.parent.iterdir() if path != folder.root] == []


@every_format
def test_nothing_appears_before_it_is_whole(name: str, folder: OutputFolder) -> None:
    exporter = open_exporter(name, folder)
    exporter.add(result("a.jpg", [box()]))
    if exporter.live:
        assert len(_files(folder)) == 1
    else:
        assert _files(folder) == {}
    exporter.close()
    assert _files(folder)


@every_format
def test_every_image_leaves_a_trace_whatever_its_name(name: str, folder: OutputFolder) -> None:
    lines = [result(path, [box()]) for path in NASTY]
    files = _export(name, folder, lines)
    if exporter_factory(name).live:
        assert len(files) == len(NASTY)


@every_format
def test_made_again_from_the_journal_it_is_the_same_bytes(name: str, folder: OutputFolder, tmp_path: Path) -> None:
    """Live files, written as images ended and some twice, are those that a replay gives in its own order."""
    first = [
        _failure("again.jpg"),
        *(result(path, [box(), box("bus", 5)]) for path in reversed(NASTY)),
        _failure("z.jpg"),
    ]
    lines = [*first, result("again.jpg", [box("cat", 2)])]
    journal = Journal(folder)
    live = open_exporter(name, folder)
    for outcome in lines:
        journal.append(outcome)
        if live.live:
            live.add(outcome)
    journal.close()
    if live.live:
        live.close()
    else:
        project(folder, [name])
    before = projections(folder.root, *({*PER_IMAGE, *TABLES} - {"failures.jsonl"}))
    assert before
    again = _opened(tmp_path / "again")
    (again.root / JOURNAL).write_bytes((folder.root / JOURNAL).read_bytes())
    totals = project(again, [name])
    assert totals.images + totals.failures == len(list(replay(folder.root / JOURNAL)))
    assert projections(again.root, *({*PER_IMAGE, *TABLES} - {"failures.jsonl"})) == before


@every_format
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(outcomes, max_size=6, unique_by=lambda outcome: outcome.path))
def test_it_takes_any_outcome(name: str, lines: list[Outcome], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = _opened(tmp_path_factory.mktemp("any"))
    files = _export(name, folder, lines)
    for table in _tables(files).values():
        assert len({len(row) for row in table}) == 1


@every_format
def test_tables_have_a_header_even_when_empty(name: str, folder: OutputFolder) -> None:
    lines = [result("a.jpg")] if exporter_factory(name).live else []
    tables = _tables(_export(name, folder, lines))
    if "csv" in name:
        assert tables
    for table in tables.values():
        assert len(table) == 1
        assert all(cell.isidentifier() for cell in table[0])


@every_format
def test_tables_are_rfc_4180_but_for_the_ends_of_lines(name: str, folder: OutputFolder) -> None:
    files = _export(name, folder, [result(path, [box('a "b", c\n')]) for path in NASTY])
    for path, content in files.items():
        if path.endswith(".csv"):
            assert content.endswith(b"\n")
            assert not content.endswith(b"\r\n")
            assert not content.startswith(b"\xef\xbb\xbf")
            assert len({len(row) for row in _tables(files)[path]}) == 1


@every_format
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
    for table in _tables(_export(name, folder, lines)).values():
        for row in table:
            assert [cell for cell in row if cell.startswith(FORMULA_STARTS)] == []


def test_an_unknown_format_is_refused_with_the_known(folder: OutputFolder) -> None:
    with pytest.raises(UsageError, match=r"--format odt: choose from json, csv"):
        open_exporter("odt", folder)


# Each in particular


def test_json_is_the_record(folder: OutputFolder) -> None:
    lines = [result("a/x.jpg", [box()]), _failure("y.png"), result("\udcff.jpg")]
    files = _export("json", folder, lines)
    assert {json.loads(content)["path"]: json.loads(content) for content in files.values()} == {
        outcome.path: outcome.to_dict() for outcome in lines
    }
    assert files.keys() >= {"json/a/x.jpg.json", "json/y.png.json"}


def test_csv_has_a_row_a_detection_and_a_row_an_image(folder: OutputFolder) -> None:
    two = result("a,b.jpg", [box(), box("bus", 5, 0.25)])
    tables = _tables(_export("csv", folder, [two, result('q"\n.jpg'), _failure("z.jpg")]))
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
    table = _tables(_export("csv", folder, [result(path)]))["images.csv"]
    cell = table[1][0]
    assert cell.removeprefix("'") == path.encode("utf-8", "backslashreplace").decode()


def test_csv_per_image_holds_its_detections(folder: OutputFolder) -> None:
    tables = _tables(_export("csv-per-image", folder, [result("a/x.jpg", [box()]), _failure("y.jpg")]))
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
    project(folder, ["csv"])
    expected = [outcome.to_dict() for outcome in lines() if isinstance(outcome, ImageFailure)]
    file = folder.root / "failures.jsonl"
    assert file.exists() is bool(expected)
    if expected:
        assert sorted(json.loads(line)["path"] for line in file.read_bytes().splitlines()) == sorted(
            str(record["path"]) for record in expected
        )
