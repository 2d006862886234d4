"""Files of a web server: named one by one, as it lists nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests import fakes
from tests.support import run, write_image
from yolocli.config import SourceConfig
from yolocli.errors import ExitCode, UsageError
from yolocli.results import ImageFailure
from yolocli.sources import source_of
from yolocli.sources.discover import discover


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None: ...


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "site"
    (folder / "a b").mkdir(parents=True)
    write_image(folder / "a b" / "1.png")
    write_image(folder / "2.png")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_files_are_read_by_their_urls(site: str, tmp_path: Path) -> None:
    names = [f"{site}/a%20b/1.png", f"{site}/2.png", f"{site}/none.png"]
    (tmp_path / "list").write_text("\n".join(names))
    outcomes, _ = run(files_from=str(tmp_path / "list"), loader=fakes.FakeLoader(), ordered=True)
    assert [outcome.ref.source for outcome in outcomes] == names
    assert [getattr(outcome, "error", "ok") for outcome in outcomes] == ["ok", "ok", "FileNotFoundError"]
    assert run(names[1], loader=fakes.FakeLoader())[0][0].path == "2.png"
    (failure,) = (outcome for outcome in outcomes if isinstance(outcome, ImageFailure))
    assert source_of(site).gone(failure.ref.source)


def test_a_line_that_could_not_be_looked_at_is_done_by_a_later_run(
    site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(tmp_path / "3.png")
    (tmp_path / "list").write_text(f"{site}/a%20b/1.png\n{site}/2.png\n{tmp_path}/3.png")
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(Quiet, "send_head", lambda handler: handler.send_error(403))
        outcomes, _ = run(files_from=str(tmp_path / "list"), loader=fakes.FakeLoader(), output=out)
    failed = {outcome.ref.source: outcome for outcome in outcomes if isinstance(outcome, ImageFailure)}
    assert {name: (failure.stage, failure.error) for name, failure in failed.items()} == {
        f"{site}/a%20b/1.png": ("read", "PermissionDenied"),
        f"{site}/2.png": ("read", "PermissionDenied"),
    }
    outcomes, this = run(files_from=str(tmp_path / "list"), loader=fakes.FakeLoader(), output=out)
    assert (len(outcomes), this.summary.exit_code) == (2, ExitCode.OK)
    assert {outcome.path for outcome in outcomes} == {failure.path for failure in failed.values()}
    assert not (out / "failures.jsonl").exists()
    assert (out / "images.csv").read_bytes().count(b"\n") == 1 + 3
    roots = [root["path"] for root in json.loads((out / "run.json").read_bytes())["roots"]]
    assert (len(roots), site in roots) == (2, True)


def test_a_quoted_slash_is_asked_for_as_it_is(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []
    monkeypatch.setattr(Quiet, "log_request", lambda handler, *_: asked.append((handler.command, handler.path)))
    outcomes, _ = run(f"{site}/a%20b%2f1.png", loader=fakes.FakeLoader())
    assert [(outcome.path, outcome.status) for outcome in outcomes] == [("a%20b%2f1.png", "ok")]
    assert set(asked) == {("HEAD", "/a%20b%2f1.png"), ("GET", "/a%20b%2f1.png")}


def test_it_is_said_that_a_web_server_lists_nothing(site: str) -> None:
    with pytest.raises(UsageError, match="a web server holds cannot be listed, so name its files"):
        list(discover(SourceConfig((f"{site}/a",))))


def test_what_is_refused_for_a_token_does_not_stand_for_the_file(site: str, tmp_path: Path) -> None:
    (tmp_path / "list").write_text(f"{site.replace('://', '://token@')}/2.png\n{site}/2.png\n")
    outcomes, _ = run(files_from=str(tmp_path / "list"), loader=fakes.FakeLoader(), output=tmp_path / "out")
    assert sorted(getattr(outcome, "error", "ok") for outcome in outcomes) == ["SecretInName", "ok"]
    written = [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
    assert not any(b"token@" in file.read_bytes() for file in written)
