"""Serves named services to Grenache's callers: HTTP and WebSocket on one port.

    async with Link("http://127.0.0.1:30001") as link, RpcServer(link) as server:

        @server.service("fibonacci")
        async def fibonacci(n): ...

        @server.stream("upload")
        async def upload(stream): ...

        await server.announce()

One aiohttp application: a request that asks for an upgrade becomes a WebSocket
with many calls in flight, one whose headers say so a stream, any other is one
call.  A caller that leaves has its
calls cancelled.  An error of a service is an
answer (`[rid, "its text", null]`, status 200), since Node's callers hide the
body of anything else.
"""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from shoal.errors import LimitError, ProtocolError, ShoalError, UsageError
from shoal.net.web import (
    BINARY,
    TEXT,
    WebServer,
    accept,
    certificate_of,
    read_body,
    reply,
    wants_socket,
)
from shoal.rpc import grenache
from shoal.rpc.grenache import Caller, Request, StreamHead
from shoal.rpc.link import Link, check_name
from shoal.rpc.streams import ServedStream

if TYPE_CHECKING:
    from aiohttp import web

log = logging.getLogger(__name__)

HOST = "0.0.0.0"
CALLS_MAX = 1000  # of one connection at once; then it is read no further
STREAMS_MAX = 1000  # at once
ARRIVING = 60.0  # seconds for a request's body to arrive
NO_SERVICE = "ERR_SERVICE_NOTFOUND"  # the text for a name that is not served here
BAD_HEAD = "ERR_HEADER_PARSE_GR"  # Grenache's text for a stream whose head cannot be read

Handler = Callable[..., Any]
StreamHandler = Callable[[ServedStream], Awaitable[None]]


