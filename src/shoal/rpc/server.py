"""Serves named services to Grenache's callers: HTTP and WebSocket on one port.

    async with Link("http://127.0.0.1:30001") as link, RpcServer(link) as server:

        @server.service("fibonacci")
        async def fibonacci(n): ...

        await server.announce()

One aiohttp application: a request that asks for an upgrade becomes a WebSocket
with many calls in flight, any other is one call.  A caller that leaves has its
calls cancelled.  An error of a service is an
answer (`[rid, "its text", null]`, status 200), since Node's callers hide the
body of anything else.
"""

import asyncio
import logging
from collections.abc import Callable
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from shoal.errors import LimitError, ProtocolError, ShoalError, UsageError
from shoal.net.web import BINARY, TEXT, WebServer, accept, read_body, reply, wants_socket
from shoal.rpc import grenache
from shoal.rpc.grenache import Request
from shoal.rpc.link import Link, check_name

if TYPE_CHECKING:
    from aiohttp import web

log = logging.getLogger(__name__)

HOST = "0.0.0.0"
CALLS_MAX = 1000  # of one connection at once; then it is read no further
ARRIVING = 60.0  # seconds for a request's body to arrive
NO_SERVICE = "ERR_SERVICE_NOTFOUND"  # the text for a name that is not served here

Handler = Callable[[Any], Any]


class RpcServer:
    """`async with RpcServer(link) as server`; port 0 takes a free one."""

    def __init__(self, link: Link | None = None, *, host: str = HOST, port: int = 0) -> None:
        self.link = link
        self.host = host
        self.port = port
        self.calls = 0  # answered so far
        self._services: dict[str, Handler] = {}
        self._web = WebServer(self._handle)
        self._open = False

    def service(self, name: str) -> Callable[[Handler], Handler]:
        """Offer a function, plain or async, under a name: payload in, answer out."""
        check_name(name)

        def offer(handler: Handler) -> Handler:
            if name in self._services:
                raise UsageError(f"{name} is served already")
            self._services[name] = handler
            return handler

        return offer

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
            for name in self._services:
                await self.link.withdraw(name, self.port)
        await self._web.aclose()

    async def announce(self) -> None:
        """Tell the Grape of every service offered so far."""
        if self.link is not None and self._open:
            for name in self._services:
                await self.link.announce(name, self.port)

    async def _handle(self, request: "web.BaseRequest") -> "web.StreamResponse":
        if wants_socket(request):
            return await self._serve_socket(request)
        return await self._serve_request(request)

    async def _serve_request(self, request: "web.BaseRequest") -> "web.StreamResponse":
        """One call over HTTP; gzip where the caller says so."""
        try:
            async with asyncio.timeout(ARRIVING):  # for a caller that sends slowly or not at all
                body = await read_body(request, limit=grenache.MESSAGE_MAX)
        except (LimitError, TimeoutError) as error:
            return reply(str(error).encode(), status=413 if isinstance(error, LimitError) else 408)
        packed = request.headers.get("grc-compress") == "gzip"
        try:
            call = grenache.decode_request(grenache.decompress(body) if packed else body)
        except ProtocolError as error:
            answer = grenache.encode_reply(None, f"ERR_REQUEST_GENERIC: {error}", None)
        else:
            answer = await self.answer(call)
        return reply(grenache.compress(answer) if packed else answer)

    async def _serve_socket(self, request: "web.BaseRequest") -> "web.StreamResponse":
        """Many calls over one WebSocket, answered in the order in which they end."""
        socket = await accept(request, limit=grenache.MESSAGE_MAX)
        room = asyncio.Semaphore(CALLS_MAX)

        async def call(text: str | bytes) -> None:
            try:
                try:
                    answer = await self.answer(grenache.decode_request(text))
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

    async def answer(self, request: Request) -> bytes:
        """Run one call; whatever the service raises is its answer's error."""
        self.calls += 1
        handler = self._services.get(request.key)
        if handler is None:
            return grenache.encode_reply(request.rid, NO_SERVICE, None)
        try:
            result = handler(request.payload)
            if isawaitable(result):
                result = await result
            return grenache.encode_reply(request.rid, None, result)
        except ShoalError as error:
            return grenache.encode_reply(request.rid, str(error) or type(error).__name__, None)
        except Exception as error:
            log.exception("service %s failed", request.key)
            return grenache.encode_reply(request.rid, str(error) or type(error).__name__, None)
