"""A store that speaks S3 on this machine: moto's server, which lives in an environment of its own.

`make stores` makes it; YOLOCLI_TEST_MOTO names the server of another one.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support import REPOSITORY

MOTO = Path(os.environ.get("YOLOCLI_TEST_MOTO") or REPOSITORY / ".stores" / "bin" / "moto_server")
VARIABLES = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "not-a-secret",
    "AWS_REGION": "us-east-1",
}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def served(command: list[str], port: int, cwd: Path | None = None) -> Iterator[str]:
    """Runs a server until the block ends; gives its URL."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=cwd)
    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert process.poll() is None, command
            assert time.monotonic() < deadline, command
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


@cache
def moto() -> str:
    """Starts the server, once for all tests of a process; it ends with that. Skips where there is none."""
    import atexit

    if not MOTO.exists():
        pytest.skip("moto's server is not installed: make stores")
    port = free_port()
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(served([os.fspath(MOTO), "-p", str(port)], port))


def variables(endpoint: str) -> dict[str, str]:
    """Returns what has a process look for S3 there."""
    return VARIABLES | {"AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true"}


def use(endpoint: str) -> None:
    """Has this process, and what it starts, look for S3 there."""
    os.environ.update(variables(endpoint))


def make_bucket(endpoint: str, bucket: str) -> None:
    """Makes a bucket, if there is none of the name."""
    request = urllib.request.Request(f"{endpoint}/{bucket}", method="PUT")
    with contextlib.suppress(urllib.error.HTTPError), urllib.request.urlopen(request, timeout=30):
        pass


def put_raw(bucket: str, path: str, data: bytes = b"x") -> None:
    """Puts an object under a path that is sent as it is."""
    url = f"{os.environ['AWS_ENDPOINT_URL']}/{bucket.partition('://')[2]}/{path}"
    with urllib.request.urlopen(urllib.request.Request(url, data=data, method="PUT"), timeout=30):
        pass
