from __future__ import annotations

import fcntl
import io
import json
import os
import pickle
import pty
import re
import selectors
import shlex
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

import yolocli as package
from tests.support import clean_environment, records, write_image, yolocli
from tests.test_layers import HEAVY
from yolocli.cli.app import app, main
from yolocli.config import RunConfig
from yolocli.sources.suffixes import IMAGE_SUFFIXES
from yolocli.tasks import TASKS

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
OPTIONS = {
    name: [param for param in command.params if param.opts[0].startswith("-")] for name, command in COMMANDS.items()
}
CONTROL = re.compile(rb"[\x00-\x09\x0b-\x1f\x7f]")


@pytest.fixture
def photos_folder(photos: list[Path], tmp_path: Path) -> Path:
    """Three photographs, one of them with a newline in its name."""
    folder = tmp_path / "in"
    folder.mkdir()
    for photo, name in zip(photos, ("a.jpg", "b\nb.jpg", "c.jpg"), strict=False):
        (folder / name).write_bytes(photo.read_bytes())
    return folder


@pytest.fixture
def env(weights: Path) -> dict[str, str]:
    return {"YOLOCLI_MODEL": str(weights), "YOLOCLI_WORKERS": "1"}


# Help


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["detect", "--help"]])
def test_help_and_version_import_nothing_heavy(arguments: list[str]) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "yolocli", *arguments]
    answer = subprocess.run(command, capture_output=True, check=True, text=True, env=clean_environment(), timeout=60)
    imported = {line.split("|")[-1].strip().split(".")[0] for line in answer.stderr.splitlines() if "|" in line}
    assert "yolocli" in imported
    assert not imported & HEAVY
    assert answer.stdout


def test_version() -> None:
    answer = yolocli("--version")
    assert answer.stdout.decode().strip() == package.__version__


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_in_help_with_a_text(name: str) -> None:
    answer = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "400", "TERM": "dumb"})
    assert answer.exit_code == 0
    spelled = [opt for param in OPTIONS[name] for opt in (*param.opts, *param.secondary_opts)]
    assert [opt for opt in spelled if opt not in answer.output] == []
    assert [param.opts[0] for param in OPTIONS[name] if not param.help] == []


def test_help_fits_two_screens_and_tells_all() -> None:
    answer = CliRunner().invoke(app, ["detect", "--help"], env={"COLUMNS": "80", "TERM": "dumb"})
    lines = answer.output.splitlines()
    assert len(lines) < 100
    assert max(map(len, lines)) <= 80
    text = " ".join(answer.output.split())
    assert text.count("YOLOCLI_") == 1, "variables are said once"
    assert "env var" not in text
    assert f"too: {' '.join(sorted(suffix[1:] for suffix in IMAGE_SUFFIXES))}." in text
    assert "(stderr" in text, "words of ours in brackets stay"
    takes_a_value = [param for param in OPTIONS["detect"] if not param.is_flag or param.secondary_opts]
    assert len(takes_a_value) == text.count("[default: ")


def test_help_of_a_command_needs_no_rich() -> None:
    def imports_rich(*command: str) -> bool:
        answer = subprocess.run(
            [sys.executable, "-X", "importtime", *command],
            capture_output=True,
            check=True,
            text=True,
            env=clean_environment(),
            timeout=60,
        )
        return "rich.console" in answer.stderr

    if imports_rich("-c", "import typer"):
        pytest.skip("this version of typer always imports rich")
    assert not imports_rich("-m", "yolocli", "detect", "--help")


# Environment variables

VALUES = {
    "--include": "*.png",
    "--exclude": "*.png",
    "--files-from": "list",
    "--model": "x.pt",
    "--runtime": "torch",
    "--precision": "bf16",
    "--imgsz": "320",
    "--classes": "person",
    "--mode": "locked",
    "--workers": "2..8",
    "--ray-address": "head:6379",
    "--ray-resources": "cpu=2",
    "--device": "cpu",
    "--max-failures": "7",
    "--max-runtime": "1h",
    "--timeout": "9s",
    "--output": "elsewhere",
    "--format": "csv",
    "--masks": "rle",
    "--save-by-class": "copy",
    "--shard": "3/16",
    "--image-root": "s3://bucket/photos",
}
NEEDS = {
    "--fail-incomplete": {"YOLOCLI_MAX_RUNTIME": "2h"},
    "--timeout": {"YOLOCLI_MODE": "process"},
    "--save-conf": {"YOLOCLI_FORMAT": "yolo"},
    "--image-root": {"YOLOCLI_FORMAT": "label-studio"},
}
NOT_IN_THE_CONFIG = {
    "--dry-run",
    "--summary-json",
    "--quiet",
    "--no-progress",
    "--null",
    "--help",
    "--stdout",
    "--report",
}


