from __future__ import annotations

import errno
import json
import os
import re
import shutil
import stat
import tempfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import fakes
from tests.fakes import FakeDetector
from tests.support import box, projections, records, ref, result, run, run_config, write_image
from tests.test_results import outcomes
from yolocli.errors import OutputError, UsageError
from yolocli.output.folder import OutputFolder
from yolocli.output.journal import Journal, mend, recover
from yolocli.output.ownership import DAMAGED, DAMAGED_HEAD, JOURNAL
from yolocli.output.past import Known, Past, heads, named, replay
from yolocli.output.projection import rebuild
from yolocli.pipeline import Run
from yolocli.results import ImageFailure, ImageResult, Outcome


def opened(root: Path) -> OutputFolder:
    root.mkdir(exist_ok=True, parents=True)
    folder = OutputFolder(root)
    folder.create()
    return folder


def write(root: Path, *lines: Outcome) -> Path:
    journal = Journal(opened(root))
    for line in lines:
        journal.append(line)
    journal.close()
    return root / JOURNAL


def failure(path: str = "a.jpg", **fields: str) -> ImageFailure:
    return ImageFailure(ref(path, **fields), "decode", "TruncatedImage", "cut off")


def of_earlier_version(line: bytes) -> bytes:
    """Returns a line as it was written when it held size and time of modification in place of the version."""
    body, _, rest = line.rpartition(b', "crc": ')[0].partition(b'"version": "')
    version, _, rest = rest.partition(b'"')
    size, _, mtime_ns = version.partition(b"-") if version else (b"-1", b"-", b"-1")
    old = body + b'"size": %b, "mtime_ns": %b' % (size, mtime_ns) + rest
    return b'%b, "crc": %d}\n' % (old, zlib.crc32(old))


# Append and replay


def test_a_line_is_on_disk_when_append_returns(tmp_path: Path) -> None:
    journal = Journal(opened(tmp_path))
    for number in range(3):
        journal.append(result(f"{number}.jpg"))
        assert len(records(tmp_path / JOURNAL)) == number + 1
    journal.close()


def test_a_second_run_appends(tmp_path: Path) -> None:
    write(tmp_path, result("a.jpg"))
    assert [line["path"] for line in records(write(tmp_path, result("b.jpg")))] == ["a.jpg", "b.jpg"]


def test_replay_gives_back_what_was_appended(tmp_path: Path) -> None:
    written = [result("a.jpg", [box(), box("bus", 5)], version="3-4"), failure("b.jpg")]
    assert list(replay(write(tmp_path, *written))) == written


def test_the_last_line_wins(tmp_path: Path) -> None:
    path = write(tmp_path, failure("a.jpg"), result("b.jpg"), result("a.jpg", [box()], version="9-1"))
    assert list(replay(path)) == [result("a.jpg", [box()], version="9-1"), result("b.jpg")]


def test_a_name_with_a_nul_byte_hides_no_other(tmp_path: Path) -> None:
    lines = [result("x\0y.jpg"), result("x/y.jpg"), result("x\1\1y.jpg"), result("x\1\2y.jpg"), result("x\1y.jpg")]
    assert len(list(replay(write(tmp_path, *lines)))) == len(lines)


def test_a_line_can_be_taken_back_and_written_again(tmp_path: Path) -> None:
    path = write(tmp_path, result("a.jpg"), result("b.jpg"))
    journal = Journal(opened(tmp_path))
    for head in list(heads(path)):
        journal.drop(head)
    journal.append(result("b.jpg", version="5-1"))
    journal.close()
    assert list(replay(path)) == [result("b.jpg", version="5-1")]
    past = Past(path)
    assert past.images == 1
    assert past.look_up(ref("a.jpg")) is Known.NEW
    assert [head.path for head in past.unseen()] == ["b.jpg"]
    assert past.look_up(ref("b.jpg", version="5-1")) is Known.DONE
    assert list(past.unseen()) == []
    past.close()


