"""Archives as inputs: what is opened, what members are called, and that pictures in them are the same."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from tests.sources.hostile import PICTURE, tar
from tests.sources.places import CompressedPlace, Place, TarPlace, ZipPlace
from tests.sources.support import failures, find, named, paths
from tests.support import clean_environment, run, yolocli
from yolocli.config import SourceConfig
from yolocli.errors import ImageError, UsageError
from yolocli.results import ImageResult
from yolocli.sources import read
from yolocli.sources.archives import MARK, packed, split
from yolocli.sources.archives.base import Entry, distinct
from yolocli.sources.archives.opened import opened
from yolocli.sources.discover import Discovery, discover


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A tar archive in a folder of its own, with pictures on two levels and something else."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "photos.tar").write_bytes(tar("1.png", "a/1.png", "a/.b/1.png", ".c.png", "000.cls", "000.jpg"))
    return folder / "photos.tar"


@pytest.mark.slow
def test_pictures_in_archives_are_those_of_the_folder(images: Path, weights: Path, tmp_path: Path) -> None:
    """Records are the same but for their names, whatever the archive, all of them in one run."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    files = sorted(path for path in images.rglob("*") if path.suffix in {".jpg", ".webp", ".png"})[:8]
    members = {str(path.relative_to(images)): path.read_bytes() for path in files}
    kinds = [tmp_path / f"p{suffix}" for suffix in (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".zip", ".parquet")]
    for kind, mode in zip(kinds[:4], ("w", "w:gz", "w:gz", "w:bz2"), strict=True):
        with tarfile.open(kind, mode) as archive:
            for name in members:
                archive.add(images / name, name)
    with zipfile.ZipFile(kinds[4], "w") as archive:
        for name in members:
            archive.write(images / name, name)
    table = [{"image": {"bytes": data, "path": name}, "label": 1} for name, data in members.items()]
    parquet.write_table(pyarrow.Table.from_pylist(table), kinds[5], row_group_size=3)

    plain, _ = run(*files, model=str(weights))
    expected = {Path(o.path).name: (o.width, o.height, o.detections) for o in plain if isinstance(o, ImageResult)}
    assert len(expected) == len(members) or any(o.status == "failed" for o in plain)
    outcomes, _ = run(*kinds, model=str(weights), workers=2)
    assert len(outcomes) == len(kinds) * len(members)
    for kind in kinds:
        own = {o.path: o for o in outcomes if o.path.startswith(f"{kind.name}::")}
        assert own.keys() == {f"{kind.name}::{name}" for name in members}
        found = {Path(o.path).name: (o.width, o.height, o.detections) for o in own.values() if o.status == "ok"}
        assert found == expected
        assert all(o.ref.source == f"{tmp_path}/{path}" for path, o in own.items())


# What is opened


def test_an_archive_is_opened_where_it_is_named_and_passed_over_where_it_is_met(photos: Path, tmp_path: Path) -> None:
    folder = photos.parent
    (folder / "x.png").write_bytes(PICTURE)
    members = [f"photos.tar::{name}" for name in ("1.png", "a/1.png", "000.jpg")]
    assert paths(photos) == members
    assert paths(folder / "*.tar") == members
    assert paths(folder / "ph*.TAR") == []
    assert paths(folder / "*.tar", exclude=("photos.*",)) == []
    assert paths(folder) == paths(folder / "*") == paths(folder / "**") == ["x.png"]
    assert paths(folder, photos) == ["x.png", *members]
    (tmp_path / "list").write_text(f"{photos}\n{photos}::a/1.png\n")
    assert paths(files_from=str(tmp_path / "list")) == [named(f"{folder}/{name}") for name in members]
    assert paths(f"{photos}::a/1.png") == ["photos.tar::a/1.png"]
    discovery = Discovery(SourceConfig((str(folder),)))
    assert len(list(discovery)) == 1
    assert discovery.search.passed_over == 1


def test_filters_are_about_the_names_of_members(photos: Path) -> None:
    assert paths(photos, hidden=True) == [
        f"photos.tar::{name}" for name in ("1.png", "a/1.png", "a/.b/1.png", ".c.png", "000.jpg")
    ]
    assert paths(photos, recursive=False) == ["photos.tar::1.png", "photos.tar::000.jpg"]
    assert paths(photos, exclude=("a",)) == ["photos.tar::1.png", "photos.tar::000.jpg"]
    assert paths(photos, include=("a/*.png",)) == ["photos.tar::a/1.png"]


