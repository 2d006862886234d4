"""Pipes: lists that are slow or can be read but once, readers that leave."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fakes import FakeLoader
from tests.support import clean_environment, records, run, write_image

PATIENCE = 60


@pytest.fixture
def env(weights: Path) -> dict[str, str]:
    return clean_environment(YOLOCLI_MODEL=str(weights), YOLOCLI_WORKERS="1", YOLOCLI_IMGSZ="64")


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{number}.png" for number in range(6)]
    for path in paths:
        write_image(path)
    return paths


def start(*arguments: object, env: dict[str, str], **streams: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "yolocli", "detect", *map(str, arguments)]
    return subprocess.Popen(command, env=env, **streams)  # type: ignore[call-overload, no-any-return]


@pytest.mark.slow
def test_a_list_behind_a_pipe_with_a_name_is_read_once(
    pictures: list[Path], env: dict[str, str], tmp_path: Path
) -> None:
    """What `--files-from <(find ...)` gives; counting for the progress lines must not take names away."""
    fifo = tmp_path / "list"
    os.mkfifo(fifo)
    process = start("--files-from", fifo, "-o", tmp_path / "out", env=env, stderr=subprocess.DEVNULL)
    with open(fifo, "w") as names:
        for path in pictures:
            names.write(f"{path}\n")
            names.flush()
            time.sleep(0.3)
    assert process.wait(PATIENCE) == 0
    assert len(records(tmp_path / "out/results.jsonl")) == len(pictures)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_a_run_that_waits_for_its_first_name(
    env: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    with start(
        "--files-from", "-", "-o", tmp_path / "out", env=env, stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        time.sleep(4)
        process.send_signal(number)
        assert process.wait(PATIENCE) == 128 + number
        assert b"Traceback" not in process.stderr.read()


def test_a_reader_that_leaves_ends_a_run_whose_list_is_still_open(
    pictures: list[Path], env: dict[str, str], tmp_path: Path
) -> None:
    with start(
        "--files-from", "-", "--stdout", "-q", env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{pictures[0]}\n".encode())
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["status"] == "ok"
        process.stdout.close()
        process.stdin.write("".join(f"{path}\n" for path in pictures[1:]).encode())
        process.stdin.flush()
        assert process.wait(PATIENCE) == 0


def test_a_broken_stderr_changes_neither_the_work_nor_the_exit_code(
    pictures: list[Path], env: dict[str, str], tmp_path: Path
) -> None:
    pictures[2].write_bytes(b"")
    read, write = os.pipe()
    process = start(*pictures, "-o", tmp_path / "out", env=env, stderr=write)
    os.close(write)
    os.close(read)
    assert process.wait(PATIENCE) == 1
    assert len(records(tmp_path / "out/results.jsonl")) == len(pictures)
    assert json.loads((tmp_path / "out/summary.json").read_bytes())["exit_code"] == 1


def test_results_are_made_again_though_nobody_reads_stderr(env: dict[str, str], tmp_path: Path) -> None:
    """`voc` has something to say, as it has no place for a failure."""
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    run(tmp_path / "broken.jpg", output=tmp_path / "out", loader=FakeLoader())
    out, commands = tmp_path / "out", ("export {} --format coco,voc", "export {} -o {} --format voc", "merge {} -o {}")
    for number, stderr in enumerate(("2>&1 | true", "2>/dev/full", "2>&-")):
        for name in commands:
            new = tmp_path / f"{name.partition(' ')[0]}-{number}"
            words = f"{sys.executable} -m yolocli {name.format(out, new)} {stderr}; exit ${{PIPESTATUS[0]}}"
            assert subprocess.run(["bash", "-c", words], env=env, timeout=PATIENCE, check=False).returncode == 0, words
            assert ((new if "-o" in name else out) / "run.json").exists()
    assert (out / "coco.json").exists()


@pytest.mark.slow
def test_a_killed_run_does_not_leave_the_summary_of_the_one_before(
    pictures: list[Path], env: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert start(pictures[0], "-q", "-o", out, env=env).wait(PATIENCE) == 0
    assert (out / "summary.json").exists()
    with start("--files-from", "-", "-q", "-o", out, env=env, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(f"{pictures[1]}\n".encode())
        process.stdin.flush()
        deadline = time.monotonic() + PATIENCE
        while len(records(out / "results.jsonl")) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        process.kill()
    assert not (out / "summary.json").exists()


def test_a_sparse_giant_is_a_failure_that_was_not_read(env: dict[str, str], tmp_path: Path) -> None:
    with open(tmp_path / "giant.jpg", "wb") as stream:
        stream.truncate(50 << 30)
    assert start(tmp_path / "giant.jpg", "-q", "-o", tmp_path / "out", env=env).wait(PATIENCE) == 1
    (record,) = records(tmp_path / "out/results.jsonl")
    assert (record["stage"], record["error"]) == ("read", "FileTooLarge")


# Closed streams


def closing(redirections: str, *arguments: object, env: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    """Runs the command by a shell that closes standard streams."""
    script = f'exec "$0" -m yolocli detect "$@" {redirections}'
    command = ["sh", "-c", script, sys.executable, *map(str, arguments)]
    return subprocess.run(command, env=env, capture_output=True, timeout=PATIENCE, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["thread", "process"])
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams_do_not_matter_to_a_run_that_writes_files(
    pictures: list[Path], env: dict[str, str], tmp_path: Path, closed: str, mode: str
) -> None:
    done = closing(closed, *pictures, "-o", tmp_path / "out", "--mode", mode, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout == b""
    assert len(records(tmp_path / "out/results.jsonl")) == len(pictures)
    assert b"defect" not in done.stderr


def test_messages_of_a_run_without_stderr_do_not_land_in_its_data(pictures: list[Path], env: dict[str, str]) -> None:
    pictures[0].write_bytes(b"")
    done = closing("2>&-", *pictures, "--stdout", env=env)
    assert done.returncode == 1
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(line["status"] for line in lines) == ["failed"] + ["ok"] * (len(pictures) - 1)
    lost = closing("2>&-", "nowhere.jpg", "--stdout", env=env)
    assert (lost.returncode, lost.stdout) == (2, b"")


@pytest.mark.slow
@pytest.mark.parametrize("option", ["--stdout", "--summary-json", "--dry-run"])
def test_data_for_a_closed_stdout_is_refused_in_one_line(
    pictures: list[Path], env: dict[str, str], tmp_path: Path, option: str
) -> None:
    done = closing(">&-", *pictures, option, "-q", "-o", tmp_path / "out", env=env)
    assert done.returncode == 4
    assert done.stderr.decode().splitlines() == ["yolocli: stdout: cannot be written: Bad file descriptor"]


def test_a_list_from_a_closed_stdin_is_wrong_usage(env: dict[str, str], tmp_path: Path) -> None:
    done = closing("<&-", "--files-from", "-", "-o", tmp_path / "out", env=env)
    assert done.returncode == 2
    assert done.stderr.decode().splitlines() == ["yolocli: --files-from -: standard input is closed"]


@pytest.mark.slow
def test_a_file_named_as_stdin_is_does_not_take_names_from_the_list(
    pictures: list[Path], env: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "-").touch()
    with start(
        "--files-from", "-", "-o", "out", env=env, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=tmp_path
    ) as process:
        assert process.stdin is not None
        for path in pictures:
            process.stdin.write(f"{path}\n".encode())
            process.stdin.flush()
            time.sleep(0.7)  # so that more than one reader would have its turn
        process.stdin.close()
        assert process.wait(PATIENCE) == 0
    assert len(records(tmp_path / "out/results.jsonl")) == len(pictures)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_what_is_printed_at_the_very_end_is_written_or_the_command_fails(env: dict[str, str]) -> None:
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "yolocli", "--version"]
        buffered = env | {"PYTHONUNBUFFERED": ""}
        done = subprocess.run(command, env=buffered, stdout=full, stderr=subprocess.PIPE, timeout=PATIENCE, check=False)
    assert done.returncode == 4
    assert done.stderr.decode().splitlines() == ["yolocli: stdout: cannot be written: No space left on device"]