@pytest.mark.parametrize("change", ["replaced", "cut", "gone", "added to"])
def test_a_journal_that_another_program_changed_is_no_truth(tmp_path: Path, change: str) -> None:
    journal = Journal(opened(tmp_path))
    journal.append(result("a.jpg"))
    path = tmp_path / JOURNAL
    journal.check()
    if change == "replaced":
        (tmp_path / "copy").write_bytes(path.read_bytes())
        os.replace(tmp_path / "copy", path)
    elif change == "gone":
        path.unlink()
    else:
        os.truncate(path, 0) if change == "cut" else path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(OutputError, match=r"results\.jsonl"):
        journal.check()
    journal.close()


def test_replay_has_the_order_of_the_walk(tmp_path: Path) -> None:
    names = [
        "Z.jpg",
        "a/z.jpg",
        "a\x01.jpg",
        "a b.jpg",
        "a.jpg",
        "a.jpg/1.jpg",
        "a0.jpg",
        "b.jpg",
        "é.jpg",
        "\udcff.jpg",
    ]
    for name in (os.fsencode(tmp_path) + b"/in/" + os.fsencode(name) for name in names if name != "a.jpg/1.jpg"):
        os.makedirs(os.path.dirname(name), exist_ok=True)
        with open(name, "wb"):
            pass
    from yolocli.config import SourceConfig
    from yolocli.sources.discover import discover

    walked = [item.path for item in discover(SourceConfig((str(tmp_path / "in"),)))]
    path = write(tmp_path / "out", *(result(name) for name in reversed(walked)))
    assert [outcome.path for outcome in replay(path)] == walked


@settings(max_examples=80, deadline=None)
@given(
    written=st.lists(outcomes, max_size=8, unique_by=lambda outcome: outcome.path),
    shuffle=st.randoms(use_true_random=False),
)
def test_replay_depends_on_what_ended_and_not_on_when(written: list[Outcome], shuffle: object) -> None:
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        expected = list(replay(write(Path(first), *written)))
        assert {outcome.path: outcome for outcome in expected} == {outcome.path: outcome for outcome in written}
        assert len(expected) == len(written)
        shuffle.shuffle(written)  # type: ignore[attr-defined]
        assert list(replay(write(Path(second), *written))) == expected


def test_a_line_that_is_no_record_is_said(tmp_path: Path) -> None:
    path = write(tmp_path, result("a.jpg"))
    with open(path, "ab") as stream:
        stream.write(b"hello\n")
    with pytest.raises(OutputError, match=f"byte {len(path.read_bytes()) - 6}"):
        list(replay(path))


def test_a_line_that_cannot_be_written_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(opened(tmp_path))
    journal.append(result("a.jpg"))
    real, calls = os.write, []

    def full(descriptor: int, data: bytes) -> int:
        calls.append(1)
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        return real(descriptor, data[:10])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OutputError, match="No space left"):
        journal.append(result("b.jpg"))
    monkeypatch.undo()
    journal.append(result("c.jpg"))
    journal.close()
    assert [line["path"] for line in records(tmp_path / JOURNAL)] == ["a.jpg", "c.jpg"]


# Recovery