@pytest.fixture
def configs(monkeypatch: pytest.MonkeyPatch) -> list[RunConfig]:
    """Catches what the command line makes of its options."""
    caught: list[RunConfig] = []

    def run(config: RunConfig, **options: object) -> None:
        caught.append(config)

    monkeypatch.setattr("yolocli.cli.detect.run", run)
    return caught


@pytest.mark.parametrize(
    "option", [param.opts[0] for param in OPTIONS["detect"] if param.opts[0] not in NOT_IN_THE_CONFIG]
)
def test_every_option_has_an_environment_variable(option: str, configs: list[RunConfig]) -> None:
    (param,) = [param for param in OPTIONS["detect"] if param.opts[0] == option]
    value = VALUES.get(option)
    if value is None:
        value = {bool: str(not param.default), int: "3", float: "0.5"}[type(param.default)]
    variable = "YOLOCLI_" + option.strip("-").replace("-", "_").upper()
    base = NEEDS.get(option, {})
    for settings in (base, base | {variable: value}):
        answer = CliRunner().invoke(app, ["detect", "somewhere"], env=settings, catch_exceptions=False)
        assert answer.exit_code == 0, answer.output
    assert configs[0] != configs[1], f"{variable}={value} changes nothing"


def test_an_option_stands_before_its_variable(configs: list[RunConfig]) -> None:
    CliRunner().invoke(app, ["detect", "x", "--conf", "0.6"], env={"YOLOCLI_CONF": "0.1"}, catch_exceptions=False)
    assert configs[0].detector.confidence == 0.6


def test_a_list_in_a_variable_is_separated_by_commas_alone(configs: list[RunConfig]) -> None:
    settings = {
        "YOLOCLI_CLASSES": "traffic light, stop sign",
        "YOLOCLI_FORMAT": "csv,json",
        "YOLOCLI_INCLUDE": "my photo *.jpg,*.png",
        "YOLOCLI_EXCLUDE": "old photos",
    }
    CliRunner().invoke(app, ["detect", "x"], env=settings, catch_exceptions=False)
    (config,) = configs
    assert config.detector.classes == ("traffic light", "stop sign")
    assert config.formats == ("csv", "json")
    assert config.source.include == ("my photo *.jpg", "*.png")
    assert config.source.exclude == ("old photos",)


@pytest.mark.parametrize(
    ("command", "option", "variable"),
    [
        ("detect", "--threads-per-worker", "YOLOCLI_THREADS_PER_WORKER"),
        ("export", "--format", "YOLOCLI_EXPORT_FORMAT"),
        ("bench", "--mode", "YOLOCLI_BENCH_MODE"),
        ("optimize", "--max-loss", "YOLOCLI_OPTIMIZE_MAX_LOSS"),
    ],
)
def test_a_variable_is_named_like_its_option(command: str, option: str, variable: str) -> None:
    assert [param.envvar for param in OPTIONS[command] if param.opts[0] == option] == [variable]