def test_what_is_on_the_disk_goes_first(photos: Path) -> None:
    """A folder may be called like an archive, and a file like a member."""
    folder = photos.parent
    (folder / "photos.tar::1.png").write_bytes(b"on the disk")
    notices: list[str] = []
    items = find(photos, notices=notices)
    assert [item.path for item in items] == ["photos.tar::a/1.png", "photos.tar::000.jpg"]
    assert notices == [f"{photos}::1.png: passed over, as a file on the disk is called so, too"]
    assert read(f"{photos}::1.png") == b"on the disk"
    assert paths(folder) == ["photos.tar::1.png"]
    (folder / "b.tar").mkdir()
    (folder / "b.tar" / "2.png").write_bytes(PICTURE)
    assert paths(folder / "b.tar") == ["2.png"]
    (folder / "b.tar::c").mkdir()
    (folder / "b.tar::c" / "d.tar").write_bytes(tar("1.png"))
    assert split(f"{folder}/b.tar::c/d.tar::1.png") == (f"{folder}/b.tar::c/d.tar", "1.png")
    assert paths(folder / "b.tar::c" / "d.tar") == ["d.tar::1.png"]
    (folder / "link.tar").symlink_to(photos)
    assert paths(folder / "link.tar", include=("a/*",)) == ["link.tar::a/1.png"]


