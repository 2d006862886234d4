"""An option is the same wherever it is told of: in its command, the configs, a call and the README."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer.main

import yolocli
from tests.support import REPOSITORY
from yolocli.cli.app import app
from yolocli.cli.bench import bench
from yolocli.cli.detect import detect
from yolocli.cli.optimize import optimize
from yolocli.config import AUTO, DEFAULT_OUTPUT, DEFAULTS, Precision, RunConfig
from yolocli.errors import UsageError
from yolocli.executors import EXECUTORS
from yolocli.measure.bench import BenchConfig
from yolocli.measure.optimize import OptimizeConfig
from yolocli.output.formats import FORMATS, every_format, files_of, trees_of
from yolocli.parsing import parse_count, parse_devices, parse_duration, parse_failures, parse_imgsz
from yolocli.runtimes import RUNTIMES
from yolocli.sources.suffixes import IMAGE_SUFFIXES

MODES = list(EXECUTORS)
CHOSEN_RUNTIMES = [AUTO, *RUNTIMES]
PRECISIONS = [precision.value for precision in Precision]
README = (REPOSITORY / "README.md").read_text("utf-8")
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
OPTIONS: dict[str, dict[str, Any]] = {
    name: {param.name: param for param in command.params if param.param_type_name == "option"}
    for name, command in COMMANDS.items()
}
SETTINGS: dict[str, Any] = {
    entry.name: getattr(part, entry.name)
    for part in (DEFAULTS, DEFAULTS.source, DEFAULTS.detector, DEFAULTS.limits, DEFAULTS.cluster)
    for entry in fields(part)
}
"""The default of every field of a config."""
OF_THE_COMMAND = {
    *("dry_run", "fail_fast", "save_conf", "image_root", "report"),
    *("stdout", "summary_json", "quiet", "no_progress"),
}
"""Options that no field takes."""
NOT_FOR_A_CALL: Mapping[str, str] = {
    "dry_run": "prints what would be read",
    "fail_fast": "max_failures=0 says it",
    "save_conf": "formats='yolo:save-conf=true' says it",
    "image_root": "formats='label-studio:image-root=...' says it",
    "fail_incomplete": "a call has no exit code",
    "report": "`yolocli.report.make_report` makes it of the folder of a call",
    "stdout": "a call gives the outcomes to its caller",
    "summary_json": "for people and scripts that read streams",
    "quiet": "a call is quiet",
    "verbose": "a call is quiet",
    "no_progress": "a call shows none",
}
CALLED: Mapping[str, str] = {"threads": "threads_per_worker", "devices": "device"}
"""Arguments that are not called like their field."""
ARGUMENTS = dict(inspect.signature(yolocli.detect).parameters)
OTHER_ROWS = {"--version", "--help", "--install-completion", "--show-completion"}


def default_of(command: typing.Callable[..., Any], name: str) -> Any:
    return inspect.signature(command).parameters[name].default


def rows(heading: str) -> list[list[str]]:
    """Returns the cells of the table of the README that begins so, without backticks."""
    table = re.search(rf"^\| {re.escape(heading)} \|.*\n\|[-|]+\n((?:\|.*\n)+)", README, re.MULTILINE)
    assert table, heading
    return [[cell.strip().replace("`", "") for cell in row.strip("|").split(" | ")] for row in table[1].splitlines()]


def told() -> dict[str, list[str]]:
    """Returns the rows of the table of options by the long name of the option."""
    return {cells[0].split(",")[0].split("/")[0]: cells for cells in rows("option")}


# Command and configs


def test_an_option_sets_a_field_or_is_of_the_command_alone() -> None:
    assert {*OPTIONS["detect"], "inputs"} - SETTINGS.keys() == OF_THE_COMMAND


@pytest.mark.parametrize("name", sorted(OPTIONS["detect"].keys() - OF_THE_COMMAND))
def test_the_default_of_an_option_is_that_of_its_field(name: str) -> None:
    default, setting = default_of(detect, name), SETTINGS[name]
    if default is None:
        assert isinstance(OPTIONS["detect"][name].show_default, str), "the default is said in words"
        assert not setting or ",".join(setting) == OPTIONS["detect"][name].show_default
    else:
        assert default == getattr(setting, "value", setting)
        assert type(default) is type(getattr(setting, "value", setting))


def test_a_run_of_nothing_but_an_input_is_the_default_one(monkeypatch: pytest.MonkeyPatch) -> None:
    caught: list[RunConfig] = []
    monkeypatch.setattr("yolocli.cli.detect.run", lambda config, **_: caught.append(config))
    from typer.testing import CliRunner

    CliRunner().invoke(app, ["detect", "."], catch_exceptions=False)
    CliRunner().invoke(app, ["detect", ".", "--stdout"], catch_exceptions=False)
    assert caught[1] == DEFAULTS
    assert caught[0].output == DEFAULT_OUTPUT


@pytest.mark.parametrize(
    ("command", "config"), [(bench, BenchConfig), (optimize, OptimizeConfig)], ids=["bench", "optimize"]
)
def test_the_defaults_of_other_commands_are_those_of_their_configs(
    command: typing.Callable[..., Any], config: Any
) -> None:
    shared = {entry.name: entry.default for entry in fields(config)} | {"folder": inspect.Parameter.empty}
    given = {name: default_of(command, name) for name in inspect.signature(command).parameters if name in shared}
    compared = {name for name, value in given.items() if value not in (inspect.Parameter.empty, None)}
    assert len(compared) >= 3
    assert {name: given[name] for name in compared} == {name: shared[name] for name in compared}


@pytest.mark.parametrize("name", ["export", "bench", "optimize"])
def test_an_option_of_several_commands_is_spelled_alike(name: str) -> None:
    first = {param.opts[0]: param for param in OPTIONS["detect"].values()}
    common = [param for param in OPTIONS[name].values() if param.opts[0] in first]
    assert common
    for param in common:
        assert param.opts == first[param.opts[0]].opts
        assert param.metavar == first[param.opts[0]].metavar


# Library


def test_a_call_takes_every_option_but_those_for_terminals() -> None:
    expected = {CALLED.get(name, name) for name in OPTIONS["detect"].keys() - NOT_FOR_A_CALL.keys()}
    assert ARGUMENTS.keys() == expected | {"inputs"}
    assert NOT_FOR_A_CALL.keys() <= OPTIONS["detect"].keys()


@pytest.mark.parametrize("name", sorted(OPTIONS["detect"].keys() - NOT_FOR_A_CALL.keys()))
def test_the_default_of_an_argument_is_that_of_its_field(name: str) -> None:
    default = ARGUMENTS[CALLED.get(name, name)].default
    assert default == SETTINGS[name] or (name == "devices" and default is None)


VALUES: Mapping[str, Any] = {
    "model": "x.pt",
    "runtime": "torch",
    "precision": "bf16",
    "mode": "locked",
    "workers": "2..8",
    "device": 0,
    "ray_resources": {"cpu": 2, "gpu": 0.25},
    "imgsz": 320,
    "confidence": 0.5,
    "iou": 0.5,
    "classes": "person",
    "masks": "rle",
    "files_from": "list",
    "shard": "3/16",
    "include": "*.png",
    "exclude": ["*.png"],
    "timeout": 9,
    "max_failures": "5%",
    "max_runtime": 60.5,
    "output": Path("elsewhere"),
    "formats": "csv",
    "save_by_class": "copy",
}
NEEDS: Mapping[str, dict[str, Any]] = {
    "timeout": {"mode": "process"},
    "null": {"files_from": "list"},
    "prune": {"output": "out"},
    "save_by_class": {"output": "out"},
}


@pytest.mark.parametrize("name", [name for name in ARGUMENTS if name != "inputs"])
def test_every_argument_reaches_the_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    caught: list[RunConfig] = []
    monkeypatch.setattr("yolocli.pipeline.Run", lambda config: caught.append(config) or ())
    default = ARGUMENTS[name].default
    value = VALUES.get(name, not default if isinstance(default, bool) else 3)
    base = NEEDS.get(name, {})
    yolocli.detect("somewhere", **base)
    yolocli.detect("somewhere", **base, **{name: value})
    assert caught[0] != caught[1], f"{name}={value} changes nothing"


@pytest.mark.parametrize(("name", "values"), [("mode", MODES), ("runtime", CHOSEN_RUNTIMES), ("precision", PRECISIONS)])
def test_the_types_of_a_call_name_every_choice(name: str, values: list[str]) -> None:
    hint = typing.get_type_hints(yolocli.detect)[name]
    literal = next((part for part in typing.get_args(hint) if typing.get_args(part)), hint)
    assert set(typing.get_args(literal)) == set(values)


# README


def test_the_readme_has_a_row_for_every_option_and_no_other() -> None:
    assert told().keys() - OTHER_ROWS == {param.opts[0] for param in OPTIONS["detect"].values()}
    for param in OPTIONS["detect"].values():
        spelled = re.split(r", |/", told()[param.opts[0]][0])
        assert spelled == [*param.opts, *param.secondary_opts]


@pytest.mark.parametrize("param", OPTIONS["detect"].values(), ids=lambda param: str(param.opts[0]))
def test_the_readme_tells_the_default(param: Any) -> None:
    default = default_of(detect, param.name)
    words = param.show_default if default is None else str(default)
    assert told()[param.opts[0]][1] == {"True": "yes", "False": "no"}.get(words, words)


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - {"detect"}))
def test_the_readme_names_every_option_of_another_command_and_no_other(name: str) -> None:
    (paragraph,) = re.findall(r"^Other commands: (.*?)\n\n", README, re.MULTILINE | re.DOTALL)
    _, *parts = re.split(r"`yolocli (\w+) [A-Z]+`", paragraph)
    text = dict(zip(parts[::2], parts[1::2], strict=True))[name]
    assert set(re.findall(r"`(--[\w-]+)", text)) == {param.opts[0] for param in OPTIONS[name].values()}


def test_modes_are_the_same_in_readme_help_and_registry() -> None:
    table = [cells[0] for cells in rows("`--mode`")]
    assert [cell.split()[0] for cell in table] == MODES
    assert [cell.split()[0] for cell in table if cell.endswith("(default)")] == [DEFAULTS.mode]
    assert listed(told()["--mode"][2]) == MODES


def test_runtimes_and_precisions_are_the_same_in_readme_help_and_registry() -> None:
    assert listed(told()["--runtime"][2]) == CHOSEN_RUNTIMES
    assert listed(told()["--precision"][2]) == PRECISIONS


def test_formats_are_the_same_in_readme_help_and_registry() -> None:
    assert listed(told()["--format"][2]) == list(FORMATS)
    table = {re.split(r"[/.]", cells[0])[0] for cells in rows("file in `yolocli-out`")}
    files, images = files_of(every_format())
    folders = {one.folder for one in images} | {name for tree in trees_of(every_format()) for name in tree.folders}
    assert table >= {file.name.split(".")[0] for file in files} | folders


def listed(text: str) -> list[str]:
    """Returns the values of a text such as `auto (the faster), torch, openvino`."""
    return [entry.split()[0] for entry in text.split(", ")]


def test_suffixes_are_the_same_in_the_readme() -> None:
    (suffixes,) = re.findall(r"These suffixes are read, in upper case too: ([a-z0-9 ]+)\.", README)
    assert suffixes.split() == sorted(suffix[1:] for suffix in IMAGE_SUFFIXES)


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("mode", MODES),
        ("runtime", CHOSEN_RUNTIMES),
        ("precision", PRECISIONS),
        ("formats", list(FORMATS)),
    ],
)
def test_help_names_every_value(option: str, values: list[str]) -> None:
    text = OPTIONS["detect"][option].help
    assert [value for value in values if not re.search(rf"\b{value}\b", text)] == []


# What people write


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (parse_imgsz, "640", (640, 640)),
        (parse_imgsz, "480x640", (480, 640)),
        (parse_imgsz, "480,640", (480, 640)),
        (parse_failures, "100", (100, None)),
        (parse_failures, "2.5%", (None, 0.025)),
        (parse_duration, "90", 90),
        (parse_duration, "1h30m", 5400),
        (parse_duration, "1.5d", 129_600),
        (parse_count, "0", 0),
        (parse_devices, "cuda:0,1", ("cuda:0", "cuda:1")),
    ],
)
def test_what_is_read(parse: typing.Callable[[str, str], object], text: str, value: object) -> None:
    assert parse(text, "--option") == value


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_imgsz, "640x"),
        (parse_failures, "101%"),
        (parse_failures, "2.5"),
        (parse_failures, "-1"),
        (parse_duration, "0"),
        (parse_duration, "5 minutes"),
        (parse_duration, ""),
        (parse_count, "-1"),
        (parse_count, "many"),
    ],
)
def test_what_cannot_be_read_is_said_with_the_option(parse: typing.Callable[[str, str], object], text: str) -> None:
    with pytest.raises(UsageError, match=f"^--option {re.escape(text)}: "):
        parse(text, "--option")
