"""A proxy before a store that makes it a bad day, and a small store that serves files, as fast as Python can.

`python -m tests.stores.proxy PORT --to URL --refuse 0.05 --cut 0.05 --latency 0.05`
`python -m tests.stores.proxy PORT --folder DIR --latency 0.05`
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import random
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

REFUSAL = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks for.

    Attributes:
        method: In capitals.
        target: Path and query, as they came.
        head: All of the head, its blank line, too.
        body: The content.
    """

    method: str
    target: str
    head: bytes
    body: bytes


@dataclass
class Day:
    """What goes wrong, for requests of objects.

    Attributes:
        refuse: Share that is answered by 503.
        cut: Share of answers whose connection ends in the middle of their body.
        slow: Share of answers that stop for a while in the middle.
        vanish: Keys that hold this are listed and are not there.
        latency: Seconds before any answer.
        careless: Conditions are not looked at.
    """

    refuse: float = 0.0
    cut: float = 0.0
    slow: float = 0.0
    vanish: str = ""
    latency: float = 0.0
    careless: bool = False
    luck: random.Random = field(default_factory=lambda: random.Random(7))


async def serve(port: int, answer: Callable[[Request], Awaitable[bytes]], day: Day) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await _request(reader)) is not None:
                if day.latency:
                    await asyncio.sleep(day.latency)
                if not await _answer(request, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(request: Request, writer: asyncio.StreamWriter) -> bool:
        """Answers, or not; False ends the connection."""
        key, luck = unquote(request.target.partition("?")[0]), day.luck.random()
        if day.vanish and day.vanish in key and request.method == "GET":
            writer.write(_response(404, b"<Error><Code>NoSuchKey</Code></Error>"))
            return True
        if luck < day.refuse:
            writer.write(_response(503, REFUSAL))
            return True
        if day.careless:
            request = replace(request, head=re.sub(rb"(?i)if-(none-)?match: .*\r\n", b"", request.head))
        data = await answer(request)
        head, _, body = data.partition(b"\r\n\r\n")
        reads = request.method == "GET" and len(body) > 1 and "list-type" not in request.target
        if reads and luck > 1 - day.cut:
            writer.write(head + b"\r\n\r\n" + body[: len(body) // 2])
            await writer.drain()
            return False
        if reads and luck > 1 - day.cut - day.slow:
            writer.write(head + b"\r\n\r\n" + body[: len(body) // 2])
            await writer.drain()
            await asyncio.sleep(0.5)
            writer.write(body[len(body) // 2 :])
        else:
            writer.write(data)
        await writer.drain()
        return True

    server = await asyncio.start_server(connected, "127.0.0.1", port, backlog=1000)
    async with server:
        await server.serve_forever()


async def _request(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    lower = head.lower()
    start = lower.find(b"content-length:")
    length = int(lower[start + 15 : lower.index(b"\r\n", start)]) if start >= 0 else 0
    method, target, _ = head.split(b" ", 2)
    return Request(method.decode(), target.decode(), head, await reader.readexactly(length) if length else b"")


def _response(status: int, body: bytes = b"", *headers: str, length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status} x", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def forward(url: str) -> Callable[[Request], Awaitable[bytes]]:
    """Asks another server, over a new connection each time."""
    parts = urlsplit(url)

    async def answer(request: Request) -> bytes:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(request.head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + request.body)
        await writer.drain()
        data = await reader.read()
        writer.close()
        return data.replace(b"Connection: close\r\n", b"", 1)

    return answer


def files(folder: Path) -> Callable[[Request], Awaitable[bytes]]:
    """Serves files as the objects of buckets, which are its sub-folders; whatever it serves once stays in memory."""
    held: dict[str, tuple[bytes, list[str]]] = {}
    keys: dict[str, list[str]] = {}

    async def answer(request: Request) -> bytes:
        path, _, query = request.target.partition("?")
        if "list-type" in query:
            return _listing(path.strip("/"), parse_qs(query))
        if path not in held:
            file = folder / unquote(path).strip("/")
            if not file.is_file():
                return _response(404, b"<Error><Code>NoSuchKey</Code></Error>")
            data = file.read_bytes()
            held[path] = (
                data,
                [f'ETag: "{hashlib.md5(data).hexdigest()}"', "Last-Modified: Wed, 21 Oct 2026 07:28:00 GMT"],
            )
        data, headers = held[path]
        return _response(200, b"" if request.method == "HEAD" else data, *headers, length=len(data))

    def _listing(bucket: str, query: dict[str, list[str]]) -> bytes:
        if bucket not in keys:
            root = folder / bucket
            keys[bucket] = sorted(str(file.relative_to(root)) for file in root.rglob("*") if file.is_file())
        prefix = query.get("prefix", [""])[0]
        after = query.get("continuation-token", query.get("start-after", [""]))[0]
        wanted = [key for key in keys[bucket] if key.startswith(prefix) and key > after]
        page, more = wanted[:1000], len(wanted) > 1000
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>2026-10-21T07:28:00.000Z</LastModified>"
            f'<ETag>"{hashlib.md5((folder / bucket / key).read_bytes()).hexdigest()}"</ETag>'
            f"<Size>{(folder / bucket / key).stat().st_size}</Size></Contents>"
            for key in page
        )
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        return _response(
            200,
            f"<ListBucketResult><Name>{bucket}</Name><IsTruncated>{str(more).lower()}</IsTruncated>{token}{entries}"
            "</ListBucketResult>".encode(),
        )

    return answer


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--to")
    parser.add_argument("--folder", type=Path)
    for name in ("refuse", "cut", "slow", "latency"):
        parser.add_argument(f"--{name}", type=float, default=0.0)
    parser.add_argument("--vanish", default="")
    parser.add_argument("--careless", action="store_true")
    given = parser.parse_args()
    day = Day(given.refuse, given.cut, given.slow, given.vanish, given.latency, given.careless)
    asyncio.run(serve(given.port, forward(given.to) if given.to else files(given.folder), day))


if __name__ == "__main__":
    main()
