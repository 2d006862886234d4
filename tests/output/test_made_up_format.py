"""A new format is one module and one row: all else knows it by what it declares."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fakes import FakeDetector
from tests.support import run, run_config, write_image
from yolocli.errors import UsageError
from yolocli.output import formats
from yolocli.output.formats import and_earlier, find_format, find_formats
from yolocli.output.ownership import JOURNAL
from yolocli.output.projection import rebuild
from yolocli.pipeline import Run
from yolocli.sources.outputs import MARKER

HEAD = "task detect mode thread roots 1 "


@pytest.fixture(autouse=True)
def _row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "FORMATS", {**formats.FORMATS, "made-up": "tests.output.made_up_format"})


@pytest.fixture
def pictures(tmp_path: Path, fake_detectors: list[FakeDetector]) -> Path:
    (tmp_path / "in/sub").mkdir(parents=True)
    for name in ("a.png", "sub/b.png"):
        write_image(tmp_path / "in" / name)
    (tmp_path / "in/bad.png").write_text("no image")
    return tmp_path / "in"


@pytest.fixture
def output(pictures: Path) -> Path:
    """The output folder of a run that wrote nothing but the format."""
    run(pictures, output=pictures.parent / "out", workers=1, formats=("made-up",))
    return pictures.parent / "out"


def labels(output: Path) -> dict[str, str]:
    return {str(file.relative_to(output / "labels")): file.read_text() for file in (output / "labels").rglob("*.txt")}


def test_a_run_writes_it(output: Path) -> None:
    assert labels(output) == {"a.png.txt": "0\n", "sub/b.png.txt": "0\n"}
    assert (output / "counts.txt").read_text() == HEAD + "\na.png 1\nsub/b.png 1\n"
    others = {"run.json", JOURNAL, "summary.json", "failures.jsonl", ".lock", MARKER}
    assert {entry.name for entry in output.iterdir()} - others == {"labels", "counts.txt"}
    run_json = json.loads((output / "run.json").read_bytes())
    assert (run_json["settings"]["formats"], run_json["task"]) == (["made-up"], "detect")


def test_its_files_of_images_are_there_as_images_end(pictures: Path) -> None:
    output = pictures.parent / "out"
    walk = iter(Run(run_config(pictures, output=output, workers=1, ordered=True, formats=("made-up",))))
    next(walk)
    assert (labels(output), (output / "counts.txt").exists()) == ({"a.png.txt": "0\n"}, False)
    walk.close()  # type: ignore[attr-defined]


def test_a_second_run_goes_on_with_it_unasked(pictures: Path, output: Path) -> None:
    (output / "labels/a.png.txt").unlink()
    write_image(pictures / "c.png")
    run(pictures, output=output, workers=1, formats=("csv",))
    assert labels(output) == dict.fromkeys(["a.png.txt", "c.png.txt", "sub/b.png.txt"], "0\n")
    assert (output / "counts.txt").read_text() == HEAD + "\na.png 1\nc.png 1\nsub/b.png 1\n"


def test_a_run_that_does_nothing_still_knows_the_class_names(pictures: Path, output: Path) -> None:
    (pictures / "bad.png").unlink()
    _, this = run(pictures, output=output, workers=1, formats=("made-up:names=true",))
    assert (this.summary.images, this.summary.skipped) == (0, 2)
    assert (output / "counts.txt").read_text() == HEAD + "thing,other\na.png 1\nsub/b.png 1\n"


def test_its_options_are_kept_by_the_folder(pictures: Path, output: Path) -> None:
    wanted = "made-up:names=true:least-count=2"
    run(pictures, output=output, workers=1, formats=(wanted,))
    expected = HEAD + "thing,other\n"
    assert (output / "counts.txt").read_text() == expected
    run(pictures, output=output, workers=1, formats=("csv",))
    assert (output / "counts.txt").read_text() == expected
    stored = json.loads((output / "run.json").read_bytes())["settings"]["formats"]
    assert stored == ["csv", "made-up:least-count=2:names=true"]


def test_export_makes_it_again(output: Path) -> None:
    before = labels(output), (output / "counts.txt").read_bytes()
    for path in [*(output / "labels").rglob("*.txt"), output / "counts.txt"]:
        path.unlink()
    rebuild(output, ("made-up",))
    assert (labels(output), (output / "counts.txt").read_bytes()) == before
    rebuild(output, ("made-up:least-count=2",))
    assert (output / "counts.txt").read_text() == HEAD + "\n"


def test_overwrite_and_prune_remove_it(pictures: Path, output: Path) -> None:
    (pictures / "a.png").unlink()
    run(pictures, output=output, workers=1, formats=("json",), prune=True)
    assert labels(output) == {"sub/b.png.txt": "0\n"}
    (pictures / "sub/b.png").unlink()
    write_image(pictures / "c.png")
    run(pictures, output=output, workers=1, formats=("json",), overwrite=True)
    assert not (output / "labels").exists()
    assert not (output / "counts.txt").exists()


@pytest.mark.parametrize("name", ["counts.txt", "labels/a.png.txt"])
def test_a_file_of_somebody_else_in_its_place_stays(name: str, pictures: Path, output: Path) -> None:
    for folder in (output, pictures.parent / "new"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("mine\n")
        with pytest.raises(UsageError, match=name):
            run(pictures, output=folder, workers=1, formats=("made-up",), overwrite=True)
        run(pictures, output=folder, workers=1, formats=("json",), overwrite=True)
        assert (folder / name).read_text() == "mine\n"
    with pytest.raises(UsageError, match=name):
        rebuild(output, ("made-up",))


@pytest.mark.parametrize("content", [b"", b"0", bytes(9)])
def test_what_a_power_cut_spoiled_is_its_own(content: bytes, pictures: Path, output: Path) -> None:
    (output / "labels/a.png.txt").write_bytes(content)
    rebuild(output, ("made-up",))
    assert labels(output)["a.png.txt"] == "0\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("made-up:least=2", "no option 'least'; did you mean least-count?"),
        ("made-up:least-count=two", "least-count must be a whole number"),
        ("made-up:names=yes", "names must be true or false"),
        ("made-pu", "did you mean made-up?"),
    ],
)
def test_what_cannot_be_used_is_said_in_a_line(text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_format(text)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_format_is_not_written_in_two_ways() -> None:
    assert list(find_formats(["made-up:names=false", "csv", "made-up"])) == ["made-up", "csv"]
    with pytest.raises(UsageError, match="asked for twice"):
        find_formats(["made-up", "made-up:names=true"])
    asked = find_formats(["made-up:names=true"])
    assert list(and_earlier(asked, ["made-up", "json", "gone", "csv:gone=1"])) == ["made-up:names=true", "json"]


def test_folders_of_versions_without_a_task_go_on(pictures: Path, output: Path) -> None:
    content = json.loads((output / "run.json").read_bytes())
    del content["task"]
    (output / "run.json").write_text(json.dumps(content, indent=2))
    rebuild(output, ("made-up",))
    assert (output / "counts.txt").read_text().startswith("task detect ")
    _, this = run(pictures, output=output, workers=1, formats=("made-up",))
    assert this.summary.skipped == 2
