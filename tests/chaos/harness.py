"""Starts real runs, looks after their processes, and tells whether what they left is whole."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support import clean_environment, projections, records
from yolocli.sources.outputs import MARKER

MODES = ("thread", "locked", "process")
SABOTEUR = Path(__file__).parent / "saboteur"
HANG_SECONDS = 240.0
"""After which a run that should have ended is taken for hung; the machine may be busy."""
UGLY = ("Traceback", "leaked semaphore", "resource_tracker", "Exception ignored", "Fatal Python", "a defect")


class Running:
    """A run in a session of its own; all its processes carry a mark in their environment.

    Attributes:
        output: Its output folder.
        peak_memory: Most bytes that its processes were seen to hold at a time, shared pages counted once.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        output: Path,
        log: Path,
        *,
        env: Mapping[str, str],
        prefix: Sequence[str] = (),
        **options: Any,
    ) -> None:
        self.output = output
        self.peak_memory = 0
        self._mark = f"CHAOS_MARK={uuid.uuid4().hex}"
        self._stdout, self._stderr = log.with_suffix(".out"), log.with_suffix(".err")
        name, _, value = self._mark.partition("=")
        environment = clean_environment(**env) | {name: value, "PYTHONPATH": str(SABOTEUR)}
        command = [*prefix, sys.executable, "-m", "yolocli", *arguments]
        with open(self._stdout, "wb") as out, open(self._stderr, "wb") as err:
            self.process = subprocess.Popen(
                command, stdout=out, stderr=err, env=environment, start_new_session=True, **options
            )
        self._watching = threading.Event()

    def watch_memory(self) -> None:
        """Measures from now on, in a thread."""

        def measure() -> None:
            while not self._watching.wait(0.05):
                self.peak_memory = max(self.peak_memory, sum(_memory(pid) for pid in self.pids()))

        threading.Thread(target=measure, daemon=True).start()

    @property
    def stderr(self) -> str:
        """All that it said so far."""
        return self._stderr.read_text(errors="replace")

    @property
    def stdout(self) -> bytes:
        """All data that it gave so far."""
        return self._stdout.read_bytes()

    def pids(self) -> list[int]:
        """Returns its living processes."""
        mark = self._mark.encode()
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdecimal():
                with contextlib.suppress(OSError):
                    if mark in Path("/proc", entry, "environ").read_bytes().split(b"\0") and not _is_zombie(entry):
                        found.append(int(entry))
        return found

    def workers(self) -> list[int]:
        """Returns the processes that hold a detector: forked from a server, and so below it."""
        pids = self.pids()
        parents = {pid: parent_of(pid) for pid in pids}
        return [pid for pid in pids if parents[pid] in pids and parents[pid] != self.process.pid]

    def signal(self, number: int) -> None:
        """Sends a signal to the run itself."""
        self.process.send_signal(number)

    def signal_group(self, number: int) -> None:
        """Sends a signal to all its processes, as a terminal or a supervisor does."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def wait(self, timeout: float = HANG_SECONDS) -> int:
        """Returns the exit code.

        Raises:
            AssertionError: If it hangs.
        """
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it hangs; it said: {self.stderr}") from None
        finally:
            self._watching.set()

    def end(self) -> None:
        """Ends all that is left of it, whatever state it is in."""
        self._watching.set()
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def assert_gone(self, within: float = 10.0) -> None:
        """Asserts that no process outlived it."""
        deadline = time.monotonic() + within
        while left := self.pids():
            assert time.monotonic() < deadline, f"orphans: {[_command(pid) for pid in left]}"
            time.sleep(0.05)

    def assert_tidy(self) -> None:
        """Asserts that it left no process, and that none of them said anything ugly, up to its own end."""
        self.assert_gone()
        ugly = [line for line in self.stderr.splitlines() if any(word in line for word in UGLY)]
        assert not ugly, self.stderr


class Launcher:
    """Starts runs of one test with the settings they share."""

    def __init__(self, folder: Path, model: str, cache: Path) -> None:
        self.folder = folder
        self.model = model
        self._cache = cache
        self._started: list[Running] = []

    def start(
        self,
        *inputs: str | os.PathLike[str],
        output: Path | None = None,
        mode: str = "thread",
        delay: float = 0.0,
        options: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        **popen: Any,
    ) -> Running:
        """Starts a run on a small image size, with the same bytes as result whatever the mode.

        Args:
            inputs: Files and folders.
            output: Output folder; `out` of the test when not given.
            mode: Who owns the detector.
            delay: Seconds that each image takes longer.
            options: More of the command line.
            env: More of the environment.
            popen: For `subprocess.Popen`.
        """
        output = output or self.folder / "out"
        shared = ["--imgsz", "160", "-j", "2", "--threads-per-worker", "1", "--no-progress"]
        arguments = ["detect", *map(os.fspath, inputs), "-m", self.model, "-o", str(output), "--mode", mode]
        environment = {"YOLOCLI_CACHE_DIR": str(self._cache), "CHAOS_DELAY": str(delay), **(env or {})}
        log = self.folder / f"log-{len(self._started)}"
        self._started.append(Running([*arguments, *shared, *options], output, log, env=environment, **popen))
        return self._started[-1]

    def run(self, *inputs: str | os.PathLike[str], **options: Any) -> tuple[int, Running]:
        """Runs to the end; returns the exit code and the run."""
        run = self.start(*inputs, **options)
        return run.wait(), run

    def end(self) -> None:
        """Ends all runs."""
        for run in self._started:
            run.end()


def skip_unless(wanted: object) -> None:
    """Leaves a variant of a test to the long form."""
    if not wanted:
        pytest.skip("with --long")


def lines_in(journal: Path) -> int:
    """Returns the complete lines of a journal that may be written to at this moment, or not be there yet."""
    try:
        return journal.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def wait_until(condition: Callable[[], object], run: Running, timeout: float = HANG_SECONDS) -> bool:
    """Waits for something that a run does; returns whether it came before the run ended.

    Raises:
        AssertionError: If neither happens in time.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if run.process.poll() is not None:
            return bool(condition())
        assert time.monotonic() < deadline, f"waited in vain; it said: {run.stderr}"
        time.sleep(0.002)
    return True


