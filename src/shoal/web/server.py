"""The daemon's door: the table of verbs over HTTP.

Two ways in: a unix socket that only this user can open, and, if set, loopback
HTTP for whoever has the token, which is new at each start and lies in a file
that only this user can read.  There is no password to forget to change.

A page in a browser on this machine could send requests to loopback, or make
its own name point there (DNS rebinding): requests that name another Host, or
an Origin, other than this door are refused before anything is read.

    POST /v1/VERB     arguments as JSON; each event is a line of JSON,
                      or a server-sent event for who accepts those
    GET  /v1/VERB     the same for verbs that only look; arguments in the query
    GET  /metrics     for Prometheus
    GET  /openapi.json
"""

import asyncio
import json
import logging
import os
from collections.abc import AsyncGenerator
from functools import partial
from hmac import compare_digest
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import msgspec

from shoal.errors import (
    ConfigError,
    LimitError,
    NotFoundError,
    ShoalError,
    UnreachableError,
    UsageError,
)
from shoal.metrics import CONTENT_TYPE
from shoal.net.web import WebServer, begin, read_body, reply
from shoal.node import Node
from shoal.swarm.torrent import METAINFO_MAX
from shoal.web.client import FOLDER, INFO, SOCKET, SOCKET_PATH_MAX, TOKEN
from shoal.web.openapi import describe
from shoal.web.settings import DaemonSettings
from shoal.web.verbs import VERBS, Verb

if TYPE_CHECKING:
    from aiohttp import web

LOOPBACK = "127.0.0.1"
OUR_NAMES = ("127.0.0.1", "localhost", "::1")
BODY_MAX = METAINFO_MAX * 4 // 3 + 65536  # bytes: a torrent in base64, and the rest
CONNECTIONS_MAX = 64  # through each way in
WRITE_PATIENCE = 30.0  # seconds until a reader who does not read is cut off
SECRET = 0o600
JSON, LINES, EVENTS = "application/json", "application/x-ndjson", "text/event-stream"
STATUS: list[tuple[type[ShoalError], int]] = [  # the first that fits
    (NotFoundError, 404), (UnreachableError, 502), (UsageError, 400), (LimitError, 413),
]  # fmt: skip
log = logging.getLogger(__name__)


class Door:
    """`async with Door(node) as door`; the node has a home."""

    def __init__(self, node: Node) -> None:
        assert node.home is not None, "the socket lies in it"
        measure(node)
        self.node = node
        self.folder = os.path.join(node.home.path, FOLDER)
        self.socket = ""  # the path of the unix socket
        self.url = ""  # of loopback HTTP
        self._settings = node.config.of(DaemonSettings)
        self._token = node.rng.randbytes(32).hex()
        self._inside = WebServer(partial(self._handle, None), connections=CONNECTIONS_MAX)
        self._outside = WebServer(partial(self._handle, self._token), connections=CONNECTIONS_MAX)

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _open(self) -> None:
        disk = self.node.disk
        await disk.make_folder(self.folder)
        await disk.run(os.chmod, self.folder, 0o700)
        await disk.replace(self._path(TOKEN), self._token.encode() + b"\n", SECRET)
        path = self._path(SOCKET)
        if len(os.fsencode(path)) <= SOCKET_PATH_MAX:
            await self._inside.listen_unix(path)
            self.socket = path
        elif self._settings.http:
            log.warning("%s is too long for a unix socket: commands use loopback HTTP", path)
        else:
            raise ConfigError(
                f"{path} is too long for a unix socket ({SOCKET_PATH_MAX} bytes at most): "
                "choose a shorter --home, or set daemon.http"
            )
        if self._settings.http:
            port = await self._outside.listen(LOOPBACK, self._settings.port)
            self.url = f"http://{LOOPBACK}:{port}"
        info = {
            "pid": os.getpid(), "socket": bool(self.socket), "url": self.url,
            "profile": self.node.config.profile,
        }  # fmt: skip
        await disk.replace(self._path(INFO), json.dumps(info).encode() + b"\n", SECRET)

    async def aclose(self) -> None:
        """Close, and leave no files behind; safe twice."""
        await self._inside.aclose()
        await self._outside.aclose()
        for name in (INFO, SOCKET, TOKEN):
            if await self.node.disk.stat(self._path(name)):
                await self.node.disk.remove(self._path(name))

    def _path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    # Requests

    async def _handle(self, token: str | None, request: "web.BaseRequest") -> "web.StreamResponse":
        refused = refuse(request, token)
        if refused is not None:
            return refused
        try:
            return await self._route(request)
        except ShoalError as error:
            return failed(error)
        except ConnectionError:
            raise  # the asker has left
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            return failed(ShoalError("a mistake in Shoal: its log says more"))

    async def _route(self, request: "web.BaseRequest") -> "web.StreamResponse":
        way = (request.method, request.path)
        if way == ("GET", "/metrics"):
            return reply(self.node.metrics.text().encode(), kind=CONTENT_TYPE)
        if way == ("GET", "/openapi.json"):
            return reply(json.dumps(describe()).encode(), kind=JSON)
        name = request.path.removeprefix("/v1/")
        verb = VERBS.get(name) if request.path.startswith("/v1/") else None
        if verb is None:
            raise NotFoundError(f"there is no {request.path[:80]}: verbs are {', '.join(VERBS)}")
        if request.method != "POST" and (request.method != "GET" or not verb.looks):
            return reply(status=405, headers={"Allow": "GET, POST" if verb.looks else "POST"})
        return await self._run(request, verb, await arguments_of(request, verb))

    async def _run(
        self, request: "web.BaseRequest", verb: Verb, given: Any
    ) -> "web.StreamResponse":
        """The verb's events, one after another as the asker reads them."""
        events: AsyncGenerator[Any, None] = verb.run(self.node, given)
        sent_events = EVENTS in request.headers.get("Accept", "")
        write = as_event if sent_events else as_line
        kind = EVENTS if sent_events else LINES if len(verb.gives) > 1 else JSON
        try:
            first = await anext(events)  # what fails at once has a status of its own
            answer = await begin(
                request, headers={"Content-Type": kind, "Cache-Control": "no-store"}
            )
            await put(request, answer, write(first))
            try:
                async for event in events:
                    await put(request, answer, write(event))
            except ShoalError as error:
                await put(request, answer, write(record_of(error)))
        finally:
            await events.aclose()
        await answer.write_eof()
        return answer


