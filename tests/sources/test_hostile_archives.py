"""Archives that are damaged or made to do harm: whatever can be named has its record, and nothing is written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.sources.hostile import (
    CENTRAL,
    FINISH,
    PARQUETS,
    PICTURE,
    PLAIN,
    Hostile,
    hostile,
    parquet,
    patched,
    repeated,
    rows,
)
from tests.sources.support import bounded_memory, find
from tests.support import records, run
from yolocli.errors import ImageError
from yolocli.results import ImageFailure, ImageRef
from yolocli.sources import read
from yolocli.sources.archives import pages
from yolocli.sources.archives.base import File
from yolocli.sources.archives.parquet import Parquet
from yolocli.sources.archives.zip import Zip

ARCHIVES = hostile()


def outcome(item: ImageRef | ImageFailure) -> str:
    """What becomes of a member, whether it is read where it was listed or by its name alone."""
    if isinstance(item, ImageFailure):
        return item.error
    ways = []
    for hint in (item.hint, ""):
        try:
            assert read(item.source, hint) == PICTURE
            ways.append("ok")
        except ImageError as error:
            ways.append(error.kind)
    assert ways[0] == ways[1], item
    return ways[0]


def check(archive: Hostile, tmp_path: Path) -> None:
    file = tmp_path / f"x{archive.suffix}"
    file.write_bytes(archive.data)
    with bounded_memory():
        items = find(file, hidden=True)
        found = {item.path.removeprefix(file.name).removeprefix("::"): outcome(item) for item in items}
    assert found == archive.records
    assert len(items) == len(found)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


@pytest.mark.parametrize("name", list(ARCHIVES))
def test_every_member_that_can_be_named_has_its_record(name: str, tmp_path: Path) -> None:
    check(ARCHIVES[name], tmp_path)


@pytest.mark.parametrize("name", list(PARQUETS))
def test_every_row_has_its_record(name: str, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    data, expected = PARQUETS[name]
    rows("1.png")  # pyarrow takes address space once
    check(Hostile(".parquet", data(), expected), tmp_path)


def test_rows_that_would_unpack_to_far_more_than_the_file_are_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow")
    monkeypatch.setattr(pages, "LARGE", 2**20)
    (tmp_path / "x.parquet").write_bytes(parquet([{"image": bytes(2**21)}, {"image": PICTURE}]))
    (tmp_path / "y.parquet").write_bytes(parquet([{"image": os.urandom(2**21)}, {"image": PICTURE}]))
    assert [outcome(item) for item in find(tmp_path / "x.parquet")] == ["FileTooLarge"] * 2
    assert outcome(find(tmp_path / "y.parquet")[1]) == "ok"
    (tmp_path / "x.parquet").write_bytes(parquet([{"image": PICTURE, "path": "x" * 2**21}]))
    assert [outcome(item) for item in find(tmp_path / "x.parquet")] == ["FileTooLarge"]


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_every_page_of_a_column_is_looked_at(compression: str, tmp_path: Path) -> None:
    """Their headers hold statistics, which are of any length."""
    pyarrow, writer = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table({"image": [f"{number:0500}".encode() for number in range(4000)]})
    options = {"data_page_size": 5_000, "use_dictionary": False, "write_batch_size": 10, "write_page_index": False}
    writer.write_table(table, tmp_path / "x.parquet", compression=compression, write_statistics=True, **options)
    chunk = writer.ParquetFile(tmp_path / "x.parquet").metadata.row_group(0).column(0)
    found = list(pages._pages(File(str(tmp_path / "x.parquet")), chunk))
    assert len(found) > 100
    levels = 6 * len(found)  # of a column that may be null
    assert sum(unpacked for unpacked, _ in found) == 4000 * (500 + 4) + levels


def number(value: int) -> bytes:
    """Returns a number of variable length, as Thrift has it."""
    return bytes([value & 127 | 128]) + number(value >> 7) if value > 127 else bytes([value])


@pytest.mark.parametrize("kind", range(1, 13))
def test_a_list_in_the_header_of_a_page_does_not_go_on_for_ever(kind: int) -> None:
    compact = pages._Compact(bytes([0x10 | pages.LIST, 0xF0 | kind]) + number(2**62) + bytes(100))
    with pytest.raises((IndexError, ValueError)):
        compact.struct()


def test_a_large_value_that_all_rows_share_is_in_memory_a_few_times(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "x.parquet").write_bytes(parquet([{"image": PICTURE, "path": "x" * 200_000}] * 4096))
    with bounded_memory():
        assert sum(1 for _ in Parquet(str(tmp_path / "x.parquet")).entries()) == 4096


def test_members_of_a_zip_are_more_than_its_count_can_hold(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(repeated(PLAIN, 2**16 + 2))
    assert sum(1 for _ in Zip(str(tmp_path / "x.zip")).entries()) == 2**16 + 2


def test_a_member_is_packed_in_no_more_than_it_can_take(tmp_path: Path) -> None:
    """A hole of a gigabyte in the file, which takes no room on the disk."""
    packed = 2**30
    directory = PLAIN.index(CENTRAL)
    archive = patched(patched(PLAIN, CENTRAL, 20, "L", packed), FINISH, 16, "L", packed + directory)
    with open(tmp_path / "x.zip", "wb") as file:
        file.write(archive[:directory])
        file.seek(packed + directory)
        file.write(archive[directory:])
    with bounded_memory():
        (item,) = find(tmp_path / "x.zip")
        assert outcome(item) == "DamagedArchive"


@pytest.mark.usefixtures("fake_detectors")
def test_a_run_of_all_of_them_writes_nothing_outside_of_its_output(tmp_path: Path) -> None:
    inputs = tmp_path / "in"
    inputs.mkdir()
    expected = {}
    for number, archive in enumerate(ARCHIVES.values()):
        file = inputs / f"{number}{archive.suffix}"
        file.write_bytes(archive.data)
        for name, status in archive.records.items():
            expected[f"{file.name}::{name}" if name else file.name] = status
    before = {path: path.read_bytes() for path in inputs.iterdir()}
    out = tmp_path / "out"
    outcomes, this = run(*sorted(before), output=out, hidden=True, formats=("json", "csv-per-image", "csv"), workers=2)
    found = {o.path: o.error if isinstance(o, ImageFailure) else "ok" for o in outcomes}
    assert found == expected
    assert len(outcomes) == this.summary.images + this.summary.failures == len(expected)
    assert {path: path.read_bytes() for path in inputs.iterdir()} == before
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out"}
    for folder, suffix in (("json", ".json"), ("csv", ".csv")):
        assert sum(path.is_file() for path in (out / folder).rglob(f"*{suffix}")) == len(expected)
    assert {record["path"] for record in records(out / "results.jsonl")} == set(expected)
    assert run(*sorted(before), output=out, hidden=True, retry_failed=False)[1].summary.skipped == len(expected)
