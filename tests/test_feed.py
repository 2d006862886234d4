"""What is read when, on the way from the inputs to the workers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from tests.support import ref
from yolocli.errors import UsageError
from yolocli.executors import feed as feed_module
from yolocli.executors.feed import AHEAD, Feed
from yolocli.results import ImageRef, Item


class Stream:
    """Numbers, each only when it may come; tells how many were read."""

    def __init__(self, end: int, allowed: int | None = None, error: Exception | None = None) -> None:
        self.read = 0
        self._end = end
        self._error = error
        self._allowed = threading.Semaphore(end + 1 if allowed is None else allowed)

    def __iter__(self) -> Iterator[int]:
        for number in range(self._end):
            assert self._allowed.acquire(timeout=20)
            self.read += 1
            yield number
        if self._error is not None:
            raise self._error

    def allow(self) -> None:
        self._allowed.release()


def names(found: Sequence[int]) -> list[Item]:
    return [ref(f"{number}.jpg") for number in found]


def odd(found: Sequence[int]) -> list[Item]:
    """As where every other image has been done before."""
    return names([number for number in found if number % 2])


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return condition()


def drained(feed: Feed[int], chunks: list[list[str]] | None = None) -> list[list[str]]:
    """Takes all chunks, as a worker and a consumer who are never behind."""
    chunks = [] if chunks is None else chunks
    while (taken := feed.take()) is not None:
        number, items = taken
        assert number == len(chunks)
        chunks.append([item.path for item in items if isinstance(item, ImageRef)])
        feed.finished()
        feed.taken_out(len(items))
    return chunks


def test_the_first_are_read_at_once_and_no_more_than_were_asked_for() -> None:
    stream = Stream(100)
    feed = Feed(stream, 5)
    feed.wait(5)
    assert (feed.seen, feed.found, feed.whole) == (5, 5, False)
    feed.turn(odd)
    feed.wait(5)
    assert feed.seen == 5
    assert feed.found in {10, 11}
    time.sleep(0.05)
    assert stream.read == feed.found
    feed.close()


def test_a_stream_that_has_ended_is_known_to_be_whole() -> None:
    feed = Feed(Stream(3), 5)
    feed.wait(5)
    assert (feed.seen, feed.whole) == (3, True)
    feed.turn(odd)
    feed.wait(5)
    assert feed.seen == 1
    feed.open(1, 1)
    assert drained(feed) == [["1.jpg"]]


def test_nothing_to_do_is_not_taken_for_something() -> None:
    for end in (0, 1, 1000):
        feed = Feed(Stream(end), 5)
        feed.wait()
        assert feed.seen == min(end, 5) or not feed.whole
        feed.turn(lambda found: [])
        feed.wait(5)
        assert (feed.seen, feed.found, feed.whole) == (0, end, True)
        feed.open(1, 1)
        assert drained(feed) == []


def test_what_has_come_goes_on_while_the_next_is_waited_for() -> None:
    """As with a pipe whose writer waits for results: of each state, nothing may wait for an item that is not needed."""
    stream = Stream(4, allowed=1)
    feed = Feed(stream, 8)
    feed.wait(8)
    feed.turn(names)
    feed.wait(8)
    assert (feed.seen, feed.whole) == (1, False)
    feed.open(1, 2)
    for number in range(4):
        taken = feed.take()
        assert taken is not None
        assert [item.path for item in taken[1]] == [f"{number}.jpg"]
        stream.allow()
    assert feed.take() is None


def test_a_chunk_waits_for_what_is_missing_and_for_nothing_behind() -> None:
    stream = Stream(40, allowed=2)
    feed = Feed(stream, 1)
    feed.wait()
    feed.turn(odd)
    feed.open(2, 1)  # a chunk of four: numbers 1, 3, 5, 7
    for _ in range(6):
        stream.allow()
    taken = feed.take()
    assert taken is not None
    assert [item.path for item in taken[1]] == ["1.jpg", "3.jpg", "5.jpg", "7.jpg"]
    feed.close()


@pytest.mark.parametrize("list_ahead", [False, True])
@pytest.mark.parametrize("most", [1, 7, 1000])
@pytest.mark.parametrize("batch", [1, 3])
def test_chunks_depend_on_the_stream_alone(batch: int, most: int, list_ahead: bool) -> None:
    feed = Feed(Stream(100), most)
    feed.wait(most)
    feed.turn(odd)
    feed.open(batch, 2, list_ahead=list_ahead)
    size = feed_module.chunk_size(batch)
    every = [f"{number}.jpg" for number in range(1, 100, 2)]
    assert drained(feed) == [every[start : start + size] for start in range(0, 50, size)]
    assert (feed.found, feed.whole, feed.unfinished) == (100, True, 0)


def test_listing_ahead_counts_all_there_is_and_turns_no_more_than_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    turned: list[int] = []
    window = 2 * AHEAD

    def into(found: Sequence[int]) -> list[Item]:
        turned.extend(found)
        return names(found)

    feed = Feed(Stream(10_000))
    feed.wait()
    feed.turn(into)
    feed.open(1, 2, list_ahead=True)
    assert eventually(lambda: feed.whole)
    assert feed.found == 10_000
    assert len(turned) == window
    assert len(drained(feed)) == len(turned) == 10_000


def test_listing_ahead_has_an_end_where_the_stream_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "LISTED_AHEAD", 1000)
    stream = Stream(10**9, allowed=10**9)
    feed = Feed(stream)
    feed.turn(names)
    feed.open(1, 2, list_ahead=True)
    assert eventually(lambda: feed.found >= 1000)
    time.sleep(0.05)
    most = 1000 + feed_module.LISTED_AT_ONCE + 2 * AHEAD + 1
    assert stream.read == feed.found <= most
    for _ in range(100):
        feed.take()
        feed.finished()
        feed.taken_out(1)
    time.sleep(0.05)
    assert feed.found <= most + 100
    assert not feed.whole
    feed.close()


def test_without_it_no_more_is_listed_than_the_window_holds() -> None:
    stream = Stream(1000)
    feed = Feed(stream)
    feed.turn(names)
    feed.open(1, 2)
    assert eventually(lambda: feed.unfinished == 2 * AHEAD)
    time.sleep(0.05)
    assert stream.read == 2 * AHEAD
    feed.close()


@pytest.mark.parametrize("after", [0, 1, 9])
def test_an_error_of_the_stream_comes_after_what_it_gave(after: int) -> None:
    stream = Stream(after, error=UsageError("the list cannot be read"))
    feed = Feed(stream, 4)
    if after == 0:
        with pytest.raises(UsageError, match="cannot be read"):
            feed.wait()
        feed.close()
        return
    feed.wait()
    feed.turn(names)
    feed.open(1, 1, list_ahead=True)
    taken: list[list[str]] = []
    with pytest.raises(UsageError, match="cannot be read"):
        drained(feed, taken)
    assert taken == [[f"{number}.jpg"] for number in range(after)]
    assert not feed.whole


def test_an_error_of_turning_ends_the_feed() -> None:
    def into(found: Sequence[int]) -> list[Item]:
        if max(found, default=0) >= 5:
            raise UsageError("no name left")
        return names(found)

    feed = Feed(Stream(1000))
    feed.turn(into)
    feed.open(1, 4, list_ahead=True)
    with pytest.raises(UsageError, match="no name left"):
        drained(feed)


def test_a_stop_ends_each_wait() -> None:
    for state in ("wait", "take"):
        feed = Feed(Stream(2, allowed=0))
        if state == "take":
            feed.turn(names)
            feed.open(1, 1)
        threading.Timer(0.05, feed.stop).start()
        started = time.monotonic()
        assert (feed.wait() if state == "wait" else feed.take()) is None
        assert time.monotonic() - started < 5
        feed.close()
        assert feed.unfinished == 0
