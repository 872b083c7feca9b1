"""HTTP and WebSocket, client and server, on aiohttp.

aiohttp's client opens sockets of its own, which a simulated loop does not have;
the connector here asks the loop for connections instead, so that the same client
runs in both worlds.  It overrides one private method of aiohttp 3.14, hence the
narrow pin in pyproject.toml and the tests of both.

A handler of the server gets a request and gives what `reply`, `begin` or
`accept` makes of it; when the client leaves it is cancelled.

aiohttp takes 200 ms to load: it is loaded when a client or server is first
made.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from shoal.errors import ClosedError, LimitError, ProtocolError, UnreachableError
from shoal.lazy import Lazy

if TYPE_CHECKING:
    import aiohttp
    import yarl
    from aiohttp import ClientResponse, ClientSession, ClientWebSocketResponse, web
else:
    aiohttp, web, yarl = Lazy("aiohttp"), Lazy("aiohttp.web"), Lazy("yarl")

CONNECTIONS_MAX = 500  # of one client, all hosts together
PER_HOST_MAX = 100  # connections to one host and port
BODY_MAX = 4 << 20  # bytes of an answer, unless the caller says otherwise
REDIRECTS_MAX = 5  # of a GET; a POST is not sent elsewhere
IDLE = 60.0  # seconds that an unused connection is kept
CHUNK = 1 << 16  # bytes read at a time
TEXT: Any = 0x1  # kinds of WebSocket messages: the opcodes of RFC 6455
BINARY: Any = 0x2
SERVED_MAX = 10_000  # connections of one server
SERVED_IDLE = 120.0  # seconds that a server waits for a connection's first or next request
HANDSHAKE = 10.0  # seconds for TLS
CLOSING = 1.0  # seconds for what is under way when a server closes

Handler = Callable[["web.BaseRequest"], Awaitable["web.StreamResponse"]]


class Web:
    """One client: `await web.get(url)`; close it with `aclose`.

    Failures before a request was sent are UnreachableError, later ones
    ClosedError: the request may have been carried out.  Timeouts are the
    caller's.
    """

    def __init__(self, *, tls: ssl.SSLContext | bool = True) -> None:
        self._tls = tls
        self._session: ClientSession | None = None

    async def aclose(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def get(
        self, url: str, *, limit: int = BODY_MAX, follow: bool = True
    ) -> tuple[int, bytes]:
        """Status and body, of where the answer sends us on to if we `follow`."""
        return await self.request("GET", url, limit=limit, follow=follow)

    async def post(
        self,
        url: str,
        body: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        limit: int = BODY_MAX,
    ) -> tuple[int, bytes]:
        return await self.request("POST", url, body=body, headers=headers, limit=limit)

    async def request(
        self,
        method: str,
        url: str,
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        limit: int = BODY_MAX,
        follow: bool = True,
    ) -> tuple[int, bytes]:
        """Status and body; LimitError when the body is longer than `limit` bytes."""
        session = self._open()
        with failures():
            async with session.request(
                method,
                yarl.URL(url, encoded=True),  # what is escaped already is not escaped again
                data=body,
                headers=headers,
                allow_redirects=follow and method == "GET",
                max_redirects=REDIRECTS_MAX,
            ) as response:
                parts = []
                size = 0
                async for part in response.content.iter_chunked(CHUNK):
                    size += len(part)
                    if size > limit:
                        response.close()
                        raise LimitError(f"{url} answers with over {limit} bytes")
                    parts.append(part)
                return response.status, b"".join(parts)

    def exchange(self, url: str, headers: Mapping[str, str]) -> "Exchange":
        """A POST whose body is written while its answer is read."""
        return Exchange(self._open(), url, headers)

    async def socket(
        self,
        url: str,
        *,
        limit: int,
        headers: Mapping[str, str] | None = None,
        heartbeat: float | None = None,
    ) -> "ClientWebSocketResponse":
        """A WebSocket whose messages have at most `limit` bytes.

        With a heartbeat it is closed when after so many seconds of silence, and
        half as many again, the server has not answered a ping.

        UnreachableError when nobody listens, ProtocolError when who does speaks
        no WebSocket.
        """
        try:
            return await self._open().ws_connect(
                url,
                max_msg_size=limit,
                compress=0,
                autoping=True,
                headers=headers,
                heartbeat=heartbeat,
            )
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL) as error:
            raise UnreachableError(f"{error}") from error
        except aiohttp.ClientResponseError as error:
            raise ProtocolError(f"{url} speaks no WebSocket: {error.message}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise UnreachableError(f"{type(error).__name__}: {error}") from error

    def _open(self) -> "ClientSession":
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=connector_class()(
                    limit=CONNECTIONS_MAX,
                    limit_per_host=PER_HOST_MAX,
                    keepalive_timeout=IDLE,
                    ssl=self._tls,
                    use_dns_cache=False,
                ),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                auto_decompress=True,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


class Exchange:
    """A POST whose body and answer flow at the same time, each as fast as it is taken."""

    def __init__(self, session: "ClientSession", url: str, headers: Mapping[str, str]) -> None:
        self._parts: asyncio.Queue[bytes | None] = asyncio.Queue(1)
        self._begun = asyncio.Event()  # connected, or failed
        self._over = False  # nobody takes what is written
        self._answering = asyncio.create_task(self._ask(session, url, headers))

    async def connect(self) -> None:
        """Until the server has the head of our request; UnreachableError, ClosedError."""
        await self._begun.wait()
        if self._answering.done():
            self._answering.result()

    async def status(self) -> int:
        """Of the answer, once it begins."""
        return (await asyncio.shield(self._answering)).status

    async def read(self) -> bytes:
        """What has come of the answer; empty at its end."""
        response = await asyncio.shield(self._answering)
        with failures():
            return await response.content.readany()

    async def write(self, data: bytes) -> None:
        if not self._over:
            await self._parts.put(data)
        if self._over:
            self._end()
            raise ClosedError("the server takes no more")

    async def close_write(self) -> None:
        """That was all of the body."""
        if not self._over:
            await self._parts.put(None)

    async def aclose(self) -> None:
        """Cut the connection if anything is left to read or to write; safe twice."""
        self._answering.cancel()
        (answer,) = await asyncio.gather(self._answering, return_exceptions=True)
        if not isinstance(answer, BaseException):
            answer.close()
        self._end()

    async def _ask(
        self, session: "ClientSession", url: str, headers: Mapping[str, str]
    ) -> "ClientResponse":
        try:
            with failures():
                return await session.request(
                    "POST",
                    yarl.URL(url, encoded=True),
                    data=self._body(),
                    headers=headers,
                    allow_redirects=False,
                )
        except BaseException:
            self._end()
            raise
        finally:
            self._begun.set()

    async def _body(self) -> AsyncIterator[bytes]:
        self._begun.set()
        try:
            yield b""  # nothing yet, but the head leaves
            while (part := await self._parts.get()) is not None:
                yield part
        finally:
            self._end()

    def _end(self) -> None:
        """Let those go on who wait to write."""
        self._over = True
        while not self._parts.empty():
            self._parts.get_nowait()


class WebServer:
    """`port = await server.listen(host, port)`, as often as you like; then `aclose`."""

    def __init__(
        self,
        handle: Handler,
        *,
        tls: ssl.SSLContext | None = None,
        connections: int = SERVED_MAX,
        closing: float = CLOSING,
    ) -> None:
        self._handle = handle
        self._tls = tls
        self._connections = connections
        self._closing = closing
        self._listening: list[asyncio.Server] = []
        self._served: web.Server | None = None

    async def listen(self, host: str, port: int = 0) -> int:
        """Accept connections at an address, port 0: any free one; the port."""
        self._start()
        try:
            listening = await asyncio.get_running_loop().create_server(
                self._meet,
                host,
                port,
                ssl=self._tls,
                ssl_handshake_timeout=HANDSHAKE if self._tls else None,
            )
        except OSError as error:
            reasons = {f"{host}:{port}": str(error)}
            raise UnreachableError("cannot listen there", reasons) from error
        self._listening.append(listening)
        found: int = listening.sockets[0].getsockname()[1]
        return found

    async def listen_unix(self, path: str) -> None:
        """Accept connections of this user at a path, instead of whatever socket lies there."""
        self._start()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with suppress(FileNotFoundError):
                os.unlink(path)
            listener.bind(path)
            os.chmod(path, 0o600)  # nobody gets in before it listens
            loop = asyncio.get_running_loop()
            listening = await loop.create_unix_server(self._meet, sock=listener)
        except OSError as error:
            listener.close()
            raise UnreachableError("cannot listen there", {path: str(error)}) from error
        self._listening.append(listening)

    def _start(self) -> None:
        if self._served is None:
            self._served = web.Server(
                self._handle,
                handler_cancellation=True,
                keepalive_timeout=SERVED_IDLE,
                access_log=None,
            )

    async def aclose(self) -> None:
        """Listen no more, and end what does not end by itself; safe twice."""
        for listening in self._listening:
            listening.close()
        self._listening.clear()
        served, self._served = self._served, None
        if served is not None:
            served.pre_shutdown()
            await served.shutdown(self._closing)

    def _meet(self) -> asyncio.BaseProtocol:
        served = self._served
        full = served is None or len(served.connections) >= self._connections
        return Full() if full or served is None else served()


class Full(asyncio.Protocol):
    """A connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.abort()  # type: ignore[attr-defined]