def test_a_list_in_a_variable_of_another_command_is_separated_by_commas_too(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr("yolocli.output.extract.extract", lambda *given: asked.append(given) or 0)
    settings = {
        "YOLOCLI_EXPORT_CLASSES": "traffic light,2",
        "YOLOCLI_EXPORT_FORMAT": "csv",
        "YOLOCLI_EXPORT_OUTPUT": "x",
    }
    CliRunner().invoke(app, ["export", "out"], env=settings, catch_exceptions=False)
    ((_, _, formats, choice, _, _),) = asked
    assert formats == ("csv",)
    assert choice.classes == ("traffic light", "2")


def test_a_list_is_repeated_or_separated_by_commas_but_for_patterns(configs: list[RunConfig]) -> None:
    lists = ["--format", "csv,json", "--classes", "a,traffic light", "--classes", "b", "--include", "a,b.jpg"]
    CliRunner().invoke(app, ["detect", "x", *lists], env={"YOLOCLI_CLASSES": "c"}, catch_exceptions=False)
    (config,) = configs
    assert config.formats == ("csv", "json")
    assert config.detector.classes == ("a", "traffic light", "b")
    assert config.source.include == ("a,b.jpg",), "a name may hold a comma"


# Runs


def test_a_run_with_nothing_wrong(photos_folder: Path, env: dict[str, str], tmp_path: Path) -> None:
    answer = yolocli("detect", photos_folder, cwd=tmp_path, env=env)
    assert (answer.returncode, answer.stdout) == (0, b""), answer.stderr
    assert not CONTROL.search(answer.stderr), "control characters where there is no terminal"
    for word in (b"images", b"detections", b"failures", b"wall time", b"images/s", b"ms per image", b"without loading"):
        assert word in answer.stderr
    assert b"3 of 3" in answer.stderr
    assert b"yolocli-out" in answer.stderr
    output = tmp_path / "yolocli-out"
    assert sorted(line["path"] for line in records(output / "results.jsonl")) == ["a.jpg", "b\nb.jpg", "c.jpg"]
    assert {path.name for path in output.iterdir()} >= {
        "run.json",
        "results.jsonl",
        "json",
        "detections.csv",
        "images.csv",
        "summary.json",
    }


def test_quiet_says_nothing_and_summary_json_is_data(photos_folder: Path, env: dict[str, str], tmp_path: Path) -> None:
    answer = yolocli("detect", photos_folder, "-q", "--summary-json", "-o", tmp_path / "out", env=env)
    assert (answer.returncode, answer.stderr) == (0, b"")
    assert json.loads(answer.stdout) == json.loads((tmp_path / "out/summary.json").read_bytes())
    answer = yolocli("detect", photos_folder, "-q", "-o", tmp_path / "out", env=env)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, b"", b"")


