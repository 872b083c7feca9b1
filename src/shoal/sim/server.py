"""Listening: servers of simulated hosts, and the handshake that leads to them.

A dial sends a SYN and repeats it with doubling pauses.  Nobody home: silence, and
after 127 seconds ETIMEDOUT.  Somebody home who does not listen: a reset, so
ECONNREFUSED after a round trip.  A listener answers; the dialler's third step,
or its first bytes, make the listener accept.
"""

import asyncio
import socket
import sys
from collections.abc import Callable
from contextvars import Context, copy_context
from errno import EADDRINUSE, EADDRNOTAVAIL, ECONNREFUSED, ETIMEDOUT
from typing import TYPE_CHECKING, Any

from shoal.sim.resolve import ANY, LOOPBACK, Address, shown
from shoal.sim.stream import StreamTransport
from shoal.sim.tcp import FRAME, RTO_FIRST, SYN_RETRIES

if TYPE_CHECKING:
    from shoal.sim.host import Host
    from shoal.sim.loop import SimLoop


class Listener:
    """One listening socket; also what `Server.sockets` shows."""

    type = socket.SOCK_STREAM
    proto = socket.IPPROTO_TCP
    ip: str
    port: int

    def __init__(self, server: "Server", host: "Host", local: Address, family: int, share: bool):
        ip, port = local
        if ip not in (ANY, LOOPBACK, host.ip):
            raise OSError(EADDRNOTAVAIL, f"{ip} is not an address of host {host.name}")
        if host.listeners is None:
            host.listeners = {}
        port = port or host.free_port(host.listeners)
        others = host.listeners.setdefault(port, [])
        if not share and any(ANY in (ip, other.ip) or ip == other.ip for other in others):
            raise OSError(EADDRINUSE, f"TCP port {port} of host {host.name} is taken")
        others.append(self)
        self.server = server
        self.host = host
        self.ip = ip
        self.port = port
        self.family = family

    def getsockname(self) -> Any:
        return shown((self.ip, self.port), self.family)

    def fileno(self) -> int:
        return -1

    def accept(self, transport: StreamTransport) -> None:
        self.server.accept(transport)

    def close(self) -> None:
        others = (self.host.listeners or {}).get(self.port, [])
        if self in others:
            others.remove(self)
            if not others and self.host.listeners is not None:
                del self.host.listeners[self.port]


class Server(asyncio.AbstractServer):
    """What `create_server` returns."""

    def __init__(self, loop: "SimLoop", factory: Callable[[], Any]):
        self._loop = loop
        self._factory = factory
        self._context = copy_context()
        self._listeners: list[Listener] = []
        self._serving = False
        self._closed = False
        self._connections: dict[StreamTransport, None] = {}
        self._waiters: list[asyncio.Future[None]] = []
        self._forever: asyncio.Future[None] | None = None

    def listen(self, host: "Host", local: Address, family: int, *, share: bool) -> int:
        listener = Listener(self, host, local, family, share)
        self._listeners.append(listener)
        return listener.port

    @property
    def context(self) -> Context:
        return self._context

    @property
    def sockets(self) -> tuple[Any, ...]:
        return () if self._closed else tuple(self._listeners)

    def accept(self, transport: StreamTransport) -> None:
        """A handshake is complete."""
        self._connections[transport] = None
        try:
            protocol = self._context.run(self._factory)
            transport.begin(protocol)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            message = "Error on transport creation for incoming connection"
            self._loop.call_exception_handler({"message": message, "exception": error})
            transport.abort()

    def lost(self, transport: StreamTransport) -> None:
        self._connections.pop(transport, None)
        self._wake()

    def _wake(self) -> None:
        if self._closed and not self._connections:
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)
            self._waiters.clear()

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def is_serving(self) -> bool:
        return self._serving and not self._closed

    async def start_serving(self) -> None:
        self._serving = True
        await asyncio.sleep(0)

    def begin(self) -> None:
        self._serving = True

    async def serve_forever(self) -> None:
        if self._forever is not None:
            raise RuntimeError(f"server {self!r} is already being awaited on serve_forever()")
        if self._closed:
            raise RuntimeError(f"server {self!r} is closed")
        self._serving = True
        self._forever = self._loop.create_future()
        try:
            await self._forever
        except asyncio.CancelledError:
            try:
                self.close()
                await self.wait_closed()
            finally:
                raise
        finally:
            self._forever = None

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._serving = False
        for listener in self._listeners:
            listener.close()
        if self._forever is not None and not self._forever.done():
            self._forever.cancel()
        self._wake()

    def close_clients(self) -> None:
        for transport in list(self._connections):
            transport.close()

    def abort_clients(self) -> None:
        for transport in list(self._connections):
            transport.abort()

    async def wait_closed(self) -> None:
        """Until the last connection has ended; on Python 3.11 not at all, as there."""
        if sys.version_info < (3, 12) or (self._closed and not self._connections):
            return
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        await waiter