def wants_socket(request: "web.BaseRequest") -> bool:
    """Whether this asks for a WebSocket."""
    return request.headers.get("Upgrade", "").lower() == "websocket"


async def accept(request: "web.BaseRequest", *, limit: int) -> "web.WebSocketResponse":
    """The WebSocket that was asked for; messages have at most `limit` bytes."""
    socket = web.WebSocketResponse(compress=False, max_msg_size=limit)
    await socket.prepare(request)
    return socket


def certificate_of(request: "web.BaseRequest") -> bytes:
    """What the caller has shown over TLS, in DER; empty if it has shown nothing."""
    tls = request.transport and request.transport.get_extra_info("ssl_object")
    return (tls and tls.getpeercert(binary_form=True)) or b""


async def read_body(request: "web.BaseRequest", *, limit: int) -> bytes:
    """All of a request's body; LimitError when it is longer than `limit` bytes."""
    parts = []
    size = 0
    async for part in request.content.iter_any():
        size += len(part)
        if size > limit:
            raise LimitError(f"a request of over {limit} bytes")
        parts.append(part)
    return b"".join(parts)


def reply(
    body: bytes = b"",
    *,
    status: int = 200,
    kind: str = "application/octet-stream",
    headers: Mapping[str, str] | None = None,
) -> "web.Response":
    """A whole answer, for the handler to return; `kind` is its content type."""
    return web.Response(body=body, status=status, headers={"Content-Type": kind, **(headers or {})})


