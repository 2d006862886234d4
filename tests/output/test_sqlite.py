"""SQLite, as the programs read it that it is for."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.output.readers import read_with_reader
from tests.output.typed import MORE, expected, odd_outcomes, outcomes_of_task, output_of, present
from tests.support import box, ref, result
from yolocli.errors import OutputError, UsageError
from yolocli.output.folder import OutputFolder
from yolocli.output.formats.sqlite import DATABASE
from yolocli.output.projection import rebuild
from yolocli.results import Detection, ImageFailure, ImageResult

IN_DUCKDB = """
import glob, json, os, sys
import duckdb
try:
    import duckdb_extension_sqlite_scanner as scanner
except ImportError:
    print("null")
    raise SystemExit
extension, = glob.glob(os.path.join(os.path.dirname(scanner.__file__), "extensions", "*", "*.duckdb_extension"))
database = duckdb.connect(config={"allow_unsigned_extensions": "true"})
database.execute(f"LOAD '{extension}'")
def read(root, table):
    found = database.sql(f"select * from sqlite_scan('{root}/results.sqlite', '{table}') order by id")
    return [dict(zip(found.columns, row)) for row in found.fetchall()]
print(json.dumps([[read(root, table) for table in ("images", "detections")] for root in sys.argv[1:]]))
"""
NESTED = {"segments", "rle", "keypoints", "map", "exif", "timings_ms"}


@contextmanager
def database(root: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"file:{root}/results.sqlite?mode=ro", uri=True)) as opened:
        opened.row_factory = sqlite3.Row
        yield opened


def in_sqlite(root: Path) -> list[list[dict[str, Any]]]:
    with database(root) as opened:
        tables = ("images", "detections")
        return [[dict(row) for row in opened.execute(f"SELECT * FROM {table} ORDER BY id")] for table in tables]


def in_duckdb(*roots: Path) -> list[list[list[dict[str, Any]]]]:
    found: list[list[list[dict[str, Any]]]] | None = read_with_reader(IN_DUCKDB, *roots)
    if found is None:
        pytest.skip("DuckDB's reader of SQLite is not installed: make readers")
    return found


def plain(tables: list[list[dict[str, Any]]]) -> list[list[dict[str, Any]]]:
    """Returns the rows with JSON read, and detections with the place of their image in its number's stead."""
    for table in tables:
        assert [row.pop("id") for row in table] == list(range(1, len(table) + 1))
    images, detections = ([present(dict(map(_read, row.items()))) for row in table] for table in tables)
    places = [{key: row[key] for key in ("path", "source")} for row in images]
    return [images, [places[row.pop("image") - 1] | row for row in detections]]


def _read(cell: tuple[str, Any]) -> tuple[str, Any]:
    name, value = cell
    return name, json.loads(value) if name in NESTED and value else value


