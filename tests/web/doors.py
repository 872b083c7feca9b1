"""A node with a door, and raw requests to it: for the tests of both sides."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from shoal.config import Config
from shoal.node import Node
from shoal.web.server import Door
from shoal.web.settings import DaemonSettings


@asynccontextmanager
async def door(home: Path, **settings: Any) -> AsyncIterator[Door]:
    kinds = [DaemonSettings(**settings)]
    config = Config(profile="local", home=str(home), dht=[], settings=kinds)
    async with Node(config, keep=True, listen=[]) as node, Door(node) as door:
        yield door


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def ask(
    door: Door,
    method: str,
    path: str,
    body: bytes = b"",
    *,
    unix: bool = False,
    token: str | None = "right",
    host: str | None = None,
    **headers: str,
) -> Answer:
    """One request as its bytes are on the wire; `token=None` sends none."""
    where = door.url.removeprefix("http://")
    lines = [f"{method} {path} HTTP/1.1", f"Host: {where if host is None else host}"]
    lines += [f"Content-Length: {len(body)}", "Connection: close"]
    if token is not None and not unix:
        given = door._token if token == "right" else token
        lines.append(f"Authorization: Bearer {given}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    reader, writer = await connect(door, unix=unix)
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    async with asyncio.timeout(10):
        raw = await reader.read()
    writer.close()
    return parse(raw)


async def connect(door: Door, *, unix: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if unix:
        return await asyncio.open_unix_connection(door.socket)
    host, _, port = door.url.removeprefix("http://").partition(":")
    return await asyncio.open_connection(host, int(port))


def parse(raw: bytes) -> Answer:
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *rest = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in rest)
    if headers.get("transfer-encoding") == "chunked":
        parts = []
        while body:
            size, _, body = body.partition(b"\r\n")
            parts.append(body[: int(size, 16)])
            body = body[int(size, 16) + 2 :]
        body = b"".join(parts)
    return Answer(int(first.split()[1]), headers, body)
