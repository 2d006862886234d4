"""Options of formats: after the name of the format, and as flags of commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.output.written import SAMPLES
from tests.support import result
from yolocli.cli.app import app
from yolocli.errors import UsageError
from yolocli.output import formats
from yolocli.output.folder import OutputFolder
from yolocli.output.formats import FORMATS, find_format, find_formats, set_option
from yolocli.output.journal import Journal

ROOT = "s3://bucket:9/photos"


def test_a_value_may_hold_what_stands_between_options(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in (f"label-studio:image-root={ROOT}", f"label-studio:image_root={ROOT}"):
        assert find_format(text).options.image_root == ROOT
        assert list(find_formats([text])) == [f"label-studio:image-root={ROOT}"]
    monkeypatch.setattr(formats, "FORMATS", {**FORMATS, "made-up": "tests.output.made_up_format"})
    options = find_format("made-up:names=true:least-count=3").options
    assert (options.names, options.least_count) == (True, 3)
    with pytest.raises(UsageError, match="no option 'leest-count'; did you mean least-count"):
        find_format("made-up:names=true:leest-count=3")


@pytest.mark.parametrize("root", ["https://h/x:key=val", "https://h/a\\:b=c:d=e", ":image-root=x", "C:\\pics\\:a=b"])
def test_a_value_may_look_like_another_option(root: str) -> None:
    """What a flag gives is kept as text, in run.json, too, and read again."""
    (text,) = set_option(("label-studio",), "image_root", root)
    assert find_format(text).options.image_root == root
    assert list(find_formats([text])) == [text]


def test_an_option_is_set_in_every_format_that_has_it() -> None:
    asked = ("json", "label-studio", "csv")
    assert set_option(asked, "image_root", ROOT) == ("json", f"label-studio:image-root={ROOT}", "csv")
    assert set_option(("label-studio:image-root=a",), "image_root", "b") == ("label-studio:image-root=b",)
    with pytest.raises(UsageError, match=r"^--image-root: .* add --format label-studio$"):
        set_option(("json", "csv"), "image_root", ROOT)


def _run(*arguments: object) -> Any:
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.mark.parametrize("command", [("detect", SAMPLES / "shop/carton.jpg"), ("export", ".")])
def test_a_flag_that_no_format_takes_is_refused(command: tuple[object, ...]) -> None:
    done = _run(*command, "--format", "json", "--image-root", ROOT)
    assert isinstance(done.exception, UsageError)
    assert "--image-root: no format that was asked for has it" in str(done.exception)


def test_a_flag_says_what_the_format_can_be_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yolocli.cli.detect.run", kept := _Kept())
    _run("detect", SAMPLES, "--format", "json,label-studio", "--image-root", ROOT, "-o", tmp_path)
    _run("detect", SAMPLES, "--format", f"json,label-studio:image-root={ROOT}", "-o", tmp_path)
    assert kept.configs[0].formats == ("json", f"label-studio:image-root={ROOT}")
    assert kept.configs[0] == kept.configs[1]


class _Kept:
    """What commands were to run."""

    def __init__(self) -> None:
        self.configs: list[Any] = []

    def __call__(self, config: Any, **_: object) -> None:
        self.configs.append(config)


def test_export_takes_them_too(tmp_path: Path) -> None:
    folder = OutputFolder(tmp_path)
    folder.create()
    journal = Journal(folder)
    journal.append(result("a.jpg"))
    journal.close()
    folder.close()
    assert _run("export", tmp_path, "--format", "label-studio", "--image-root", ROOT).exit_code == 0
    (task,) = json.loads((tmp_path / "tasks.json").read_text())
    assert task["data"]["image"] == f"{ROOT}/a.jpg"