def test_a_journal_torn_at_any_byte_keeps_its_whole_lines(tmp_path: Path) -> None:
    lines = [result("a\n\udcff.jpg", [box()]), failure("b.jpg"), result("c" * 30)]
    path = write(tmp_path, *lines)
    whole = path.read_bytes()
    ends = [number + 1 for number, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        kept = sum(end <= cut for end in ends)
        assert recover(opened(tmp_path)) == cut - ([0, *ends][kept])
        assert list(replay(path)) == lines[:kept]


def test_a_torn_line_longer_than_a_block_is_cut(tmp_path: Path) -> None:
    path = write(tmp_path, result("a.jpg"))
    whole = path.read_bytes()
    path.write_bytes(whole + b"x" * 300_000)
    assert recover(opened(tmp_path)) == 300_000
    assert path.read_bytes() == whole


def test_no_journal_needs_no_recovery(tmp_path: Path) -> None:
    assert recover(opened(tmp_path)) == 0


# Damage

_places = st.integers(0, 2**16)
_damages = st.lists(
    st.tuples(st.sampled_from(["flip", "cut", "duplicate", "reorder", "NUL block"]), _places, _places, _places),
    min_size=1,
    max_size=4,
)


def damaged(content: bytes, kind: str, *places: int) -> bytes:
    """Returns the content of a journal with something done to it, mostly within lines, sometimes at their ends."""
    ends = [0, *(number + 1 for number, byte in enumerate(content) if byte == ord("\n"))]
    first, last, other = (
        ends[place // 4 % len(ends)] if place % 4 == 0 else place // 4 % (len(content) + 1) for place in places
    )
    first, last = sorted((first, last))
    span = content[first:last]
    if kind == "flip":
        return (
            content[:first]
            + bytes(byte ^ (1 << other % 8) for byte in content[first : first + 1])
            + content[first + 1 :]
        )
    if kind == "NUL block":
        return content[:first] + bytes(len(span)) + content[last:]
    if kind == "duplicate":
        return content[:other] + span + content[other:]
    rest = content[:first] + content[last:]
    return rest if kind == "cut" else rest[:other] + span + rest[other:]


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(written=st.lists(outcomes, min_size=1, max_size=6), damages=_damages)
def test_no_damage_loses_an_undamaged_record_or_counts_one_twice(
    written: list[Outcome], damages: list[tuple[str, int, int, int]]
) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        path = write(Path(temporary), *written)
        lines = path.read_bytes().splitlines(keepends=True)
        content = path.read_bytes()
        for kind, *places in damages:
            content = damaged(content, kind, *places)
        path.write_bytes(content)
        survivors: dict[str, list[Outcome]] = {}
        for outcome, line in zip(written, lines, strict=True):
            if line in content:
                survivors.setdefault(outcome.path, []).append(outcome)
        folder = opened(Path(temporary))
        notices: list[str] = []
        count = mend(folder, notices.append)
        found = list(replay(path))
        assert survivors.keys() <= {outcome.path for outcome in found}
        assert all(outcome in survivors.get(outcome.path, written) for outcome in found)
        assert len(found) == len({outcome.path for outcome in found})
        past = Past(path)
        assert past.images == len(found)
        for outcome in found:
            known = Known.DONE if isinstance(outcome, ImageResult) else Known.FAILED
            assert past.look_up(outcome.ref) is known
        past.close()
        assert (count > 0) == (len(notices) == 1) == (Path(temporary) / DAMAGED).exists()
        assert mend(folder, notices.append) == 0, "damage is set aside once"


def test_what_is_damaged_is_kept_and_counted(tmp_path: Path) -> None:
    lines = [result(f"{number}.jpg", [box()]) for number in range(5)]
    path = write(tmp_path, *lines)
    whole = path.read_bytes().splitlines(keepends=True)
    broken = [whole[0], whole[1].replace(b"person", b"persom"), whole[2][:-1] + b"\0", whole[3], whole[4]]
    path.write_bytes(b"".join(broken))
    notices: list[str] = []
    assert mend(opened(tmp_path), notices.append) == 2
    assert list(replay(path)) == [lines[0], lines[3], lines[4]], "the line after a lost line break is whole"
    assert (tmp_path / DAMAGED).read_bytes() == b"".join([DAMAGED_HEAD, broken[1], broken[2] + b"\n"])
    assert "2 damaged lines" in notices[0]
    path.write_bytes(path.read_bytes() + b"hello\n")
    assert mend(opened(tmp_path), notices.append) == 1
    assert (tmp_path / DAMAGED).read_bytes().count(b"\n") == 4
    journal = Journal(opened(tmp_path))
    journal.drop(next(iter(heads(path))))
    journal.close()
    assert named(opened(tmp_path)) == ["3.jpg", "4.jpg", "1.jpg", "2.jpg"]


def test_lines_of_an_earlier_version_go_on_without_a_checksum(tmp_path: Path) -> None:
    outcomes = [result("a.jpg", [box()], version="3-4"), failure("b.jpg"), result("c.jpg")]
    path = write(tmp_path, *outcomes)
    old = [
        line.rpartition(b', "crc": ')[0] + b"}\n" for line in map(of_earlier_version, path.read_bytes().splitlines())
    ]
    old[2] = old[2].replace(b'"height": ', b'"heigh": ')
    path.write_bytes(b"".join(old))
    path = write(tmp_path, result("d.jpg"))
    assert mend(opened(tmp_path), print) == 1
    assert list(replay(path)) == [*outcomes[:2], result("d.jpg")]


def test_lines_of_two_versions_lie_in_one_journal(
    tree: Path, fake_detectors: list[FakeDetector], tmp_path: Path
) -> None:
    """What is done stays done, what has changed is done again, and all of it exports to the same bytes."""
    formats = ("json", "csv", "csv-per-image")
    output = tmp_path / "out"
    run(tree, output=output, workers=1, formats=formats)
    before = projections(output)
    lines = (output / JOURNAL).read_bytes().splitlines(keepends=True)
    mixed = [of_earlier_version(line) if number % 2 else line for number, line in enumerate(lines)]
    (output / JOURNAL).write_bytes(b"".join(mixed))
    versions = {outcome.path: outcome.ref.version for outcome in replay(output / JOURNAL)}
    assert all(re.fullmatch(r"\d+-\d+", version) for version in versions.values())
    assert rebuild(output, formats, notice=pytest.fail) == 4
    assert projections(output) == before
    done, this = run(tree, output=output, workers=1, formats=formats, retry_failed=False)
    assert (done, this.summary.skipped, this.summary.damaged) == ([], 4, 0)
    for name in ("a.png", "b.png"):  # one of each kind
        write_image(tree / name, 99, 88)
    done, _ = run(tree, output=output, workers=1, formats=formats, retry_failed=False)
    assert sorted(outcome.path for outcome in done) == ["a.png", "b.png"]
    assert {outcome.path for outcome in replay(output / JOURNAL)} == versions.keys()


@pytest.mark.parametrize("when", ["at once", "after an export"])
def test_an_image_whose_line_is_damaged_is_done_again(
    tree: Path, fake_detectors: list[FakeDetector], tmp_path: Path, when: str
) -> None:
    run(tree, output=tmp_path / "whole", workers=1)
    output = tmp_path / "out"
    run(tree, output=output, workers=1)
    journal = output / JOURNAL
    content = bytearray(journal.read_bytes())
    content[content.index(b"b.png") + 200] ^= 4
    journal.write_bytes(content)
    if when == "after an export":
        notices: list[str] = []
        assert rebuild(output, ("csv",), notice=notices.append) == 3
        assert len(notices) == 1
    done, this = run(tree, output=output, workers=1, retry_failed=False)
    assert [outcome.path for outcome in done] == ["b.png"]
    assert this.summary.damaged == json.loads((output / "summary.json").read_bytes())["damaged"] == (when == "at once")
    assert projections(output) == projections(tmp_path / "whole")


def test_to_overwrite_a_damaged_folder_leaves_nothing_behind(
    tree: Path, fake_detectors: list[FakeDetector], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    run(tree, output=output, workers=1)
    journal = output / JOURNAL
    journal.write_bytes(journal.read_bytes().replace(b'"width": 16', b'"width": 61', 1) + b"hello\n")
    for name in ("a.png", "b.png", "bad.png"):
        (tree / name).unlink()
    run(tree, output=output, workers=1, overwrite=True, confidence=0.5)
    assert [file.name for file in (output / "json").iterdir()] == ["c.png.json"]
    assert not (output / DAMAGED).exists()


def test_lines_set_aside_are_no_file_of_somebody_else(tree: Path, fake_detectors: list[FakeDetector]) -> None:
    """Whatever they begin with: the file has a line of its own before them."""
    output = tree.parent / "out"
    for _ in range(2):
        run(tree, output=output, workers=1)
        with open(output / JOURNAL, "ab") as stream:
            stream.write(b"hello\n")
    assert rebuild(output, ("csv",)) == 4
    assert (output / DAMAGED).read_bytes() == DAMAGED_HEAD + b"hello\n" * 2
    (output / DAMAGED).write_bytes(b"hello\n" + (output / JOURNAL).read_bytes()[:99])  # as of earlier versions
    run(tree, output=output, workers=1)
    run(tree, output=output, workers=1, overwrite=True)
    assert not (output / DAMAGED).exists()


@pytest.mark.parametrize("content", [b"", b"\0\0\0", b'{\n  "finger', None])
def test_a_lost_run_json_does_not_brick_the_folder(
    tree: Path, fake_detectors: list[FakeDetector], content: bytes | None
) -> None:
    output = tree.parent / "out"
    run(tree, output=output, workers=1)
    expected = projections(output)
    (output / "run.json").unlink() if content is None else (output / "run.json").write_bytes(content)
    with pytest.raises(UsageError, match=r"run\.json: .* --overwrite"):
        run(tree, output=output, workers=1)
    assert rebuild(output, ("json", "csv")) == 4
    assert projections(output) == expected
    (tree / "a.png").unlink()
    run(tree, output=output, workers=1, overwrite=True)
    assert not (output / "json/a.png.json").exists()
    assert len(records(output / JOURNAL)) == 3


# Projections that a power cut took


def test_a_missing_or_empty_projection_is_made_again(tree: Path, fake_detectors: list[FakeDetector]) -> None:
    output = tree.parent / "out"
    formats = ("json", "csv", "csv-per-image")
    run(tree, output=output, workers=1, formats=formats)
    before = projections(output)
    (output / "json/a.png.json").unlink()
    for name in ("json/b.png.json", "csv/a.png.csv", "images.csv", "detections.csv", "failures.jsonl"):
        (output / name).write_bytes(b"")
    run(tree, output=output, workers=1, formats=formats, retry_failed=False)
    assert projections(output) == before


def test_what_an_unfinished_run_wrote_is_not_trusted(tree: Path, fake_detectors: list[FakeDetector]) -> None:
    output = tree.parent / "out"
    run(tree, output=output, workers=1)
    before = projections(output)
    shutil.rmtree(output)
    walk = iter(Run(run_config(tree, output=output, workers=1, ordered=True)))
    next(walk)
    walk.close()  # type: ignore[attr-defined]
    (output / "json/a.png.json").write_bytes(before["json/a.png.json"][:40])
    run(tree, output=output, workers=1)
    assert projections(output) == before


def test_run_json_is_durable_before_the_first_line(
    tree: Path, fake_detectors: list[FakeDetector], monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    real_sync, real_append = os.fsync, Journal.append

    def fsync(file: int) -> None:
        real_sync(file)
        done.append("folder" if stat.S_ISDIR(os.fstat(file).st_mode) else "file")

    def append(journal: Journal, outcome: Outcome) -> None:
        done.append("line")
        real_append(journal, outcome)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Journal, "append", append)
    run(tree, output=tree.parent / "out", workers=1)
    started = done[: done.index("line")]
    assert started.index("file") < len(started) - 1 - started[::-1].index("folder")
    assert "file" in done[len(done) - done[::-1].index("line") :], "nor is it done before its lines are durable"


@pytest.mark.parametrize("there_is_one_call", [True, False])
def test_no_summary_tells_of_what_the_disk_did_not_take(
    tree: Path, fake_detectors: list[FakeDetector], monkeypatch: pytest.MonkeyPatch, there_is_one_call: bool
) -> None:
    output = tree.parent / "out"

    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    if there_is_one_call:
        monkeypatch.setattr("yolocli.output.folder.sync_tree", refuse)
    else:
        monkeypatch.setattr("yolocli.output.disk._sync_file_system", lambda folder: False)
        monkeypatch.setattr("yolocli.output.disk._sync_each", refuse)
    with pytest.raises(OutputError, match="Input/output error"):
        run(tree, output=output, workers=1)
    assert not (output / "summary.json").exists()
    assert json.loads((output / "run.json").read_bytes())["finished"] is None


def test_each_file_is_made_durable_where_no_call_does_it_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = opened(tmp_path)
    for name in ("a", "b/c"):
        folder.write(Path(name), b"x")
    (tmp_path / "link").symlink_to("nowhere")
    synced: set[int] = set()
    monkeypatch.setattr("yolocli.output.disk._sync_file_system", lambda folder: False)
    monkeypatch.setattr(os, "fsync", lambda file: synced.add(os.fstat(file).st_ino))
    folder.sync()
    assert synced >= {path.stat().st_ino for path in (tmp_path, *tmp_path.glob("**/[abc]"))}


# What a journal tells of a file


def test_what_is_known_of_a_file(tmp_path: Path) -> None:
    past = Past(
        write(
            tmp_path,
            result("ok.jpg", version="1-2"),
            failure("bad.jpg", version="1-2"),
            failure("again.jpg", version="1-2"),
            result("again.jpg", version="1-2"),
            result("\udcff\n\\.jpg", version="1-2"),
        )
    )
    known = {name: past.look_up(ref(name, version="1-2")) for name in ("ok.jpg", "bad.jpg", "again.jpg", "new.jpg")}
    assert known == {
        "ok.jpg": Known.DONE,
        "bad.jpg": Known.FAILED,
        "again.jpg": Known.DONE,
        "new.jpg": Known.NEW,
    }
    assert past.look_up(ref("\udcff\n\\.jpg", version="1-2")) is Known.DONE
    assert past.look_up(ref("ok.jpg", version="2-2")) is Known.CHANGED
    assert past.look_up(ref("ok.jpg", version="1-3")) is Known.CHANGED
    assert past.look_up(ref("ok.jpg", source="/elsewhere/ok.jpg", version="1-2")) is Known.CHANGED
    assert past.images == 4
    past.close()


def test_an_empty_journal_knows_nothing(tmp_path: Path) -> None:
    past = Past(tmp_path / "gone")
    assert past.look_up(ref()) is Known.NEW
    assert past.images == 0
    past.close()


# The same command twice


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png", "c.png"):
        write_image(tmp_path / "in" / name)
    (tmp_path / "in/bad.png").write_text("no image")
    return tmp_path / "in"


def test_the_second_run_does_only_what_is_left(tree: Path, fake_detectors: list[FakeDetector]) -> None:
    output = tree.parent / "out"
    first, _ = run(tree, output=output, workers=1)
    assert len(first) == 4
    before = projections(output)

    again, this = run(tree, output=output, workers=1)
    assert [outcome.path for outcome in again] == ["bad.png"]
    assert (this.summary.skipped, this.summary.exit_code) == (3, 1)
    assert projections(output) == before

    none, this = run(tree, output=output, workers=1, retry_failed=False)
    assert none == []
    assert (this.summary.skipped, this.summary.skipped_failures, this.summary.exit_code) == (4, 1, 1)
    assert projections(output) == before

    write_image(tree / "bad.png")  # put right
    write_image(tree / "b.png", 99, 88)  # changed
    write_image(tree / "d.png")  # new
    (tree / "c.png").unlink()
    repaired, this = run(tree, output=output, workers=1)
    assert sorted(outcome.path for outcome in repaired) == ["b.png", "bad.png", "d.png"]
    assert (this.summary.skipped, this.summary.failures, this.summary.exit_code, this.summary.vanished) == (1, 0, 0, 1)
    by_path = {outcome.path: outcome for outcome in replay(output / JOURNAL)}
    assert isinstance(by_path["b.png"], ImageResult)
    assert (by_path["b.png"].width, by_path["b.png"].height) == (99, 88)
    assert not (output / "failures.jsonl").exists()


def test_a_run_in_pieces_gives_the_files_of_one_done_at_once(
    tree: Path, fake_detectors: list[FakeDetector], tmp_path: Path
) -> None:
    run(tree, output=tmp_path / "whole", workers=1)
    walk = iter(Run(run_config(tree, output=tmp_path / "pieces", workers=1, ordered=True)))
    next(walk)
    walk.close()  # type: ignore[attr-defined]
    with open(tmp_path / "pieces" / JOURNAL, "ab") as stream:
        stream.write(b'{"schema": 1, "path": "tor')
    run(tree, output=tmp_path / "pieces", workers=1)
    assert projections(tmp_path / "pieces") == projections(tmp_path / "whole")


def test_a_format_asked_for_later_holds_the_images_done_before(
    tree: Path, fake_detectors: list[FakeDetector], tmp_path: Path
) -> None:
    run(tree, output=tmp_path / "whole", workers=1, formats=("json", "csv"))
    run(tree, output=tmp_path / "later", workers=1, formats=("csv",))
    run(tree, output=tmp_path / "later", workers=1, formats=("json", "csv"))
    assert projections(tmp_path / "later") == projections(tmp_path / "whole")


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"confidence": 0.5}, "--conf was 0.25, is 0.5"),
        ({"iou": 0.1}, "--iou was 0.7, is 0.1"),
        ({"max_detections": 1}, "--max-det was 300, is 1"),
        ({"imgsz": (320, 320)}, "--imgsz was not given, is 320,320"),
        ({"classes": ("thing",)}, "--classes was not given, is thing"),
    ],
)
def test_other_settings_are_refused_by_name(
    tree: Path, fake_detectors: list[FakeDetector], change: dict[str, object], name: str
) -> None:
    output = tree.parent / "out"
    run(tree, output=output, workers=1)
    before = (output / JOURNAL).read_bytes()
    with pytest.raises(UsageError, match=name) as caught:
        run(tree, output=output, workers=1, **change)
    assert caught.value.exit_code == 2
    assert "--overwrite" in str(caught.value)
    assert (output / JOURNAL).read_bytes() == before
    run(tree, output=output, workers=1, overwrite=True, **change)
    assert len(records(output / JOURNAL)) == 4