class Dial:
    """One attempt to connect; `outcome` becomes our end of the connection."""

    def __init__(self, host: "Host", local: Address, remote: Address, family: int):
        self.outcome: asyncio.Future[StreamTransport] = host.loop.create_future()
        self._host = host
        self._loop = host.loop
        self._network = host.network
        self._local = local
        self._remote = remote
        self._family = family
        self._context = copy_context()
        self._life = host.life
        self._answered: tuple[StreamTransport, StreamTransport] | None = None
        self.outcome.add_done_callback(self._ended)
        self._syn(0)

    def _syn(self, attempt: int) -> None:
        if self.outcome.done() or not self._life.alive:
            return
        if attempt > SYN_RETRIES:
            error = TimeoutError(ETIMEDOUT, f"Connect call failed {self._remote}")
            self.outcome.set_exception(error)
            return
        door = self._network.door(self._host, self._remote[0])
        if door is not None:
            arrival = self._network.carry(self._host, door, FRAME)
            if arrival is not None:
                self._loop.post(arrival, self._knock, (door,))
        again = self._loop.now + RTO_FIRST * 2**attempt
        self._loop.post(again, self._syn, (attempt + 1,))

    def _knock(self, door: "Host") -> None:
        """The SYN has arrived."""
        if self.outcome.done():
            return
        network = self._network
        seen = network.seen_as(self._host, self._local, self._remote, "tcp")
        inside = network.behind(door, self._host, self._remote, seen, "tcp")
        if inside is None:
            return
        target, port = inside
        if not target.alive or not network.reaches(self._host, target):
            return
        network.arrived("syn", self._host, target, 0)
        if self._answered is None:
            listener = self._find(target, port)
            if listener is None:
                when = self._loop.now + network.delay(target, self._host)
                self._loop.post(when, self._refuse, (target,))
                return
            self._answered = self._make_ends(listener, target, port, seen)
        arrival = network.carry(target, self._host, FRAME)
        if arrival is not None:
            self._loop.post(arrival, self._establish, (target,))

    def _find(self, target: "Host", port: int) -> Listener | None:
        for listener in reversed((target.listeners or {}).get(port, [])):
            local = self._remote[0].startswith("127.")
            if listener.server.is_serving() and (
                listener.ip == ANY or (listener.ip == LOOPBACK) == local
            ):
                return listener
        return None

    def _make_ends(
        self, listener: Listener, target: "Host", port: int, seen: Address
    ) -> tuple[StreamTransport, StreamTransport]:
        ours = StreamTransport(self._host, self._local, self._remote, self._family, self._context)
        ip = self._remote[0] if target.nat is None else target.ip
        theirs = StreamTransport(target, (ip, port), seen, listener.family, listener.server.context)
        theirs.listener = listener
        ours.join(theirs)
        return ours, theirs

    def _establish(self, target: "Host") -> None:
        """The answer to the SYN is back."""
        if not self._life.alive or not self._network.reaches(target, self._host):
            return
        assert self._answered is not None
        ours = self._answered[0]
        if not self.outcome.done():
            self.outcome.set_result(ours)

    def _ended(self, outcome: "asyncio.Future[StreamTransport]") -> None:
        """Given up after the SYN was answered: neither end has been handed to anybody."""
        if self._answered is not None and (outcome.cancelled() or outcome.exception()):
            self._answered[0].unmake()

    def _refuse(self, target: "Host") -> None:
        if not self.outcome.done() and self._network.reaches(target, self._host):
            error = ConnectionRefusedError(ECONNREFUSED, f"Connect call failed {self._remote}")
            self.outcome.set_exception(error)