def test_stdout_is_ndjson_and_nothing_else(
    photos_folder: Path, env: dict[str, str], weights: Path, tmp_path: Path
) -> None:
    name = "person" if "yolo11n" in weights.name else "qr_code"
    (photos_folder / "bad.png").write_text("no image")
    arguments = ["detect", photos_folder, "--stdout", "--summary-json", "--verbose", "--classes", f"{name},2"]
    answer = yolocli(*arguments, cwd=tmp_path, env=env)
    assert answer.returncode == 1, answer.stderr
    lines = [json.loads(line) for line in answer.stdout.splitlines()]
    assert sorted(line["path"] for line in lines) == ["a.jpg", "b\nb.jpg", "bad.png", "c.jpg"]
    assert {box["class"] for line in lines for box in line.get("detections", ())} <= {0, 2}
    assert json.loads(answer.stderr.splitlines()[-1])["failures"] == 1
    assert b"failed: bad.png" in answer.stderr
    assert not (tmp_path / "yolocli-out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["thread", "locked", "process"])
def test_each_line_is_out_before_the_next_image_is_known(photos_folder: Path, env: dict[str, str], mode: str) -> None:
    command = [sys.executable, "-m", "yolocli", "detect", "--stdout", "-q", "--mode", mode, "--files-from", "-", "-0"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=clean_environment(**env), bufsize=0
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for path in sorted(photos_folder.iterdir()):
            process.stdin.write(os.fsencode(path) + b"\0")
            lines = selectors.DefaultSelector()  # select itself takes no number above 1,023
            lines.register(process.stdout, selectors.EVENT_READ)
            assert lines.select(60), "no line although its image has been given"
            lines.close()
            assert json.loads(process.stdout.readline())["path"] == str(path).lstrip("/")
        process.stdin.close()
        assert process.stdout.read() == b""
        assert process.wait(30) == 0


def _session_of(pid: str) -> int | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[3])


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc on this system")
def test_no_process_outlives_the_command(photos_folder: Path, env: dict[str, str]) -> None:
    for number in range(20):  # so that it is still at work when the first record has been read
        os.link(photos_folder / "a.jpg", photos_folder / f"{number}.jpg")
    command = [sys.executable, "-m", "yolocli", "detect", photos_folder, "--stdout", "-q", "--mode", "process"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, env=clean_environment(**env), start_new_session=True, bufsize=0
    ) as process:

        def others() -> list[str]:
            alive = [entry for entry in os.listdir("/proc") if entry.isdigit() and _session_of(entry) == process.pid]
            return [pid for pid in alive if int(pid) != process.pid]

        assert process.stdout is not None
        assert process.stdout.readline()
        assert others(), "no worker process was seen: this test has seen nothing"
        process.stdout.read()
        assert process.wait(60) == 0
        deadline = time.monotonic() + 10  # helpers of multiprocessing see the end a moment later
        while others() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert others() == []


def test_a_reader_that_leaves_ends_the_run_quietly(photos_folder: Path, env: dict[str, str]) -> None:
    for number in range(40):
        os.link(photos_folder / "a.jpg", photos_folder / f"{number}.jpg")
    script = '"$0" -m yolocli detect "$1" --stdout -q | head -1; echo "${PIPESTATUS[0]}"'
    answer = subprocess.run(
        ["bash", "-c", script, sys.executable, photos_folder],
        capture_output=True,
        timeout=120,
        env=clean_environment(**env),
        check=True,
    )
    first, code = answer.stdout.splitlines()
    assert json.loads(first)["status"] == "ok"
    assert (code, answer.stderr) == (b"0", b"")


def test_find_print0(photos_folder: Path, env: dict[str, str]) -> None:
    script = 'find "$1" -name "*.jpg" -print0 | "$0" -m yolocli detect --files-from - -0 --stdout -q'
    answer = subprocess.run(
        ["bash", "-c", script, sys.executable, photos_folder],
        capture_output=True,
        timeout=120,
        env=clean_environment(**env),
        check=True,
    )
    found = {json.loads(line)["path"] for line in answer.stdout.splitlines()}
    assert found == {str(path).lstrip("/") for path in photos_folder.iterdir()}


def test_dry_run_names_files_and_loads_nothing(photos_folder: Path, tmp_path: Path) -> None:
    (photos_folder / "gone.jpg").symlink_to("nowhere")
    raw = os.fsencode(photos_folder) + b"/\xff.jpg"
    os.rename(photos_folder / "c.jpg", raw)
    with_nul = yolocli("detect", "--files-from", "-", "-0", "--dry-run", input=os.fsencode(photos_folder), cwd=tmp_path)
    assert with_nul.returncode == 0
    expected = [os.fsencode(photos_folder / name) for name in ("a.jpg", "b\nb.jpg")] + [raw]
    assert with_nul.stdout.split(b"\0") == [*expected, b""]
    assert b"gone.jpg" in with_nul.stderr
    by_line = yolocli("detect", photos_folder, "--dry-run", "-m", "no-such-model", cwd=tmp_path)
    assert by_line.stdout == b"\n".join(expected) + b"\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


# Exit codes and messages


@pytest.fixture
def one(tmp_path: Path) -> Path:
    write_image(tmp_path / "one.png", 64, 64)
    return tmp_path / "one.png"


def _says(answer: subprocess.CompletedProcess[bytes], code: int, *words: str) -> None:
    text = answer.stderr.decode()
    assert answer.returncode == code, text
    assert answer.stdout == b""
    assert "Traceback" not in text
    for word in words:
        assert word in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["no input"]),
        (["one.png", "--null"], ["--files-from"]),
        (["one.png", "--conf", "1.5"], ["--conf 1.5"]),
        (["one.png", "--iou", "-1"], ["--iou"]),
        (["one.png", "--imgsz", "huge"], ["--imgsz huge"]),
        (["one.png", "--device", "toaster"], ["--device toaster"]),
        (["one.png", "--workers", "-1"], ["--workers"]),
        (["one.png", "--classes", ","], ["--classes ,: name at least one"]),
        (["one.png", "-q", "--quiet", "--null"], ["--null"]),
    ],
)
def test_wrong_usage_is_exit_code_2(
    one: Path,
    arguments: list[str],
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(one.parent)
    monkeypatch.setattr(sys, "argv", ["yolocli", "detect", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    captured = capfd.readouterr()
    answer = subprocess.CompletedProcess("", int(caught.value.code or 0), captured.out.encode(), captured.err.encode())
    _says(answer, 2, *words)


def test_wrong_usage_is_exit_code_2_for_the_shell_too(one: Path) -> None:
    _says(yolocli("detect", one, "gone.png"), 2, "gone.png: no such file or folder")
    _says(yolocli("detect", one, "--no-such-option"), 2, "--no-such-option")
    _says(yolocli("detect", one, "--format", "odt", "--model", one, cwd=one.parent), 2, "--format odt", "json")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["detect", "x", "--mode", "threads"], "--mode threads: did you mean thread?"),
        (["detect", "x", "--mode", "magic"], "--mode magic: choose from thread, locked, process, ray"),
        (["detect", "x", "--runtime", "openvin"], "--runtime openvin: did you mean openvino?"),
        (["detect", "x", "--precision", "half"], "--precision half: choose from fp32, bf16, fp16, int8"),
        (["detect", "x", "--no-such-option"], "No such option: --no-such-option; see yolocli detect --help"),
        (["bench", "x", "--mode", "threads"], "--mode threads: did you mean thread?"),
        (["bench", "x", "--workers", "-1"], "--workers -1: must be a whole number, at least 0"),
        (["export", "x", "--format", ","], "--format ,: name at least one"),
        (["optimize", "x", "--calibrate", "y", "--precision", "fp16"], "--precision fp16: choose from int8"),
        (["optimize"], None),
        (["dtect"], None),
        (["detect", "x", "--batch", "many"], None),
    ],
)
def test_wrong_usage_is_one_line(
    arguments: list[str], line: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["yolocli", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    answer = capsys.readouterr()
    assert answer.out == ""
    assert answer.err.count("\n") == 1, answer.err
    assert line is None or answer.err == f"yolocli: {line}\n"
    assert line is not None or answer.err.endswith(" --help\n")


def test_verbose_adds_a_traceback_and_changes_no_exit_code(one: Path) -> None:
    answer = yolocli("detect", one, "-q", "-v")
    assert answer.returncode == 2
    assert b"Traceback" in answer.stderr
    assert answer.stderr.splitlines()[-1] == b"yolocli: --quiet and --verbose exclude each other"


@pytest.mark.parametrize("option", ["--stdout", "--dry-run"])
def test_no_image_is_exit_code_3(tmp_path: Path, env: dict[str, str], option: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/readme.txt").touch()
    answer = yolocli("detect", "in", option, cwd=tmp_path, env=env)
    _says(answer, 3, "no image found, but 1 other file; see --help for the suffixes and filters that apply")


def test_failed_images_are_exit_code_1(one: Path, env: dict[str, str]) -> None:
    one.write_bytes(b"")
    _says(yolocli("detect", one, env=env, cwd=one.parent), 1, "failed: one.png: read: the file has no bytes")


def test_an_unknown_class_is_answered_in_one_line(one: Path, env: dict[str, str]) -> None:
    answer = yolocli("detect", one, "--classes", "rhinoceros", env=env, cwd=one.parent)
    _says(answer, 2, "--classes rhinoceros: the model has no such class; it has ")
    (line,) = [line for line in answer.stderr.splitlines() if b"rhinoceros" in line]
    assert len(line) < 220


def test_a_class_is_guessed(one: Path, env: dict[str, str], weights: Path) -> None:
    typed, meant = ("persn", "person") if "yolo11n" in weights.name else ("qr_cod", "qr_code")
    answer = yolocli("detect", one, "--classes", typed, "-q", env=env, cwd=one.parent)
    _says(answer, 2)
    assert answer.stderr.decode() == f"yolocli: --classes {typed}: did you mean {meant}?\n"


def test_quiet_with_failures_says_one_line(one: Path, env: dict[str, str]) -> None:
    one.write_bytes(b"")
    (one.parent / "good.png").touch()
    write_image(one.parent / "good.png", 64, 64)
    out = one.parent / "out"
    answer = yolocli("detect", one, one.parent / "good.png", "-q", "-o", out, env=env)
    assert answer.returncode == 1
    assert answer.stderr.decode() == f"1 of 2 failed, see {out / 'failures.jsonl'}\n"
    assert (out / "failures.jsonl").exists()
    answer = yolocli("detect", one, "-q", "--stdout", env=env)
    assert answer.stderr.decode() == "1 of 1 failed, their records say why\n"
    assert len(answer.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("rtsp://camera/1", "is a URL; yolocli reads files"),
        ("gone.mp4", "is a video; yolocli reads images"),
    ],
)
def test_what_is_no_file_of_an_image_is_called_what_it_is(one: Path, name: str, words: str) -> None:
    answer = yolocli("detect", one, name, "-q", cwd=one.parent)
    _says(answer, 2, f"yolocli: {name}: {words}")
    assert len(answer.stderr.splitlines()) == 1


def test_a_video_among_images_is_a_record(one: Path, env: dict[str, str]) -> None:
    (one.parent / "clip.MP4").write_bytes(b"ftypmp42")
    answer = yolocli("detect", one, "clip.MP4", env=env, cwd=one.parent)
    _says(answer, 1, "failed: clip.MP4: read: is a video; yolocli reads images")


@pytest.mark.slow
@pytest.mark.parametrize("content", ["a text", "folder"])
def test_what_is_no_model_is_called_so_in_one_line(one: Path, content: str) -> None:
    if content == "folder":
        (one.parent / "notes").mkdir()
    else:
        (one.parent / "notes").write_text(content)
    answer = yolocli("detect", one, "-m", "notes", "-q", cwd=one.parent)
    _says(answer, 4, "notes: is not a model; give weights (.pt)", "builtin, which finds codes only")
    assert len(answer.stderr) - len(os.fspath(one.parent)) < 200


@pytest.mark.slow
def test_a_model_with_a_very_long_name(one: Path, weights: Path) -> None:
    name = "m" * 215 + ".pt"
    (one.parent / name).symlink_to(weights)
    assert yolocli("detect", one, "-m", name, "-q", cwd=one.parent).returncode == 0
    answer = yolocli("detect", one, "-m", "m" * 300 + ".pt", "-q", cwd=one.parent)
    _says(answer, 4, "File name too long; check the path given to --model")


def test_a_side_below_the_stride_is_warned_of(one: Path, env: dict[str, str]) -> None:
    answer = yolocli("detect", one, "--imgsz", "10", env=env, cwd=one.parent)
    _says(answer, 0, "--imgsz 10: sides are rounded up to a multiple of the model's stride, mostly 32")
    assert b"rounded up" not in yolocli("detect", one, "--imgsz", "64", env=env, cwd=one.parent).stderr


@pytest.mark.parametrize("name", ["folder/gone.pt", pytest.param("no-such-model.pt", marks=pytest.mark.slow)])
def test_a_missing_model_is_exit_code_4(one: Path, name: str) -> None:
    _says(yolocli("detect", one, "-m", name, cwd=one.parent), 4, name, "--model")


@pytest.mark.slow
def test_official_weights_without_a_network(one: Path, tmp_path: Path) -> None:
    """The way out is said, and soon."""
    closed = "http://127.0.0.1:9"
    env = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), closed)
    started = time.monotonic()
    answer = yolocli("detect", one, "-q", cwd=one.parent, env=env | {"YOLOCLI_CACHE_DIR": str(tmp_path / "cache")})
    taken = time.monotonic() - started
    _says(answer, 4, "yolo11n.pt: is not here and could not be downloaded. Give the path of a file", "--model")
    _says(answer, 4, "YOLOCLI_MODEL", str(tmp_path / "cache"), "builtin, which finds codes only")
    assert "github.com" not in answer.stderr.decode(), "in our words, not in the library's"
    assert len(answer.stderr.splitlines()) == 1
    assert taken < 60
    assert not list((tmp_path / "cache").rglob("*.pt"))