class RpcServer:
    """`async with RpcServer(link) as server`; port 0 takes a free one.

    With `tls` (`Certificates(...).server()`) it is an HTTPS and WSS server; `allows`
    says who may call: others are answered 401.
    """

    def __init__(
        self,
        link: Link | None = None,
        *,
        host: str = HOST,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        allows: Callable[[Caller], bool] = lambda caller: True,
    ) -> None:
        self.link = link
        self.host = host
        self.port = port
        self.calls = 0  # answered so far
        self._services: dict[str, tuple[Handler, bool]] = {}
        self._streams: dict[str, StreamHandler] = {}
        self._streaming = 0
        self._allows = allows
        self._web = WebServer(self._handle, tls=tls)
        self._open = False

    def service(self, name: str, *, caller: bool = False) -> Callable[[Handler], Handler]:
        """Offer a function, plain or async, under a name: payload in, answer out.

        If it wants to know the `caller`, that is its second argument.
        """

        def offer(handler: Handler) -> Handler:
            self._check(name)
            self._services[name] = handler, caller
            return handler

        return offer

    def stream(self, name: str) -> Callable[[StreamHandler], StreamHandler]:
        """Offer an async function that gets each stream to this name, which ends with it."""

        def offer(handler: StreamHandler) -> StreamHandler:
            self._check(name)
            self._streams[name] = handler
            return handler

        return offer

    def _check(self, name: str) -> None:
        if check_name(name) in self._services or name in self._streams:
            raise UsageError(f"{name} is served already")

    async def __aenter__(self) -> "RpcServer":
        self.port = await self._web.listen(self.host, self.port)
        self._open = True
        await self.announce()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        if not self._open:
            return
        self._open = False
        if self.link is not None:
            for name in (*self._services, *self._streams):
                await self.link.withdraw(name, self.port)
        await self._web.aclose()

    async def announce(self) -> None:
        """Tell the Grape of every service offered so far."""
        if self.link is not None and self._open:
            for name in (*self._services, *self._streams):
                await self.link.announce(name, self.port)

    async def _handle(self, request: "web.BaseRequest") -> "web.StreamResponse":
        caller = Caller(request.remote or "", certificate_of(request))
        if not self._allows(caller):
            return reply(status=401)
        if wants_socket(request):
            return await self._serve_socket(request, caller)
        try:
            head = grenache.decode_head(request.headers)
        except ProtocolError:
            return reply(grenache.encode_reply(None, BAD_HEAD, None), status=500)
        if head is not None and head.key not in self._services:
            return await self._serve_stream(request, head, caller)
        return await self._serve_request(request, head, caller)

    async def _serve_stream(
        self, request: "web.BaseRequest", head: StreamHead, caller: Caller
    ) -> "web.StreamResponse":
        """Bytes both ways, until the service returns."""
        stream = ServedStream(request, head, caller)
        handler = self._streams.get(head.key)
        if handler is None:
            return stream.fail(NO_SERVICE, 404)
        if self._streaming >= STREAMS_MAX:
            return stream.fail(f"{STREAMS_MAX} streams are open already", 503)
        self._streaming += 1
        try:
            await handler(stream)
            return await stream.end()
        except Exception as error:
            return stream.fail(text_of(head.key, error))
        finally:
            self._streaming -= 1

    async def _serve_request(
        self, request: "web.BaseRequest", head: StreamHead | None, caller: Caller
    ) -> "web.StreamResponse":
        """One call over HTTP; gzip where the caller says so."""
        try:
            async with asyncio.timeout(ARRIVING):  # for a caller that sends slowly or not at all
                body = await read_body(request, limit=grenache.MESSAGE_MAX)
        except (LimitError, TimeoutError) as error:
            return reply(str(error).encode(), status=413 if isinstance(error, LimitError) else 408)
        packed = request.headers.get("grc-compress") == "gzip"
        try:
            plain = grenache.decompress(body) if packed else body
            call = grenache.decode_body(plain, head) if head else grenache.decode_request(plain)
        except ProtocolError as error:
            answer = grenache.encode_reply(None, f"ERR_REQUEST_GENERIC: {error}", None)
        else:
            answer = await self.answer(call, caller)
        return reply(grenache.compress(answer) if packed else answer)

    async def _serve_socket(
        self, request: "web.BaseRequest", caller: Caller
    ) -> "web.StreamResponse":
        """Many calls over one WebSocket, answered in the order in which they end."""
        socket = await accept(request, limit=grenache.MESSAGE_MAX)
        room = asyncio.Semaphore(CALLS_MAX)

        async def call(text: str | bytes) -> None:
            try:
                try:
                    answer = await self.answer(grenache.decode_request(text), caller)
                except ProtocolError as error:
                    answer = grenache.encode_reply(None, f"ERR_REQUEST_GENERIC: {error}", None)
                if not socket.closed:
                    await socket.send_frame(answer, TEXT)
            except ConnectionError:
                log.debug("a caller left before its answer")
            finally:
                room.release()

        async with asyncio.TaskGroup() as group:
            calls: dict[asyncio.Task[None], None] = {}
            async for message in socket:
                if message.type not in (TEXT, BINARY):
                    break  # too long, or no WebSocket's
                await room.acquire()
                task = group.create_task(call(message.data))
                calls[task] = None
                task.add_done_callback(calls.pop)
            for task in calls:
                task.cancel()  # whoever called has left
        return socket

    async def answer(self, request: Request, caller: Caller) -> bytes:
        """Run one call; whatever the service raises is its answer's error."""
        self.calls += 1
        handler, wants_caller = self._services.get(request.key, (None, False))
        if handler is None:
            return grenache.encode_reply(request.rid, NO_SERVICE, None)
        try:
            result = handler(request.payload, *([caller] if wants_caller else []))
            if isawaitable(result):
                result = await result
            return grenache.encode_reply(request.rid, None, result)
        except Exception as error:
            return grenache.encode_reply(request.rid, text_of(request.key, error), None)


def text_of(name: str, error: Exception) -> str:
    """What a caller is told of a service that failed: the message only."""
    if not isinstance(error, ShoalError):
        log.error("service %s failed", name, exc_info=error)
    return str(error) or type(error).__name__
