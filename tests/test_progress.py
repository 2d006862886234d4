"""What people are shown while a run goes on."""

from __future__ import annotations

import io
import re

from tests.support import ref, result
from yolocli.cli.progress import LAST_LINE_SECONDS, Bar, Lines
from yolocli.results import ImageFailure


class Clock:
    """Tells the time that it is told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_log_lines_carry_a_time_of_day_and_come_less_and_less_often() -> None:
    stream, clock = io.StringIO(), Clock()
    lines = Lines(stream, clock=clock)
    lines.started()
    lines.total(7200, True)
    said: list[float] = []
    for second in range(1, 7201):
        clock.now = float(second)
        before = stream.tell()
        lines.outcome(result())
        if stream.tell() > before:
            said.append(clock.now)
    assert said[:4] == [5, 15, 35, 75], "5 s, 10 s, 20 s, 40 s"
    assert said[-1] - said[-2] == LAST_LINE_SECONDS
    printed = stream.getvalue().splitlines()
    assert [line for line in printed if not re.match(r"\d\d:\d\d:\d\d [\d,]+ of 7,200 images, ", line)] == []
    assert printed[0].endswith(" 5 of 7,200 images, 1.0 images/s, 0 failed, 1:59:55 left")


def test_notices_and_failures_carry_a_time_of_day_too() -> None:
    stream = io.StringIO()
    lines = Lines(stream, reports=False)
    lines.notice("something\nto know")
    lines.outcome(ImageFailure(ref("bad.jpg"), "decode", "NotAnImage", "no image"))
    first, second = stream.getvalue().splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d something\\nto know", first)
    assert re.fullmatch(r"\d\d:\d\d:\d\d failed: bad\.jpg: decode: no image", second)


def test_after_some_failures_the_records_are_pointed_at() -> None:
    stream = io.StringIO()
    lines = Lines(stream, reports=False)
    for number in range(30):
        lines.outcome(ImageFailure(ref(f"{number}.jpg"), "decode", "NotAnImage", "no image"))
    assert len(stream.getvalue().splitlines()) == 11
    assert stream.getvalue().endswith("more failed; their records say why\n")


def test_the_total_of_a_bar_leaves_out_what_was_done_before() -> None:
    stream = io.StringIO()
    bar = Bar(stream)
    bar.started()
    bar.total(10, True)
    bar.skipped(7)
    for _ in range(3):
        bar.outcome(result())
    bar.finished()
    assert "3/3" in stream.getvalue()


def test_until_the_inputs_end_there_are_so_many_at_least_and_no_time_is_left() -> None:
    stream, log, clock = io.StringIO(), io.StringIO(), Clock()
    bar, lines = Bar(stream), Lines(log, clock=clock)
    for watcher in (bar, lines):
        watcher.started()
        watcher.skipped(100)
    for second, (found, whole) in enumerate(((1100, False), (2100, False), (2100, True)), 1):
        clock.now = 100.0 * second
        for watcher in (bar, lines):
            watcher.total(found, whole)
            watcher.outcome(result())
        bar._bar.refresh()
    bar.finished()
    shown = [line.strip() for line in stream.getvalue().split("\r") if line.strip()]
    assert any(line.startswith("1 of at least 1000, ") for line in shown)
    assert any(line.startswith("2 of at least 2000, ") for line in shown)
    assert all(("left" in line) == line.startswith("3/2000, ") for line in shown if line[0] in "123")
    first, _, last = log.getvalue().splitlines()
    assert first.endswith(" 1 of at least 1,000 images, 0.0 images/s, 0 failed")
    assert " 3 of 2,000 images, " in last
    assert last.endswith(" left")