class Evil:
    """Runs code when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.trace),))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["zip", "pickle"])
@pytest.mark.parametrize("runtime", ["torch", "auto"])
def test_a_checkpoint_that_runs_code_is_refused(one: Path, tmp_path: Path, kind: str, runtime: str) -> None:
    import torch

    trace = tmp_path / "the-code-ran"
    content = {"model": Evil(trace), "train_args": {}}
    if kind == "zip":
        torch.save(content, tmp_path / "evil.pt")
    else:
        (tmp_path / "evil.pt").write_bytes(pickle.dumps(content))
    arguments = ["detect", one, "-m", tmp_path / "evil.pt", "--runtime", runtime, "-q"]
    _says(yolocli(*arguments, cwd=tmp_path), 4, "evil.pt", "refused", "--trust-weights")
    assert not trace.exists()
    if (kind, runtime) == ("zip", "torch"):
        _says(yolocli(*arguments, "--trust-weights", cwd=tmp_path), 4, "evil.pt")
        assert trace.exists(), "--trust-weights must lift the refusal"


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ("knit", "a model for 'knit'"),
        *(
            (task, f"says it is a model for {task}, but its network is one for detect")
            for task in TASKS
            if task != "detect"
        ),
    ],
)
def test_a_model_that_is_none_for_its_task_is_refused(weights: Path, tmp_path: Path, task: str, reason: str) -> None:
    import torch

    from tests.support import run
    from yolocli.errors import ModelError
    from yolocli.runtimes.torch.library import import_ultralytics

    import_ultralytics()
    checkpoint = torch.load(weights, weights_only=False)
    checkpoint["model"].task = task
    torch.save(checkpoint, tmp_path / "other.pt")
    write_image(tmp_path / "one.png")
    with pytest.raises(ModelError, match=rf"other\.pt.*{reason}") as caught:
        run(tmp_path / "one.png", model=str(tmp_path / "other.pt"), workers=1)
    assert caught.value.exit_code == 4


def test_other_settings_in_an_output_folder_are_exit_code_2(one: Path, env: dict[str, str]) -> None:
    assert yolocli("detect", one, "-q", env=env, cwd=one.parent).returncode == 0
    answer = yolocli("detect", one, "-q", "--conf", "0.9", env=env, cwd=one.parent)
    _says(answer, 2, "--conf was 0.25, is 0.9", "--overwrite")


def test_an_output_folder_that_cannot_be_made_is_exit_code_4(one: Path, env: dict[str, str]) -> None:
    _says(yolocli("detect", one, "-q", "-o", one / "out", env=env), 4, str(one / "out"))


# Terminals and shells


def _on_a_terminal(*arguments: str | Path, env: dict[str, str], columns: int = 120) -> bytes:
    """Runs the command with a terminal for stdout and stderr and returns what that was sent."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    command = [sys.executable, "-m", "yolocli", *map(str, arguments)]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=clean_environment(**env)) as process:
        os.close(theirs)
        seen = b""
        with io.FileIO(ours) as terminal:
            for block in _blocks(terminal):
                seen += block
        assert process.wait(60) == 0, seen
    return seen


