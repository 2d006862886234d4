from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest

from tests.stores import moto
from tests.support import REPOSITORY, write_image


@pytest.fixture
def bucket() -> str:
    """The URL of an empty bucket of a store that speaks S3."""
    endpoint, name = moto.moto(), f"bucket-{uuid4()}"
    moto.use(endpoint)
    moto.make_bucket(endpoint, name)
    return f"s3://{name}"


@pytest.fixture
def proxy(bucket: str) -> Iterator[Callable[..., str]]:
    """Puts a proxy before the store, with what goes wrong in it as options; this process goes through it, too."""
    with ExitStack() as stack:

        def start(*options: str) -> str:
            port = moto.free_port()
            command = [sys.executable, "-m", "tests.stores.proxy", str(port), "--to", moto.moto(), *options]
            moto.use(stack.enter_context(moto.served(command, port, cwd=REPOSITORY)))
            return bucket

        yield start


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two dozen small pictures in folders."""
    folder = tmp_path / "pictures"
    for number in range(24):
        file = folder / f"{number % 3}" / f"{number:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        write_image(file, width=40 + number, value=90 + number)
    return folder


@pytest.fixture(autouse=True)
def _no_store_is_remembered() -> Iterator[None]:
    """A store keeps the address that it was opened with, and other tests have others."""
    from yolocli import stores

    stores._opened.cache_clear()
    yield
    stores._opened.cache_clear()
