"""WebSocket and WSS: a byte pipe where only HTTP gets through.

Messages are cut where it suits the sender and mean nothing; their bytes are one
stream.  aiohttp speaks the protocol, so here a task sends and a task receives
for each connection, which TCP needs not.

libp2p/specs websockets/README.md; RFC 6455.
"""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from shoal.errors import UsageError
from shoal.lazy import Lazy
from shoal.net.tasks import Tasks
from shoal.net.transport.seam import Pipe, Session
from shoal.net.transport.tcp import BACKLOG, Bound, family_of
from shoal.net.web import BINARY, Web
from shoal.peer.multiaddr import Multiaddr

if TYPE_CHECKING:
    from aiohttp import web
else:
    web = Lazy("aiohttp.web")

MESSAGE_MAX = 4 << 20  # bytes; js puts one muxer frame, up to a window, into a message
CLOSING = 2.0  # seconds for the closing handshake
REQUEST = 10.0  # seconds to ask for a WebSocket, and as many for TLS before that
WAITING_MAX = 128  # connections that have not asked yet; as many as may shake hands
PLAIN = ("ws",)
SECURE = (("tls", "ws"), ("wss",))


class Door:
    """Where strangers stand until they have asked for a WebSocket; the host counts them from then.

    aiohttp would let them stand there for ever.  When it is full the oldest has to go.
    """

    def __init__(self, served: Callable[[], Any]) -> None:
        self._served = served
        self._waiting: dict[Any, asyncio.TimerHandle] = {}  # by transport, oldest first

    def enter(self, transport: Any) -> None:
        while len(self._waiting) >= WAITING_MAX:
            self._expel(next(iter(self._waiting)))
        loop = asyncio.get_running_loop()
        self._waiting[transport] = loop.call_later(REQUEST, self._expel, transport)
        protocol = self._served()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)

    def leave(self, transport: Any) -> None:
        timer = self._waiting.pop(transport, None)
        if timer is not None:
            timer.cancel()

    def _expel(self, transport: Any) -> None:
        self.leave(transport)
        transport.abort()

    def close(self) -> None:
        for transport in list(self._waiting):
            self._expel(transport)


class Stranger(asyncio.Protocol):
    """A connection before aiohttp has it."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._door.enter(transport)


class WebSocket:
    """Bytes in WebSocket messages.

    `tls` checks servers that we dial (a context, or True for the usual
    authorities); `certificate` is what we show as one, for listening on WSS.
    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | bool = True,
        certificate: ssl.SSLContext | None = None,
    ) -> None:
        self._web = Web(tls=tls)
        self._certificate = certificate
        self._tasks = Tasks()
        self._servers: list[tuple[Door, Any]] = []

    def speaks(self, address: Multiaddr) -> bool:
        names = address.names
        return names[1:2] == ("tcp",) and (names[2:] == PLAIN or names[2:] in SECURE)

    async def dial(self, address: Multiaddr, pipe: Pipe) -> None:
        scheme = "ws" if address.names[2:] == PLAIN else "wss"
        host = f"[{address.host}]" if ":" in (address.host or "") else address.host
        socket = await self._web.socket(f"{scheme}://{host}:{address.port}/", limit=MESSAGE_MAX)
        messages = Messages(socket, pipe(), address, self._tasks)
        _ = self._tasks.start(messages.receive(), f"receive from {address}")

    async def listen(
        self, address: Multiaddr, pipe: Pipe, _session: Callable[[Session], None]
    ) -> Bound:
        secure = address.names[2:] in SECURE
        if secure and self._certificate is None:
            raise UsageError("listening on WSS needs a certificate")

        async def serve(request: "web.BaseRequest") -> "web.StreamResponse":
            socket = web.WebSocketResponse(max_msg_size=MESSAGE_MAX, compress=False)
            if not socket.can_prepare(request).ok or request.transport is None:
                refusal = web.Response(status=426, text="this is a WebSocket\n")
                refusal.force_close()
                return refusal
            door.leave(request.transport)
            await socket.prepare(request)
            name = request.transport.get_extra_info("peername")
            remote = Multiaddr.of(name[0], name[1]) / suffix
            await Messages(socket, pipe(), remote, self._tasks).receive()
            return socket

        suffix = "/".join(address.names[2:])
        served = web.Server(serve)
        door = Door(served)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: Stranger(door),
            address.host,
            address.port or 0,
            family=family_of(address),
            backlog=BACKLOG,
            ssl=self._certificate if secure else None,
            ssl_handshake_timeout=REQUEST if secure else None,
        )
        self._servers.append((door, served))
        names = [socket.getsockname()[:2] for socket in server.sockets]
        return Bound(server, [Multiaddr.of(*name) / suffix for name in names])

    async def aclose(self) -> None:
        await self._tasks.aclose()
        for door, served in self._servers:
            door.close()
            await served.shutdown(0)
        await self._web.aclose()