def _blocks(terminal: io.FileIO) -> Iterator[bytes]:
    try:
        while block := terminal.read(4096):
            yield block
    except OSError:  # how Linux tells that the other end is closed
        return


COLOUR = re.compile(rb"\x1b\[[0-9;]*(3[0-7]|9[0-7])m")


def test_help_is_plain_on_a_terminal_too() -> None:
    assert b"\x1b" not in _on_a_terminal("detect", "--help", env={"TERM": "xterm-256color"})


def test_a_terminal_sees_a_bar_and_a_table(photos_folder: Path, env: dict[str, str], tmp_path: Path) -> None:
    terminal = env | {"TERM": "xterm-256color", "NO_COLOR": "1"}
    (photos_folder / "\x1b]0;title\x07.jpg").touch()
    (photos_folder / "\x1b]0;title\x07.jpg").write_bytes((photos_folder / "a.jpg").read_bytes())
    seen = _on_a_terminal("detect", photos_folder, "-o", tmp_path / "out", env=terminal)
    assert b"img/s" in seen
    assert b"4/4" in seen
    assert b"images/s" in seen
    assert not COLOUR.search(seen)
    assert b"\x1b]0;" not in seen
    without = _on_a_terminal("detect", photos_folder, "-o", tmp_path / "2", "--no-progress", env=terminal)
    assert b"img/s" not in without
    assert b"images/s" in without