def test_other_weights_are_refused_and_other_speed_is_not(
    tree: Path, fake_detectors: list[FakeDetector], monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tree.parent / "out"
    run(tree, output=output, workers=1)
    run(tree, output=output, workers=3, batch=2, threads=1, mode="locked", ordered=True)
    fakes.install(monkeypatch, fakes.FakeLoader(digest="1" * 64))
    with pytest.raises(UsageError, match=r"the file of --model fake\.pt has changed"):
        run(tree, output=output, workers=1)


def test_a_second_run_beside_the_first_is_refused(tree: Path, fake_detectors: list[FakeDetector]) -> None:
    output = tree.parent / "out"
    walk = iter(Run(run_config(tree, output=output, workers=1)))
    next(walk)
    with pytest.raises(UsageError, match="another run") as caught:
        run(tree, output=output, workers=1)
    assert caught.value.exit_code == 2
    with pytest.raises(UsageError, match="another run"):
        rebuild(output, ("csv",))
    assert len(list(walk)) == 3  # the first is not disturbed
    run(tree, output=output, workers=1)


def test_overwrite_removes_nothing_that_is_not_its_own(tree: Path, fake_detectors: list[FakeDetector]) -> None:
    output = tree.parent / "out"
    (output / "json").mkdir(parents=True)
    (output / "json/mine.txt").write_text("keep")
    run(tree, output=output, workers=1, overwrite=True)
    assert (output / "json/mine.txt").exists()
    mine = [output / name for name in ("notes.txt", "json/a.jpg", "json/mine.json", "csv/mine.csv")]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("keep")
    made = set((output / "json").rglob("*.json")) - set(mine)
    assert made
    empty = tree.parent / "other"
    empty.mkdir()
    write_image(empty / "new.jpg")
    run(empty, output=output, workers=1, overwrite=True)
    assert all(path.read_text() == "keep" for path in mine)
    assert not [path for path in made if path.exists()]


def test_run_json_says_how_and_when(tree: Path, fake_detectors: list[FakeDetector]) -> None:
    output = tree.parent / "out"
    walk = iter(Run(run_config(tree, output=output, workers=1)))
    next(walk)
    during = json.loads((output / "run.json").read_bytes())
    assert during["finished"] is None
    list(walk)
    after = json.loads((output / "run.json").read_bytes())
    assert after["finished"] >= after["started"] == during["started"]
    assert after["fingerprint"]["weights_sha256"] == "0" * 64
    assert after["versions"].keys() >= {"yolocli", "python", "ultralytics"}
    assert after["settings"]["inputs"] == [str(tree)]
    summary = json.loads((output / "summary.json").read_bytes())
    wanted = "images detections failures skipped complete exit_code wall_seconds first_seconds load_seconds stages"
    assert summary.keys() >= {
        *wanted.split(),
        "images_per_second",
        "peak_memory_bytes",
        "mode",
        "workers",
        "runtime",
        "model",
    }
    assert (summary["images"], summary["failures"], summary["complete"], summary["exit_code"]) == (3, 1, True, 1)


def test_a_class_may_be_named_or_numbered(tree: Path, fake_detectors: list[FakeDetector]) -> None:
    output = tree.parent / "out"
    run(tree, output=output, workers=1, classes=("Thing",))
    _, this = run(tree, output=output, workers=1, classes=("0",))
    assert this.summary.skipped == 3
    with pytest.raises(UsageError, match="--classes was 0, is 1"):
        run(tree, output=output, workers=1, classes=("1",))


def test_a_resumed_run_tells_of_itself_and_of_the_folder(tree: Path, fake_detectors: list[FakeDetector]) -> None:
    output = tree.parent / "out"
    walk = iter(Run(run_config(tree, output=output, workers=1, ordered=True)))
    next(walk)
    walk.close()  # type: ignore[attr-defined]
    done = len(records(output / JOURNAL))
    run(tree, output=output, workers=1)
    summary = json.loads((output / "summary.json").read_bytes())
    assert summary["images"] + summary["failures"] == 4 - done
    assert summary["folder"] == {"images": 3, "failures": 1, "detections": 3}
    run(tree, output=output, workers=1, retry_failed=False)
    summary = json.loads((output / "summary.json").read_bytes())
    assert (summary["images"], summary["skipped"]) == (0, 4)
    assert summary["folder"] == {"images": 3, "failures": 1, "detections": 3}


@pytest.mark.parametrize("how", ["replaced", "cut"])
def test_a_journal_that_is_changed_during_the_run_makes_no_tables(
    tree: Path, fake_detectors: list[FakeDetector], how: str
) -> None:
    output = tree.parent / "out"
    walk = iter(Run(run_config(tree, output=output, workers=1)))
    next(walk)
    if how == "cut":
        os.truncate(output / JOURNAL, 0)
    else:
        (output / JOURNAL).rename(output / "away")
        (output / JOURNAL).touch()
    with pytest.raises(OutputError, match="changed by another program"):
        list(walk)
    assert not (output / "images.csv").exists()


def test_a_list_read_with_the_wrong_separator_costs_no_folder(tree: Path, fake_detectors: list[FakeDetector]) -> None:
    """All its names are one, longer than any buffer."""
    (tree.parent / "list").write_bytes(b"\0".join([os.fsencode(tree / "a.png")] * 5000))
    output = tree.parent / "out"
    for _ in range(2):
        (outcome,), this = run(files_from=str(tree.parent / "list"), output=output, workers=1)
        assert "--null" in outcome.message  # type: ignore[union-attr]
    _, this = run(files_from=str(tree.parent / "list"), null=True, output=output, workers=1)
    assert this.summary.images == 1
    assert rebuild(output, ("csv", "json")) == 2


def test_a_class_that_is_mistyped_is_no_other_setting(tree: Path, fake_detectors: list[FakeDetector]) -> None:
    output = tree.parent / "out"
    run(tree, output=output, workers=1)
    with pytest.raises(UsageError, match="did you mean thing"):
        run(tree, output=output, workers=1, classes=("thign",))


def test_a_setting_that_came_later_refuses_no_older_folder(tree: Path, fake_detectors: list[FakeDetector]) -> None:
    """What a fingerprint does not have is taken for its default; of what it has, all counts."""
    output = tree.parent / "out"
    run(tree, output=output, workers=1, iou=0.6)
    content = json.loads((output / "run.json").read_bytes())
    del content["fingerprint"]["max_detections"], content["fingerprint"]["classes"]
    (output / "run.json").write_text(json.dumps(content, indent=2))
    with pytest.raises(UsageError, match="--max-det was 300, is 5"):
        run(tree, output=output, workers=1, iou=0.6, max_detections=5)
    del content["fingerprint"]["iou"]
    (output / "run.json").write_text(json.dumps(content, indent=2))
    with pytest.raises(UsageError, match=r"--iou was 0\.7, is 0\.6"):
        run(tree, output=output, workers=1, iou=0.6)
    (output / "run.json").write_text(
        json.dumps(content | {"fingerprint": content["fingerprint"] | {"tiles": 2}}, indent=2)
    )
    with pytest.raises(UsageError, match="tiles was 2, is not given"):
        run(tree, output=output, workers=1)
    (output / "run.json").write_text(json.dumps(content, indent=2))
    _, this = run(tree, output=output, workers=1)
    assert this.summary.skipped == 3