def measure(node: Node) -> None:
    """What Prometheus hears of contents and DHTs, beside what the host counts."""
    jobs, metrics = node.swarm.jobs.all, node.metrics

    def total(name: str) -> float:
        return float(sum(getattr(job.progress(), name) for job in jobs.values()))

    metrics.gauge("uptime_seconds", "since the node started", lambda: node.host.now - node.began)
    metrics.gauge("swarm_transfers", "contents, running or not", lambda: len(jobs))
    says = {"peers": "connected", "down": "bytes a second, now", "up": "bytes a second, now"}
    for name, text in says.items():
        metrics.gauge(f"swarm_{name}", f"of all contents: {text}", partial(total, name))
    nodes = metrics.gauges("dht_nodes", "that the DHT knows", "network")
    for name in node.dht.networks:
        nodes.of(name).read = partial(dht_size, node, name)


def dht_size(node: Node, name: str) -> float:
    dht = node.dht.opened.get(name)
    return dht.size if dht is not None else 0


async def put(request: "web.BaseRequest", answer: "web.StreamResponse", data: bytes) -> None:
    """Write, and wait for the reader; one who does not read has no use for the rest."""
    try:
        async with asyncio.timeout(WRITE_PATIENCE):
            await answer.write(data)
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the reader was too slow") from None


def refuse(request: "web.BaseRequest", token: str | None) -> "web.Response | None":
    """The answer to who may not come in; None for who may."""
    try:
        host = urlsplit(f"//{request.headers.get('Host', '')}")
    except ValueError:
        return failed(UsageError("this door is asked as localhost only"), 421)
    origin = request.headers.get("Origin")
    if host.hostname not in OUR_NAMES:
        return failed(UsageError("this door is asked as localhost only"), 421)
    if origin is not None and origin != f"http://{host.netloc}":
        return failed(UsageError("pages from elsewhere may not come in"), 403)
    if token is None:
        return None
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and compare_digest(
        given.strip().encode(errors="replace"), token.encode()
    ):
        return None
    error = UsageError("a token is needed: `Authorization: Bearer` and what HOME/daemon/token has")
    return failed(error, 401, {"WWW-Authenticate": "Bearer"})


async def arguments_of(request: "web.BaseRequest", verb: Verb) -> Any:
    try:
        if request.method == "GET":
            return msgspec.convert(dict(request.query), verb.takes, strict=False)
        body = await read_body(request, limit=BODY_MAX)
        return msgspec.json.decode(body or b"{}", type=verb.takes)
    except msgspec.DecodeError as error:
        raise UsageError(f"wrong arguments: {error}") from None


def failed(
    error: ShoalError, status: int | None = None, headers: dict[str, str] | None = None
) -> "web.Response":
    found = next((code for kind, code in STATUS if isinstance(error, kind)), 500)
    return reply(as_line(record_of(error)), status=status or found, kind=JSON, headers=headers)


def record_of(error: ShoalError) -> dict[str, Any]:
    """What web/client.py makes the same error of."""
    return {
        "error": str(error.args[0]) if error.args else "", "kind": type(error).__name__,
        "reasons": getattr(error, "reasons", {}), "advice": error.advice,
    }  # fmt: skip


def as_line(event: Any) -> bytes:
    return msgspec.json.encode(event) + b"\n"


def as_event(event: Any) -> bytes:
    """Server-sent events, as the HTML standard has them."""
    record = msgspec.to_builtins(event)
    name = "error" if "kind" in record and "error" in record else record.get("event", "message")
    return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(event))