@pytest.mark.slow
def test_a_narrow_terminal_sees_the_count(photos_folder: Path, env: dict[str, str], tmp_path: Path) -> None:
    terminal = env | {"TERM": "xterm-256color"}
    seen = _on_a_terminal("detect", photos_folder, "-o", tmp_path / "out", env=terminal, columns=40)
    assert b"\r3/3, " in seen, "first on the line, so that nothing pushes it out"


@pytest.mark.slow
def test_a_folder_given_twice_is_counted_once(photos_folder: Path, env: dict[str, str], tmp_path: Path) -> None:
    for number in range(30):  # so that the walk has been counted before the end
        os.link(photos_folder / "a.jpg", photos_folder / f"{number}.jpg")
    terminal = env | {"TERM": "xterm-256color"}
    seen = _on_a_terminal("detect", photos_folder, photos_folder, "-o", tmp_path / "out", env=terminal)
    assert b"33/33" in seen


def test_shell_completion() -> None:
    script = Path(sys.executable).with_name("yolocli")
    if not script.exists():
        pytest.skip("the command is not installed beside this Python")
    answer = subprocess.run(
        ["bash", "-c", f"{script} --show-completion; true"],
        capture_output=True,
        text=True,
        env=clean_environment(),
        timeout=60,
    )
    assert "complete -o" in answer.stdout, answer.stderr
    assert "_YOLOCLI_COMPLETE" in answer.stdout
    words = {"_YOLOCLI_COMPLETE": "complete_bash", "COMP_WORDS": "yolocli detect --mode ", "COMP_CWORD": "3"}
    answer = subprocess.run(
        [script], capture_output=True, text=True, env=clean_environment(**words), timeout=60, check=False
    )
    assert answer.stdout.split() == ["thread", "locked", "process", "ray"]