class Messages:
    """One WebSocket as the transport of a protocol."""

    def __init__(
        self, socket: Any, protocol: asyncio.BufferedProtocol, remote: Multiaddr, tasks: Tasks
    ) -> None:
        self._socket = socket
        self._protocol: Any = protocol
        self._remote = remote
        self._high, self._low = 65536, 16384
        self._waiting: list[Any] = []  # what is still to be sent
        self._size = 0
        self._paused = False
        self._closing = self._lost = False
        self._more = asyncio.Event()  # something to send, or the end
        self._reading = asyncio.Event()
        self._reading.set()
        self._receiver: asyncio.Task[Any] | None = None
        self._sender = tasks.start(self._send(), f"send to {remote}")
        protocol.connection_made(self)  # type: ignore[arg-type]

    # As a transport

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "multiaddr":
            return self._remote
        return self._socket.get_extra_info(name, default)

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        self._high, self._low = high, low

    def get_write_buffer_size(self) -> int:
        return self._size

    def write(self, data: Any) -> None:
        self.writelines([data])

    def writelines(self, parts: list[Any]) -> None:
        if self._closing:
            return
        self._waiting += parts
        self._size += sum(map(len, parts))
        self._more.set()
        if self._size > self._high and not self._paused:
            self._paused = True
            self._protocol.pause_writing()

    def pause_reading(self) -> None:
        self._reading.clear()

    def resume_reading(self) -> None:
        self._reading.set()

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        """After what waits has been sent."""
        self._closing = True
        self._more.set()
        self._reading.set()

    def abort(self) -> None:
        self._closing = True
        self._sender.cancel()
        if self._receiver is not None and self._receiver is not asyncio.current_task():
            self._receiver.cancel()
        self._lose(None)

    def _lose(self, error: Exception | None) -> None:
        if not self._lost:
            self._lost = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, error)

    # The two tasks

    async def receive(self) -> None:
        """Until either side ends it."""
        self._receiver = asyncio.current_task()
        try:
            while not self._closing:
                await self._reading.wait()
                message = await self._socket.receive()
                if message.type != BINARY:
                    break
                self._protocol.feed(message.data)
        finally:
            self.close()
            await asyncio.wait([self._sender], timeout=CLOSING)
            self._lose(None)

    async def _send(self) -> None:
        try:
            while self._waiting or not self._closing:
                await self._more.wait()
                self._more.clear()
                parts, self._waiting = self._waiting, []
                data = b"".join(parts)
                if data:
                    await self._socket.send_bytes(data)
                self._sent(len(data))
        except (ConnectionError, RuntimeError):
            pass  # the other side has gone; the receiver sees it too
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSING):
                    await self._socket.close()

    def _sent(self, count: int) -> None:
        self._size -= count
        if self._paused and self._size <= self._low:
            self._paused = False
            self._protocol.resume_writing()