def test_names_of_archives_in_several_folders_are_told_apart(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.tar").write_bytes(tar("1.png"))
        (tmp_path / name / "x.png").write_bytes(PICTURE)
    both = {"a/x.tar::1.png", "b/x.tar::1.png"}
    assert set(paths(tmp_path / "a/x.tar", tmp_path / "b/x.tar")) == both
    assert set(paths(tmp_path / "*/x.tar")) == both
    assert set(paths(tmp_path / "a", tmp_path / "b/x.tar")) == {"a/x.png", "b/x.tar::1.png"}


def test_dry_run_prints_what_opens_each(photos: Path) -> None:
    done = yolocli("detect", photos, "--model", "builtin", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().split() == [f"{photos}::{name}" for name in ("1.png", "a/1.png", "000.jpg")]


@pytest.mark.parametrize(
    ("suffix", "library", "extra"), [(".tar.zst", "zstandard", "zstd"), (".parquet", "pyarrow", "parquet")]
)
def test_a_library_that_is_missing_is_named_with_its_extra(
    suffix: str, library: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [name for name in sys.modules if name.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, library, None)  # type: ignore[arg-type]
    (tmp_path / f"x{suffix}").write_bytes(b"x")
    for name in (f"x{suffix}", f"*{suffix}"):
        with pytest.raises(UsageError, match=rf"{library}.*is not installed; pip install '.\[{extra}\]'"):
            find(tmp_path / name)


# Changes


@pytest.mark.parametrize("kind", [TarPlace, ZipPlace])
def test_a_member_is_found_though_the_archive_has_changed_since_it_was_listed(
    kind: type[Place], tmp_path: Path
) -> None:
    place = kind(tmp_path / "place")  # type: ignore[call-arg]
    for name in ("1.png", "2.png"):
        place.put(name, name.encode())
    first, second = find(place.name)
    place.put("0.png", bytes(5000))
    assert read(second.source, second.hint) == b"2.png"
    place.remove("1.png")
    with pytest.raises(ImageError, match=r"there is no 1\.png in"):
        read(first.source, first.hint)


@pytest.mark.usefixtures("fake_detectors")
def test_an_archive_that_is_damaged_has_lost_nothing(photos: Path, tmp_path: Path) -> None:
    """What cannot be told is not taken for gone; and once the archive is whole, its failure is no more."""
    out, whole = tmp_path / "out", photos.read_bytes()
    photos.write_bytes(tar("1.png", "2.png"))
    run(photos, output=out)
    photos.write_bytes(tar("1.png"))
    cut = tar("1.png", "2.png")[:1600]
    photos.write_bytes(cut)
    outcomes, this = run(photos, output=out, prune=True)
    assert {o.path for o in outcomes if o.status == "failed"} == {"photos.tar", "photos.tar::2.png"}
    assert (this.summary.pruned, this.summary.vanished) == (0, 0)
    photos.write_bytes(whole)
    _, this = run(photos, output=out, prune=True)
    assert this.summary.folder["failures"] == 0
    assert this.summary.pruned == 1
    photos.unlink()
    photos.with_name("other.tar").write_bytes(whole)
    _, this = run(photos.parent, photos.with_name("other.tar"), output=out, prune=True)
    assert this.summary.pruned == 3


# What is decompressed


def compressed(folder: Path, **members: bytes) -> Path:
    place = CompressedPlace(folder, ".tar.gz")
    for name, data in members.items():
        place.put(f"{name}.png", data)
    return Path(place.name)


def test_room_is_taken_by_pictures_alone_and_freed_at_the_end(tmp_path: Path) -> None:
    place = CompressedPlace(tmp_path / "place", ".tar.gz")
    place.put("0.bin", bytes(2**24))
    place.put("1.png", PICTURE)
    code = """
import os, sys
from yolocli.config import SourceConfig
from yolocli.sources import read
from yolocli.sources.discover import discover
said = []
(item,) = discover(SourceConfig((sys.argv[1],)), notice=said.append)
file = item.hint.split("@")[2]
print(os.stat(file).st_size > 2**24, os.stat(file).st_blocks * 512 < 2**20, len(read(item.source, item.hint)))
print(said[0])
print(file)
if len(sys.argv) > 2:
    os._exit(9)
"""
    cache = tmp_path / "cache"
    environment = clean_environment(YOLOCLI_CACHE_DIR=str(cache))

    def look(*more: str) -> list[str]:
        command = [sys.executable, "-c", code, place.name, *more]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False).stdout.splitlines()

    facts, said, _ = look()
    assert facts == f"True True {len(PICTURE)}"
    assert said == f"{place.name}: decompressed into {cache}/unpacked while the run goes on"
    assert list((cache / "unpacked").iterdir()) == []
    killed = Path(look("killed")[2])
    assert killed.exists()
    assert look()[0] == facts
    assert list((cache / "unpacked").iterdir()) == []  # what the killed one left, too


def test_where_there_is_no_room_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "KEPT_FREE", 2**62)
    archive = compressed(tmp_path / "place", one=PICTURE)
    found = find(archive)
    assert {path: item.error for path, item in failures(found).items()} == {archive.name: "NoRoom"}
    assert "YOLOCLI_CACHE_DIR" in found[-1].message


def test_what_was_decompressed_first_makes_room_and_can_still_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = find(compressed(tmp_path / "a", one=PICTURE))
    file = first.hint.split("@")[2]
    monkeypatch.setattr(packed, "CHECKED_EVERY", 1)
    usage = packed.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(
        packed.shutil, "disk_usage", lambda folder: usage._replace(free=0 if os.path.exists(file) else 2**40)
    )
    (second,) = find(compressed(tmp_path / "b", one=PICTURE))
    assert not os.path.exists(file)
    assert read(first.source, first.hint) == read(second.source, second.hint) == PICTURE


# Many members


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".tar", ".zip"])
def test_a_member_costs_few_bytes_of_memory_whoever_reads_it(suffix: str, tmp_path: Path) -> None:
    import tracemalloc

    many = 10_000
    file = tmp_path / f"x{suffix}"
    if suffix == ".tar":
        with tarfile.open(file, "w") as archive:
            for number in range(many):
                archive.addfile(tarfile.TarInfo(f"folder/{number:08}.jpg"))
    else:
        with zipfile.ZipFile(file, "w") as packed_file:
            for number in range(many):
                packed_file.writestr(f"folder/{number:08}.jpg", b"")
    tracemalloc.start()
    try:
        assert opened(str(file)).find(f"folder/{many - 1:08}.jpg") is not None
        assert tracemalloc.get_traced_memory()[0] < 30 * many
        tracemalloc.reset_peak()
        listed = sum(1 for _ in discover(SourceConfig((str(file),))))
        assert listed == many
        assert tracemalloc.get_traced_memory()[1] < 150 * many + 2**21
    finally:
        tracemalloc.stop()


def test_names_of_many_members_are_told_apart_in_little_memory() -> None:
    """Those met long ago, too: each name comes again at the end."""
    many = 20_000
    entries = (Entry(f"{number % many}.jpg", 0, "") for number in range(2 * many))
    found = distinct(entries, MARK)
    tracemalloc.start()
    try:
        assert [name for number, (name, _) in zip(range(many), found, strict=False) if name != f"{number}.jpg"] == []
        assert tracemalloc.get_traced_memory()[0] < 60 * many
    finally:
        tracemalloc.stop()
    assert [name for name, _ in found][1:] == [f"{number}.jpg::2.jpg" for number in range(1, many)]