def test_an_output_folder_that_is_an_input_is_refused(one: Path, env: dict[str, str]) -> None:
    before = sorted(one.parent.iterdir())
    _says(yolocli("detect", one.parent, "-q", "-o", one.parent, env=env), 2, "is an input, too")
    assert sorted(one.parent.iterdir()) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("options", [["--stdout"], ["--summary-json"], ["--dry-run"], ["--help"]])
def test_a_full_disk_behind_stdout_is_exit_code_4_and_no_defect(
    one: Path, env: dict[str, str], options: list[str]
) -> None:
    command = [sys.executable, "-m", "yolocli", "detect", str(one), "-q", *options]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            command,
            stdout=full,
            stderr=subprocess.PIPE,
            env=clean_environment(**env),
            cwd=one.parent,
            timeout=120,
            check=False,
        )
    assert done.returncode == 4
    where = "" if "--help" in options else "stdout: cannot be written: "
    assert done.stderr.decode().startswith(f"yolocli: {where}No space left")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_fail_fast_offers_a_command_that_gets_past_the_failure(tmp_path: Path, env: dict[str, str]) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/bad.jpg").write_text("no image")
    for number in range(3):
        write_image(tmp_path / f"in/good{number}.png", 64, 64)
    answer = yolocli("detect", tmp_path / "in", "--fail-fast", "-o", tmp_path / "out", env=env)
    assert answer.returncode == 1
    text = answer.stderr.decode()
    assert "stopped: an image failed" in text
    assert "To go on:" not in text
    (line,) = [line for line in text.splitlines() if line.startswith("To go on without what failed: ")]
    words = shlex.split(line.partition(": ")[2])
    assert words[:3] == ["yolocli", "detect", "--no-retry-failed"]
    assert yolocli(*words[1:], env=env).returncode == 1
    assert {record["path"] for record in records(tmp_path / "out/results.jsonl")} == {
        path.name for path in (tmp_path / "in").iterdir()
    }


@pytest.mark.slow
def test_a_run_that_never_started_does_not_go_on(one: Path, env: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "yolocli", "detect", "--files-from", "-", "-o", str(tmp_path / "out")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment(**env)
    ) as process:
        assert process.stderr is not None
        time.sleep(3)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        text = process.stderr.read().decode()
    assert "To go on" not in text
    assert "stopped before the first image" in text
