"""Pictures in a store: the same records as from a disk, whatever the day is like."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import fakes
from tests.stores import moto
from tests.support import run, write_image
from yolocli import stores
from yolocli.config import SourceConfig
from yolocli.errors import ExitCode, UsageError
from yolocli.executors import EXECUTORS
from yolocli.results import ImageFailure, Outcome
from yolocli.sources.discover import Discovery, discover
from yolocli.stores import store_of
from yolocli.stores.objects import Objects
from yolocli.stores.secrets import without_secrets_within

BAD_DAY = ("--refuse", "0.05", "--cut", "0.05", "--slow", "0.05")


def put(bucket: str, folder: Path, top: str = "") -> None:
    store = store_of(bucket)
    for file in sorted(folder.rglob("*.*")):
        store.write(f"{top}{file.relative_to(folder)}", file)


def of_images(outcomes: list[Outcome]) -> list[dict[str, Any]]:
    """Records, without what differs between places and processes."""
    found = [outcome.to_dict() for outcome in sorted(outcomes, key=lambda outcome: outcome.path)]
    for record in found:
        del record["source"]
        for box in record.get("detections", ()):
            del box["name"]
    return found


@pytest.mark.parametrize("mode", [mode for mode in EXECUTORS if mode != "ray"])
def test_a_bad_day_costs_no_image(
    mode: str, proxy: Callable[..., str], bucket: str, pictures: Path, tmp_path: Path
) -> None:
    put(bucket, pictures, "in/")
    store_of(bucket).write("in/2/gone.png", b"x")
    stores._opened.cache_clear()
    proxy(*BAD_DAY, "--vanish", "gone.png")
    here, _ = run(pictures, loader=fakes.FakeLoader(), mode=mode, workers=2)
    there, this = run(f"{bucket}/in", loader=fakes.FakeLoader(), mode=mode, workers=2, output=tmp_path / "out")
    (failure,) = [outcome for outcome in there if isinstance(outcome, ImageFailure)]
    assert (failure.path, failure.stage, failure.error) == ("2/gone.png", "read", "FileNotFoundError")
    assert failure.message == "the store has no such key"
    assert of_images([outcome for outcome in there if outcome is not failure]) == of_images(here)
    assert this.summary.exit_code is ExitCode.SOME_FAILED
    assert run(f"{bucket}/in", loader=fakes.FakeLoader(), output=tmp_path / "out")[1].summary.skipped == 24


def test_a_worker_reads_ahead_of_its_network(proxy: Callable[..., str], bucket: str, pictures: Path) -> None:
    """Each read takes 0.2 s, and each image 0.1 s: one after the other, 24 images would take 7 s."""
    put(bucket, pictures)
    stores._opened.cache_clear()
    proxy("--latency", "0.2")
    outcomes, this = run(bucket, loader=fakes.FakeLoader(delay=0.1), workers=1, batch=1)
    assert len(outcomes) == 24
    assert this.summary.wall_seconds < 4.5


def found(*inputs: str, **options: Any) -> list[Any]:
    return list(discover(SourceConfig(inputs, **options)))


def names(*inputs: str, **options: Any) -> list[str]:
    return [item.path for item in found(*inputs, **options)]


def test_filters_and_patterns_take_what_they_take_on_a_disk(bucket: str, tmp_path: Path) -> None:
    keys = ["in/a-b/1.jpg", "in/a/2.jpg", "in/a/skip/3.jpg", "in/.hidden/4.jpg", "in/5.JPG", "in/a/[6]*.jpg", "7.jpg"]
    for key in keys:
        store_of(bucket).write(key, b"x")
        file = tmp_path / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    for options in ({}, {"recursive": False}, {"hidden": True}, {"exclude": ("skip",)}, {"include": ("a/*",)}):
        assert sorted(names(f"{bucket}/in", **options)) == sorted(names(str(tmp_path / "in"), **options)), options
    for pattern in ("in/*.JPG", "in/**/*.jpg", "in/a*", "in/*/2.jpg", "in/a/[6]*.jpg", "**", "in/?/skip/*"):
        there, here = found(f"{bucket}/{pattern}"), found(str(tmp_path / pattern))
        assert sorted(item.source[len(bucket) :] for item in there) == sorted(
            item.source[len(str(tmp_path)) :] for item in here
        ), pattern


def test_a_key_that_cannot_be_named_is_a_record_and_hides_no_other(bucket: str) -> None:
    for key in ("a/1.jpg", "b/2.jpg", "b/c/3.jpg", "d/4.jpg"):
        store_of(bucket).write(key, b"x")
    for path in ("b//5.jpg", "c/%2E%2E/6.jpg", "c/7.jpg", "e/8%09.jpg", "e/9.jpg", "f.jpg"):
        moto.put_raw(bucket, path)
    items = found(bucket)
    assert [item.path for item in items if not isinstance(item, ImageFailure)] == [
        "a/1.jpg",
        "b/2.jpg",
        "b/c/3.jpg",
        "c/7.jpg",
        "d/4.jpg",
        "e/9.jpg",
        "f.jpg",
    ]
    assert {item.path: (item.stage, item.error) for item in items if isinstance(item, ImageFailure)} == {
        "b": ("discover", "InvalidName"),
        "c": ("discover", "InvalidName"),
        "e": ("discover", "InvalidName"),
    }


SECRETS = (
    "s3://AKIA123:hunter2@bucket/a.jpg",
    "https://host/a.jpg?X-Amz-Signature=hunter2",
    "https://host/b.jpg?w=hunter2",
    "s3://bucket/b.jpg?X-Amz-Credential=b&X-Amz-Signature=hunter2",
    "ftp://user:hunter2@host/a.jpg",
    "http://hunter2@host/c.jpg",
    "HTTP:///hunter2@host/d.jpg",
    "http://user:ab/hunter2@host/e.jpg",
    "http://user:ab@hunter2@host/f.jpg",
    "http://user:a@b/hunter2@host/g.jpg",
    "http://user:ab hunter2@host/h.jpg",
    "http://user:ab?hunter2@host/i.jpg",
    "https://user:ab@host/j.jpg?mail=me@hunter2",
    "s3://AKIA123:ab/hunter2@bucket/k.jpg",
    "sftp://me@firm.com:hunter2@host/l.jpg",
)
NO_SECRETS = (
    "https://host/a@b.jpg",
    "https://host:8080/a@b.jpg",
    "https://[::1]:8080/a@b.jpg",
    "s3://bucket/a:b@c.jpg",
    "sftp://user@host/a:b@c.jpg",
    "hf://datasets/user/set@main/a.jpg",
)


def test_a_url_with_a_secret_is_refused_without_it(tmp_path: Path) -> None:
    for name in SECRETS:
        with pytest.raises(UsageError, match="is not taken; credentials come from the environment") as caught:
            Discovery(SourceConfig((name,)))
        assert not any(secret in str(caught.value) for secret in ("hunter2", "AKIA"))
    write_image(tmp_path / "a.png")
    (tmp_path / "list").write_text("\n".join([*SECRETS, str(tmp_path / "a.png")]))
    outcomes, this = run(files_from=str(tmp_path / "list"), loader=fakes.FakeLoader(), output=tmp_path / "out")
    written = [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
    assert this.summary.exit_code is ExitCode.SOME_FAILED
    assert [outcome.error for outcome in outcomes if isinstance(outcome, ImageFailure)] == ["SecretInName"] * len(
        SECRETS
    )
    assert not any(secret in file.read_bytes() for file in written for secret in (b"hunter2", b"AKIA"))


@pytest.mark.parametrize("url", NO_SECRETS)
def test_an_at_sign_behind_the_host_is_of_a_name(url: str) -> None:
    assert stores.where(url).url == url


def test_what_a_library_says_is_told_without_secrets() -> None:
    said = without_secrets_within(
        "no answer (http://user:ab/hunter2@host/a.jpg?sig=hunter2), as http://hunter2@proxy is away"
    )
    assert said == "no answer (http://host/a.jpg), as http://proxy is away"


def test_lines_of_a_list_are_looked_at_several_at_once(
    proxy: Callable[..., str], bucket: str, pictures: Path, tmp_path: Path
) -> None:
    """24 looks of 0.2 s would take 5 s."""
    put(bucket, pictures)
    keys = [f"{bucket}/{number % 3}/{number:02}.png" for number in range(24)]
    (tmp_path / "list").write_text("\n".join([*keys[:12], str(pictures / "0/00.png"), *keys[12:], f"{bucket}/no.png"]))
    stores._opened.cache_clear()
    proxy("--latency", "0.2")
    started = time.monotonic()
    items = found(files_from=str(tmp_path / "list"))
    assert time.monotonic() - started < 3
    assert [item.source for item in items[:-1]] == [*keys[:12], str(pictures / "0/00.png"), *keys[12:]]
    assert all(item.version for item in items[:-1])
    assert (items[-1].error, items[-1].ref.source) == ("FileNotFoundError", f"{bucket}/no.png")


def test_a_listing_is_a_stream(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yolocli.stores.objects.PAGE", 2)
    for number in range(9):
        store_of(bucket).write(f"{number}.jpg", b"x")
    pages = 0
    ask = Objects._ask

    def counted(self: Objects, question: Any) -> Any:
        nonlocal pages
        pages += 1
        return ask(self, question)

    discovery = Discovery(SourceConfig((bucket,)))
    monkeypatch.setattr(Objects, "_ask", counted)
    assert [next(iter(discovery)).name, pages] == ["0.jpg", 1]


@pytest.mark.parametrize(("name", "package"), [("s3://bucket/in", "obstore"), ("hf://datasets/a/b", "fsspec")])
def test_a_missing_package_is_said_before_anything_is_done(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setitem(sys.modules, f"{package}.core", None)
    extra = "stores" if package == "obstore" else "fsspec"
    (tmp_path / "list").write_text(name)
    for options in ({"inputs": (name,)}, {"files_from": str(tmp_path / "list")}):
        with pytest.raises(UsageError, match=rf":// needs {package}: pip install '\.\[{extra}\]'"):
            list(discover(SourceConfig(**options)))  # type: ignore[arg-type]


def test_a_store_that_is_not_there_is_said_soon(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yolocli.stores.objects.UNKNOWN_SECONDS", 0.5)
    moto.use(f"http://127.0.0.1:{moto.free_port()}")
    with pytest.raises(UsageError, match=r"^s3://b/x: the store does not answer: .* attempts in \d s\)$"):
        Discovery(SourceConfig(("s3://b/x",)))


def test_what_needs_no_store_imports_none() -> None:
    code = "import sys, yolocli.pipeline; sys.exit(any(name in sys.modules for name in ('obstore', 'fsspec')))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_a_list_may_lie_in_a_store(
    proxy: Callable[..., str], bucket: str, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket, pictures)
    lines = [f"{bucket}/{number % 3}/{number:02}.png" for number in range(24)]
    store_of(bucket).write("lists/all.txt", "\r\n".join(lines).encode())
    monkeypatch.setattr("yolocli.stores.download.PART", 100)
    stores._opened.cache_clear()
    proxy(*BAD_DAY)
    items = found(files_from=f"{bucket}/lists/all.txt")
    assert [item.source for item in items] == lines
    assert not SourceConfig(files_from=f"{bucket}/lists/all.txt").piped
    with pytest.raises(UsageError, match=rf"^--files-from {bucket}/none\.txt: the store has no such key$"):
        found(files_from=f"{bucket}/none.txt")
