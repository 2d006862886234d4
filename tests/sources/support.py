"""What tests of discovery share: a tree of files, and what is found in it."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

from yolocli.config import SourceConfig
from yolocli.results import ImageFailure, ImageRef
from yolocli.sources.discover import discover


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def find(*inputs: object, notices: list[str] | None = None, skip: Path | None = None, **options: object) -> list:
    config = SourceConfig(tuple(os.fspath(name) for name in inputs), **options)  # type: ignore[arg-type, call-overload]
    return list(discover(config, skip=skip, notice=(notices if notices is not None else []).append))


def paths(*inputs: object, **options: object) -> list[str]:
    """Names in the records, all of them files that can be read."""
    found = find(*inputs, **options)
    assert all(isinstance(item, ImageRef) for item in found), found
    return [item.path for item in found]


def named(path: Path | str) -> str:
    """The name of a file that is named outright and lies outside the current folder."""
    return str(path).lstrip("/")


def failures(found: list) -> dict[str, ImageFailure]:
    return {item.path: item for item in found if isinstance(item, ImageFailure)}


ODD_NAMES = [b"with space.jpg", b"new\nline.jpg", b"-q.jpg", b"*[x]?.jpg", b"a\\b.jpg", b"\xff\xfe.jpg"]
ODD_NAMES += [b"caf\xc3\xa9.jpg"]
ODD_NAMES += [b"n" * 251 + b".jpg", b"'\"`$(x).jpg", b"\x1b[31m.jpg", b"\t.jpg", b"\xe2\x80\xa8.jpg", b"=1+1.jpg"]


@contextlib.contextmanager
def bounded_memory() -> Iterator[None]:
    """Fails where the block takes memory without bounds, and where it does not end; elsewhere than on Linux, not."""
    if sys.platform != "linux":
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + 2**28, hard))
    faulthandler.dump_traceback_later(60, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