async def begin(
    request: "web.BaseRequest", *, status: int = 200, headers: Mapping[str, str] | None = None
) -> "web.StreamResponse":
    """The head of an answer whose body follows with `write`; the handler returns it."""
    answer = web.StreamResponse(status=status, headers=headers)
    await answer.prepare(request)
    return answer


@contextmanager
def failures() -> Iterator[None]:
    """Aiohttp's errors as ours: before a request was sent, and later."""
    try:
        yield
    except (aiohttp.ClientConnectorError, aiohttp.InvalidURL) as error:
        raise UnreachableError(f"{error}") from error
    except (aiohttp.ClientError, OSError) as error:
        raise ClosedError(f"{type(error).__name__}: {error}") from error


@cache
def connector_class() -> Any:
    """An aiohttp connector that opens its connections through the running loop."""

    class LoopConnector(aiohttp.TCPConnector):
        """Tries the addresses in their order, each with `loop.create_connection`."""

        async def _wrap_create_connection(self, *args: Any, addr_infos: Any, **kwargs: Any) -> Any:
            failure: aiohttp.ClientConnectorError | None = None
            for _, _, _, _, address in addr_infos:
                kwargs |= {"host": address[0], "port": address[1]}
                try:
                    return await self._wrap_existing_connection(*args, **kwargs)
                except aiohttp.ClientConnectorError as error:
                    failure = error
            raise failure or OSError("the name has no address")

    return LoopConnector