def counted(root: Path) -> list[list[dict[str, Any]]]:
    images, detections = expected(root)
    return [
        [row | {"detections": len(row["detections"])} if "detections" in row else row for row in images],
        detections,
    ]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Of each task, of odd names, of failures alone, and of nothing at all."""
    place = tmp_path_factory.mktemp("sqlite")
    made = [output_of(place / task, outcomes_of_task(task), task, timings=True) for task in MORE]
    made.append(output_of(place / "odd", odd_outcomes()))
    made.append(output_of(place / "failed", [ImageFailure(ref("a.jpg"), "read", "OSError", "no")]))
    made.append(output_of(place / "empty", []))
    for folder in made:
        rebuild(folder, ["sqlite"], timings=True)
    return made


def test_sqlite_reads_what_the_journal_holds(folders: list[Path]) -> None:
    for folder in folders:
        assert plain(in_sqlite(folder)) == counted(folder), folder.name


def test_duckdb_reads_what_the_journal_holds(folders: list[Path]) -> None:
    for folder, tables in zip(folders, in_duckdb(*folders), strict=True):
        assert plain(tables) == counted(folder), folder.name


def test_its_keys_hold_and_what_is_looked_up_has_an_index(folders: list[Path]) -> None:
    for folder in folders:
        with database(folder) as opened:
            assert opened.execute("PRAGMA foreign_key_check").fetchall() == []
            assert [row[0] for row in opened.execute("PRAGMA integrity_check")] == ["ok"]
            (key,) = opened.execute("PRAGMA foreign_key_list(detections)").fetchall()
            assert (key["table"], key["from"], key["to"]) == ("images", "image", "id")
            for query in (
                "SELECT * FROM detections WHERE image = 1",
                "SELECT * FROM detections WHERE name = 'a'",
                "SELECT * FROM images WHERE status = 'failed'",
                "SELECT * FROM images WHERE path = 'a'",
            ):
                plan = " ".join(row["detail"] for row in opened.execute(f"EXPLAIN QUERY PLAN {query}"))
                assert "USING INDEX" in plan, query


def test_it_says_how_it_was_made(folders: list[Path]) -> None:
    with database(folders[0]) as opened:
        told = dict(opened.execute("SELECT key, value FROM run").fetchall())
    assert json.loads(told["fingerprint"])["weights_sha256"] == "0" * 64
    assert json.loads(told["names"]) == {"0": "thing 0", "1": "\udcff"}
    assert (told["task"], told["record_schema"]) == ("detect", "1")


def test_no_two_names_are_one(folders: list[Path]) -> None:
    with database(folders[len(MORE)]) as opened:
        ((images, names),) = opened.execute("SELECT count(*), count(DISTINCT path) FROM images").fetchall()
    assert images == names == len(odd_outcomes())


def test_many_pages_are_the_same_bytes_again(tmp_path: Path) -> None:
    """Nothing that the memory held before gets into the file."""
    boxes = [Detection(f"thing {i % 7}", i % 7, 0.5, (i, 0, 1, 1)) for i in range(20)]
    root = output_of(tmp_path / "out", (result(f"{i:05}.jpg", boxes) for i in range(1_000)))
    found = set()
    for noise in range(3):
        junk = [bytes([noise + 1]) * 4096 for _ in range(5_000)]
        del junk
        rebuild(root, ["sqlite"])
        found.add((root / "results.sqlite").read_bytes())
    assert len(found) == 1
    assert len(found.pop()) > 1_000_000


def test_a_database_of_somebody_else_is_not_replaced(tmp_path: Path) -> None:
    root = output_of(tmp_path / "out", [result("a.jpg", [box()])])
    rebuild(root, ["sqlite"])
    rebuild(root, ["sqlite"])
    (root / "results.sqlite").unlink()
    with closing(sqlite3.connect(root / "results.sqlite")) as theirs:
        theirs.execute("CREATE TABLE mine (a)")
    with pytest.raises(UsageError, match=r"results\.sqlite is no file that yolocli wrote"):
        rebuild(root, ["sqlite"])


def test_what_somebody_added_is_replaced_with_the_database(tmp_path: Path) -> None:
    """As docs/formats.md says."""
    root = output_of(tmp_path / "out", [result("a.jpg", [box()])])
    rebuild(root, ["sqlite"])
    before = (root / "results.sqlite").read_bytes()
    with closing(sqlite3.connect(root / "results.sqlite")) as theirs:
        theirs.execute("CREATE TABLE mine (a)")
    rebuild(root, ["sqlite"])
    assert (root / "results.sqlite").read_bytes() == before


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_a_database_that_a_program_has_open_is_not_replaced(mode: str, tmp_path: Path) -> None:
    """What the program keeps beside it would be taken for a part of the new one, and spoil it."""
    root = output_of(tmp_path / "out", [result("a.jpg", [box()])])
    rebuild(root, ["sqlite"])
    with closing(sqlite3.connect(root / "results.sqlite", isolation_level=None)) as theirs:
        theirs.execute(f"PRAGMA journal_mode = {mode}")
        theirs.execute("BEGIN")
        theirs.execute("UPDATE images SET message = 'seen'")
        before = (root / "results.sqlite").read_bytes()
        beside = f"results.sqlite-{'wal' if mode == 'WAL' else 'journal'}"
        with pytest.raises(
            UsageError, match=rf"results\.sqlite: a program has it open, .* {beside} .*; close it there"
        ):
            rebuild(root, ["sqlite"])
        assert (root / "results.sqlite").read_bytes() == before
        theirs.execute("COMMIT")
    rebuild(root, ["sqlite"])
    with database(root) as opened:
        assert opened.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_a_database_that_a_program_opens_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    folder = OutputFolder(output_of(tmp_path / "out", []))
    refused = pytest.raises(OutputError, match=r"results\.sqlite: cannot be written: a program has it open")
    with refused, folder.build(DATABASE) as path:
        path.write_bytes(b"new")
        (folder.root / "results.sqlite-wal").write_bytes(b"theirs")
    folder.close()
    assert not (folder.root / "results.sqlite").exists()
    assert not (folder.root / ".partial").exists()


def test_a_disk_that_fails_is_said_in_one_line_and_leaves_the_old_one(tmp_path: Path) -> None:
    import resource

    root = output_of(tmp_path / "out", [ImageResult(ref(f"{i}.jpg"), 64, 48, (box(),) * 50) for i in range(200)])
    rebuild(root, ["sqlite"])
    before = (root / "results.sqlite").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OutputError, match=r"cannot be written: (disk I/O error|database or disk is full)"):
            rebuild(root, ["sqlite"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (root / "results.sqlite").read_bytes() == before
    assert not (root / ".partial").exists()
