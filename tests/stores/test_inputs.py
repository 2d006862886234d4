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


def test_what_is_called_like_a_pattern_goes_before_it(bucket: str, tmp_path: Path) -> None:
    for key in ("p[1]/1.jpg", "p[1]/a*/2.jpg", "p1/3.jpg", "ok/1.jpg"):
        store_of(bucket).write(key, b"x")
    assert names(f"{bucket}/p[1]/", f"{bucket}/ok") == ["p[1]/1.jpg", "p[1]/a*/2.jpg", "ok/1.jpg"]
    assert names(f"{bucket}/p[1]/a*") == ["2.jpg"]
    assert names(f"{bucket}/p[1-2]") == ["p1/3.jpg"]
    (tmp_path / "list").write_text(f"{bucket}/p[1]\n{bucket}/ok/1.jpg\n{bucket}/p[2]")
    items = found(files_from=str(tmp_path / "list"))
    assert [item.path for item in items] == ["p[1]/1.jpg", "p[1]/a*/2.jpg", "ok/1.jpg", "p[2]"]
    assert isinstance(items[-1], ImageFailure)


def test_a_file_that_is_called_like_a_folder_does_not_hide_it(bucket: str, tmp_path: Path) -> None:
    for key in ("dir/1.jpg", "dir/2.jpg", "mark/3.jpg", "4.jpg", "dir"):
        store_of(bucket).write(key, b"x")
    for key in ("mark", "5.jpg"):
        store_of(bucket).write(key, b"")
    moto.put_raw(bucket, "5.jpg/", b"")
    within = {"dir/": ["dir/1.jpg", "dir/2.jpg"], "dir": ["dir"], "mark": ["mark/3.jpg"], "mark/": ["mark/3.jpg"]}
    for name, expected in {**within, "4.jpg/": ["4.jpg"], "5.jpg": ["5.jpg"]}.items():
        assert names(f"{bucket}/{name}", f"{bucket}/none*") == [*expected], name
        (tmp_path / "list").write_text(f"{bucket}/{name}")
        assert names(files_from=str(tmp_path / "list")) == [*expected], name


def test_a_file_is_no_folder_where_one_can_be_listed() -> None:
    store_of("memory://files").write("1.jpg", b"x")
    store_of("memory://files").write("2.jpg", b"")
    for name in ("memory://files/1.jpg/", "memory://files/2.jpg"):
        assert [item.source for item in found(name)] == [name.rstrip("/")]


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


def test_a_line_of_a_bucket_that_is_not_there_fails_by_its_name(bucket: str, tmp_path: Path) -> None:
    (tmp_path / "list").write_text("\n".join(f"s3://none-of-it/{name}" for name in ("a/x.jpg", "a/b", "c.jpg/")))
    items = found(files_from=str(tmp_path / "list"))
    assert [(item.path, item.stage) for item in items] == [
        ("a/x.jpg", "read"),
        ("a/b", "discover"),
        ("c.jpg", "discover"),
    ]
    assert not found(files_from=str(tmp_path / "list"), exclude=("x.jpg",))[0].path.endswith("x.jpg")


def test_a_listed_folder_that_was_out_of_reach_is_no_failure_when_it_is_listed(
    bucket: str, pictures: Path, tmp_path: Path
) -> None:
    later, out = f"{bucket}-later", tmp_path / "out"
    (tmp_path / "list").write_text(f"{later}/photos")
    outcomes, _ = run(files_from=str(tmp_path / "list"), loader=fakes.FakeLoader(), output=out)
    assert [(outcome.path, outcome.status) for outcome in outcomes] == [("photos", "failed")]
    moto.make_bucket(moto.moto(), later.partition("://")[2])
    put(later, pictures, "photos/")
    assert len(run(files_from=str(tmp_path / "list"), loader=fakes.FakeLoader(), output=out)[0]) == 24
    assert not (out / "failures.jsonl").exists()


def test_the_marker_of_a_folder_is_no_second_image(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = ["d/t.jpg", "d/t.jpg-x.jpg", "d/t.jpg/in.jpg", "d/u.jpg"]
    for key in keys:
        store_of(bucket).write(key, b"x")
    for marker in ("d/", "d/t.jpg/"):
        moto.put_raw(bucket, marker, b"")
    assert [item.source for item in found(f"{bucket}/d")] == [f"{bucket}/{key}" for key in keys]
    moto.put_raw(bucket, "d//odd.jpg")  # has folders listed one by one
    images = [item for item in found(f"{bucket}/d") if not isinstance(item, ImageFailure)]
    assert sorted(item.source for item in images) == sorted(f"{bucket}/{key}" for key in keys)
    monkeypatch.setattr("yolocli.stores.objects.PAGE", 1)
    assert len(found(f"{bucket}/d")) == len(keys) + 1


def test_it_is_said_of_an_archive_that_it_must_lie_on_a_disk(bucket: str, tmp_path: Path) -> None:
    archive, said = f"{bucket}/photos.tar", "not read; archives must lie on a disk"
    store_of(bucket).write("photos.tar", b"x")
    notices: list[str] = []
    assert not list(Discovery(SourceConfig((bucket,)), notice=notices.append))
    assert notices == [f"{archive}: {said}"]
    (tmp_path / "list").write_text(archive)
    for (failure,) in (found(archive), found(files_from=str(tmp_path / "list"))):
        assert (failure.path, failure.error, failure.message) == ("photos.tar", "NotAnImage", said)


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
