"""Parquet, as the programs read it that it is for."""

from __future__ import annotations

import gc
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.output.readers import read_with_reader
from tests.output.typed import MORE, expected, odd_outcomes, outcomes_of_task, output_of, present
from tests.support import REPOSITORY, box, ref, result, run, write_image, yolocli
from yolocli.errors import MissingExtraError
from yolocli.output.folder import OutputFolder
from yolocli.output.formats import and_earlier, every_format, find_format, parquet
from yolocli.output.formats.base import Context
from yolocli.output.projection import rebuild
from yolocli.results import Detection, ImageFailure, ImageResult, Outcome

READERS = {
    "pyarrow": "import pyarrow.parquet as pq; read = lambda path: pq.read_table(path).to_pylist()",
    "polars": "import polars; read = lambda path: polars.read_parquet(path).to_dicts()",
    "duckdb": """
import duckdb
def read(path):
    found = duckdb.sql(f"select * from read_parquet('{path}')")
    return [dict(zip(found.columns, row)) for row in found.fetchall()]
""",
}
READ = """
import json, sys
{reader}
print(json.dumps([[read(f"{{root}}/{{name}}.parquet") for name in ("images", "detections")] for root in sys.argv[1:]]))
"""


def read(reader: str, *roots: Path) -> list[tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
    """Returns the rows of both tables of each folder, as a program reads them."""
    return present(read_with_reader(READ.format(reader=READERS[reader]), *roots))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Of each task, of odd names, of failures alone, and of nothing at all."""
    place = tmp_path_factory.mktemp("parquet")
    made = [output_of(place / task, outcomes_of_task(task), task) for task in MORE]
    made.append(output_of(place / "odd", odd_outcomes()))
    made.append(output_of(place / "failed", [ImageFailure(ref("a.jpg"), "read", "OSError", "no")]))
    made.append(output_of(place / "empty", []))
    for folder in made:
        rebuild(folder, ["parquet"])
    return made


@pytest.mark.parametrize("reader", READERS)
def test_readers_read_what_the_journal_holds(reader: str, folders: list[Path]) -> None:
    for folder, tables in zip(folders, read(reader, *folders), strict=True):
        assert tables == list(expected(folder)), folder.name


def test_what_the_docs_show_works(tmp_path: Path) -> None:
    """Of two images, one has a person: which has none, and what is counted."""
    page = (REPOSITORY / "docs/formats.md").read_text("utf-8").partition("## parquet")[2].partition("## sqlite")[0]
    (sql,), (python, _) = (re.findall(rf"^```{kind}\n(.*?)^```", page, re.M | re.S) for kind in ("sql", "python"))
    root = output_of(tmp_path / "yolocli-out", [result("a.jpg", [box(), box()]), result("b.jpg", [box("bus")])])
    rebuild(root, ["parquet"])
    asked = f"""
        import json, os, duckdb
        os.chdir({str(tmp_path)!r})
        found = duckdb.sql({sql!r}).fetchall()
        told = {{}}
        exec({python!r}, told)
        print(json.dumps([found, sorted(told["boxes"].group_by("name").len().rows())]))
    """
    assert read_with_reader(asked) == [[["b.jpg"]], [["bus", 1], ["person", 2]]]


def test_the_schema_is_that_of_the_task_and_the_same_where_nothing_was_found(
    folders: list[Path], tmp_path: Path
) -> None:
    import pyarrow as pa
    from pyarrow import parquet as pq

    by_task = dict(zip(MORE, folders, strict=False))
    for task, folder in by_task.items():
        empty = output_of(tmp_path / task, [], task)
        rebuild(empty, ["parquet"])
        for name in ("images", "detections"):
            full, none = (pq.read_schema(root / f"{name}.parquet") for root in (folder, empty))
            assert full.equals(none, check_metadata=False)
    keypoints = pq.read_schema(by_task["pose"] / "detections.parquet").field("keypoints").type
    doubles = pa.list_(pa.float64())
    assert keypoints == pa.struct([("x", doubles), ("y", doubles), ("visible", doubles)])
    assert "segments" not in pq.read_schema(by_task["detect"] / "detections.parquet").names


def test_a_file_says_how_it_was_made(folders: list[Path]) -> None:
    import json

    from pyarrow import parquet as pq

    for name in ("images", "detections"):
        told = pq.read_metadata(folders[0] / f"{name}.parquet").metadata
        assert json.loads(told[b"yolocli.fingerprint"])["weights_sha256"] == "0" * 64
        assert json.loads(told[b"yolocli.names"]) == {"0": "thing 0", "1": "\udcff"}
        assert (told[b"yolocli.task"], told[b"yolocli.record_schema"]) == (b"detect", b"1")


def test_timings_are_a_column_where_they_are_asked_for(tmp_path: Path) -> None:
    from pyarrow import parquet as pq

    root = output_of(tmp_path / "out", outcomes_of_task("detect"), timings=True)
    rebuild(root, ["parquet"], timings=True)
    assert present(pq.read_table(root / "images.parquet").to_pylist()) == expected(root)[0]


def test_row_groups_are_of_bounded_size_and_nothing_is_lost_between_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyarrow import parquet as pq

    monkeypatch.setattr(parquet, "CONVERTED_AT_ONCE", 50)
    monkeypatch.setattr(parquet, "GROUP_BYTES", 100_000)
    points = {"segments": {"x": [1.5] * 200, "y": [2.5] * 200}}
    large = [Detection("thing", 0, 0.5, (0, 0, 1, 1), points)] * 30
    outcomes: list[Outcome] = [ImageResult(ref(f"{i:03}.jpg"), 64, 48, tuple(large)) for i in range(40)]
    root = output_of(tmp_path / "out", outcomes, "segment")
    rebuild(root, ["parquet"])
    for name, rows in (("images", 40), ("detections", 1200)):
        file = pq.ParquetFile(root / f"{name}.parquet")
        groups = [file.metadata.row_group(i) for i in range(file.num_row_groups)]
        assert sum(group.num_rows for group in groups) == rows
        assert len(groups) > 10
        nbytes = [file.read_row_group(i).nbytes for i in range(file.num_row_groups)]
        assert max(nbytes) < 100_000 + 2 * 80 * 3_600
    images, detections = (pq.read_table(root / f"{name}.parquet").to_pylist() for name in ("images", "detections"))
    assert (present(images), present(detections)) == expected(root)


def test_it_is_known_for_its_own_by_its_end(folders: list[Path], tmp_path: Path) -> None:
    """Any Parquet file begins alike; that of somebody else is not replaced."""
    import pyarrow as pa
    from pyarrow import parquet as pq

    from yolocli.errors import UsageError

    root = output_of(tmp_path / "out", [result("a.jpg", [box()])])
    rebuild(root, ["parquet"])
    rebuild(root, ["parquet"])
    pq.write_table(pa.table({"mine": [1]}), root / "images.parquet")
    mine = (root / "images.parquet").read_bytes()
    with pytest.raises(UsageError, match=r"images\.parquet is no file that yolocli wrote"):
        rebuild(root, ["parquet"])
    assert (root / "images.parquet").read_bytes() == mine


def test_a_writer_that_is_given_up_leaves_nothing_and_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a full disk; what is printed when an object is collected would be an error here."""
    monkeypatch.setattr(parquet, "CONVERTED_AT_ONCE", 1)
    monkeypatch.setattr(parquet, "GROUP_ROWS", 1)
    folder = OutputFolder(tmp_path)
    folder.create()
    made = find_format("parquet").final
    assert made is not None
    writer = made(Context(folder))
    writer.add(result("a.jpg", [box()]))
    del writer
    gc.collect()
    folder.close()
    assert not (tmp_path / "images.parquet").exists()


def test_without_its_package_it_is_refused_before_the_model_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(tmp_path / "a.png")
    hidden = tmp_path / "hidden/sitecustomize.py"
    hidden.parent.mkdir()
    hidden.write_text("import sys\nsys.modules['pyarrow'] = None\n")
    done = yolocli(
        "detect", tmp_path / "a.png", "--model", "no-such-model.pt", "--format", "parquet", "-o", tmp_path / "out",
        env={"PYTHONPATH": str(hidden.parent)},
    )  # fmt: skip
    assert done.returncode == 2
    expected = "yolocli: --format parquet: needs pyarrow, which is not installed: pip install '.[parquet]'\n"
    assert done.stderr.decode() == expected
    assert not (tmp_path / "out").exists()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert len(every_format()) > 3
    with pytest.raises(MissingExtraError, match=r"an earlier run wrote it, .*\[parquet\]"):
        and_earlier({}, ["parquet"])


def test_a_run_and_an_export_give_the_same_bytes(tmp_path: Path, fake_detectors: object) -> None:
    (tmp_path / "in").mkdir()
    for name in (b"a.png", b"\xff.png", b"\\udcff.png"):
        write_image(bytes(tmp_path / "in") + b"/" + name)
    (tmp_path / "in/broken.jpg").write_bytes(b"no picture")
    root = tmp_path / "out"
    run(tmp_path / "in", output=root, formats=("parquet", "sqlite"))
    names = ("images.parquet", "detections.parquet", "results.sqlite")
    live = {name: (root / name).read_bytes() for name in names}
    for name in names:
        (root / name).unlink()
    rebuild(root, ["parquet", "sqlite"])
    assert {name: (root / name).read_bytes() for name in names} == live