def wait_for_lines(run: Running, count: int) -> bool:
    """Waits until a run has so many images in its journal; returns False if it ended with fewer."""
    journal = run.output / "results.jsonl"
    return wait_until(lambda: lines_in(journal) >= count, run)


def summary(output: Path) -> dict[str, Any]:
    """Returns the summary of the last run in an output folder."""
    content: dict[str, Any] = json.loads((output / "summary.json").read_bytes())
    return content


def assert_whole(output: Path) -> None:
    """Asserts that no file in an output folder is torn, whatever happened to the run that wrote it."""
    for line in records(output / "results.jsonl"):
        assert {"schema", "path", "status"} <= line.keys()
    for file in output.rglob("*"):
        if file.suffix == ".json" and ".partial" not in file.parts:
            json.loads(file.read_bytes())


def assert_equal(output: Path, expected: Mapping[str, bytes]) -> None:
    """Asserts that the projections are those of a run that nothing happened to, with no leftovers beside them."""
    found = projections(output)
    assert found.keys() == expected.keys()
    different = [name for name, content in expected.items() if found[name] != content]
    assert not different, different[:5]
    assert not (output / ".partial").exists()
    beside = {entry.name for entry in output.iterdir()} - {name.split("/")[0] for name in expected}
    assert beside - {".lock", MARKER} == {"results.jsonl", "run.json", "summary.json"}


def assert_done_once(output: Path, images: int) -> None:
    """Asserts that each image is in the journal, and that none that succeeded was done again."""
    times = Counter(line["path"] for line in records(output / "results.jsonl") if line["status"] == "ok")
    assert [path for path, count in times.items() if count > 1] == []
    assert len({line["path"] for line in records(output / "results.jsonl")}) == images


def table(file: Path) -> list[dict[str, str]]:
    """Returns the rows of a CSV file."""
    with open(file, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@contextlib.contextmanager
def tmpfs(folder: Path, options: str) -> Iterator[Path]:
    """Mounts a small disk.

    Raises:
        PermissionError: If this user may not.
    """
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        raise PermissionError(done.stderr.decode().strip())
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def _status(pid: int | str) -> dict[str, str]:
    try:
        lines = Path("/proc", str(pid), "status").read_text().splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _is_zombie(pid: str) -> bool:
    return _status(pid).get("State", "Z").startswith("Z")


def parent_of(pid: int) -> int:
    """Returns the parent of a process, 0 if it has ended."""
    return int(_status(pid).get("PPid", "0"))


def _memory(pid: int) -> int:
    """Returns the bytes of a process, of a page that n processes share an n-th."""
    with contextlib.suppress(OSError):
        for line in Path("/proc", str(pid), "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return f"{pid} " + Path("/proc", str(pid), "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return str(pid)
