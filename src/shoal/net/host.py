"""The host: listen, dial, open, handle.

One connection to each peer is in use.  Where two peers dial each other at
once, both keep the one that the smaller id dialled and retire the other: it
carries its streams to their end and no new ones.

A handler is called with each stream that a peer opens for its protocol, in a
task of its own; the stream is closed when the handler returns and reset when
it fails.
"""

import asyncio
from collections.abc import Awaitable, Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Protocol, Self, cast

from shoal.config import setting
from shoal.errors import ClosedError, LimitError, ProtocolError, ShoalError, UsageError
from shoal.net.accept import Acceptor
from shoal.net.buffers import Buffers
from shoal.net.connection import About, Connection, Link, address_of
from shoal.net.dialler import Dialler, DialSettings, Made
from shoal.net.limits import Limits, Scope
from shoal.net.stream import Stream
from shoal.net.tasks import Tasks
from shoal.net.transport.seam import Listening, Session, Transport
from shoal.net.upgrade import Offer, Result, Upgrade
from shoal.net.wire import Wire, WireSettings
from shoal.peer.id import PeerId
from shoal.peer.multiaddr import Multiaddr

RETIRED = 1.0  # seconds that a retired connection has for streams that are on their way
SIMULTANEOUS = 10.0  # seconds between connections that dialled each other; else the newer counts
PROBES = {"0.0.0.0": "192.0.2.1", "::": "2001:db8::1"}  # RFC 5737, RFC 3849: nobody's addresses
LOOPBACKS = {"0.0.0.0": "127.0.0.1", "::": "::1"}

Handler = Callable[[Stream], Awaitable[None]]
Target = PeerId | Multiaddr | str | Iterable[Multiaddr | str]
Watcher = Callable[[str, Connection], None]  # "connected" or "ended"


@dataclass(frozen=True, slots=True)
class HostSettings:
    """The host."""

    section: ClassVar[str] = "host"
    closing: float = setting(2.0, "to say goodbye when the node closes", unit="s", least=0)


class Book(Protocol):
    """What a host asks of an address book."""

    def addresses(self, peer: PeerId, now: float, /) -> list[Multiaddr]: ...

    def protocols(self, peer: PeerId, /) -> Container[str]: ...


class Host:
    """Connections and the streams on them."""

    def __init__(
        self,
        offer: Offer,
        transports: Sequence[Transport],
        *,
        settings: HostSettings | None = None,
        dial: DialSettings | None = None,
        limits: Limits | None = None,
        wires: WireSettings | None = None,
        allows: Callable[[str], bool] = lambda host: True,
        book: Book | None = None,
        known_only: Sequence[str] = (),
    ) -> None:
        self.id = PeerId.of(offer.key.public)
        self.offer = offer
        self.settings = settings or HostSettings()
        self.limits = limits or Limits()
        self.tasks = Tasks()
        self.protocols: dict[str, Handler] = {}  # what peers may open here
        self.watchers: list[Watcher] = []
        self.closed = False
        self._allows = allows  # whether a host may be dialled and listened on
        self._book = book
        self._transports = transports
        self._known_only = known_only  # security protocols proposed only to whom names them
        self._wires = wires or WireSettings()
        self._buffers = Buffers()
        self._listening: list[Listening] = []
        self._addresses: list[Multiaddr] = []
        self._peers: dict[PeerId, list[Connection]] = {}  # the one in use first
        self._dials: dict[PeerId, asyncio.Task[Connection]] = {}
        self._acceptor = Acceptor(
            offer,
            self.limits,
            self._pipe,
            partial(self._upgraded, False),
            lambda: self.connections,
        )
        self._dialler = Dialler(
            offer,
            transports,
            Made(self._pipe, partial(self._upgraded, True), partial(self._session, True)),
            self.tasks,
            settings=dial,
            allows=allows,
            preferred=self._preferred,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    # Listening

    @property
    def addresses(self) -> list[Multiaddr]:
        """Where we can be reached, each with our id."""
        return [address.with_peer(self.id) for address in self._addresses]

    async def listen(self, *addresses: Multiaddr | str) -> list[Multiaddr]:
        """Accept connections there; all our addresses, with the ports that were found."""
        for text in addresses:
            self._check_open()
            address = self._narrow(read_address(text) if isinstance(text, str) else text)
            if address.peer not in (None, self.id):
                raise UsageError(f"{address} is where another node listens")
            address = address.without_peer()
            try:
                listening = await self._dialler.transport(address).listen(
                    address, self._acceptor.accept, partial(self._session, False)
                )
            except (OSError, ValueError) as error:
                said = (getattr(error, "strerror", "") or str(error)).rpartition(": ")[2]
                raise UsageError(f"cannot listen at {address}: {said}") from error
            self._listening.append(listening)
            for bound in listening.addresses:
                self._addresses += await self._spread(bound)
        self._addresses = list(dict.fromkeys(self._addresses))
        return self.addresses

    def _narrow(self, address: Multiaddr) -> Multiaddr:
        """All interfaces are only loopback where nothing else is allowed."""
        host = address.host or ""
        if host not in LOOPBACKS or self._allows(host):
            return address
        return replace_host(address, LOOPBACKS[host])

    async def _spread(self, bound: Multiaddr) -> list[Multiaddr]:
        """An address that can be dialled for each interface of a wildcard."""
        host = bound.host or ""
        if host not in LOOPBACKS:
            return [bound]
        found = [LOOPBACKS[host]]
        loop = asyncio.get_running_loop()
        try:  # a connected datagram socket has the address that packets would leave from
            probe, _ = await loop.create_datagram_endpoint(
                asyncio.DatagramProtocol, remote_addr=(PROBES[host], 9)
            )
        except OSError:
            pass  # no route: this machine is on no network
        else:
            found.append(probe.get_extra_info("sockname")[0])
            probe.close()
        return [replace_host(bound, one) for one in found if self._allows(one)]

    @property
    def now(self) -> float:
        """Seconds, by the loop's clock."""
        return asyncio.get_running_loop().time()

    # Connections

    def _pipe(self, upgrade: Upgrade) -> Wire:
        wire = Wire(upgrade, settings=self._wires, buffers=self._buffers)
        upgrade.wire = wire
        return wire

    def _upgraded(
        self, initiator: bool, wire: Wire, result: Result, scope: Scope | None = None
    ) -> Connection:
        about = About(
            initiator=initiator,
            remote=address_of(wire.transport),
            security=result.security,
            muxer=result.muxer,
            opened=self.now,
        )
        connection = Connection(result.peer, result.core, wire, self, about)
        self._add(connection, scope)
        return connection

    def _session(self, initiator: bool, session: Session) -> Connection:
        opened = self.now
        about = About(initiator=initiator, remote=session.remote, opened=opened)
        connection = Connection(session.peer, session, cast("Link", session), self, about)
        self._add(connection, None)
        session.ended = connection.closed
        return connection

    def connection(self, peer: PeerId) -> Connection | None:
        """The connection in use to this peer."""
        known = self._peers.get(peer)
        return known[0] if known else None

    @property
    def connections(self) -> list[Connection]:
        return [one for many in self._peers.values() for one in many]

    def _add(self, connection: Connection, inbound: Scope | None) -> None:
        self._check_open()
        peer = connection.peer
        if peer == self.id:
            raise UsageError("this is our own id")
        connection.scope = self.limits.connection(peer.bytes)
        connection.inbound = inbound
        known = self._peers.setdefault(peer, [])
        known.append(connection)
        if len(known) > 1:
            self._choose(peer, known)
        for watcher in self.watchers:
            watcher("connected", connection)

    def _choose(self, peer: PeerId, known: list[Connection]) -> None:
        """Which connection takes new streams: both sides come to the same answer."""
        newest = max(one.about.opened for one in known)
        ours_first = self.id < peer

        def order(one: Connection) -> tuple[bool, bool, float]:
            about = one.about
            old = about.opened < newest - SIMULTANEOUS
            return old, about.initiator != ours_first, -about.opened

        known.sort(key=order)
        known[0].retired = False
        for one in known[1:]:
            if not one.retired:
                one.retired = True
                self._close_when_idle(one)

    def _close_when_idle(self, connection: Connection) -> None:
        asyncio.get_running_loop().call_later(RETIRED, self._check_idle, connection)

    def _check_idle(self, connection: Connection) -> None:
        if connection.ended or not connection.retired:
            return
        if connection.streams:
            self._close_when_idle(connection)
        else:
            connection.close()

    # As the owner of connections

    def admit(self, connection: Connection, stream: Stream) -> bool:
        try:
            connection.scope.take("streams")
        except LimitError:
            return False
        return True

    def agreed(self, connection: Connection, stream: Stream) -> None:
        scope = self.limits.protocol(stream.protocol)
        try:
            scope.take("streams")
        except LimitError as error:
            stream.reset(error)
            return
        stream.scope = scope
        connection.used_at = self.now
        handler = self.protocols[stream.protocol]
        _ = self.tasks.start(serve(handler, stream), stream.protocol)

    def released(self, connection: Connection, stream: Stream) -> None:
        connection.scope.give("streams")
        if stream.scope is not None:
            stream.scope.give("streams")

    def ended(self, connection: Connection, error: Exception | None) -> None:
        peer = connection.peer
        known = self._peers[peer]
        known.remove(connection)
        if known:
            self._choose(peer, known)
        else:
            del self._peers[peer]
        self.limits.release_connection(connection.scope, peer.bytes)
        if connection.inbound is not None:
            self.limits.release_pipe(connection.inbound)
        for watcher in self.watchers:
            watcher("ended", connection)

    def handle(self, protocol: str, handler: Handler | None = None) -> Any:
        """Call the handler with each stream that a peer opens for this protocol.

        Without a handler it is a decorator.
        """
        if handler is None:
            return partial(self.handle, protocol)
        self.protocols[protocol] = handler
        return handler

    # Dialling

    async def dial(self, target: Target) -> Connection:
        """The connection to a peer: the one that stands, or a new one.

        The target is a peer of the address book, one address or several.
        UnreachableError has the reason for each address.
        """
        self._check_open()
        peer, addresses = self._resolve(target)
        if peer is None:
            return await self._dialler.race(None, addresses)
        if peer == self.id:
            raise UsageError("this is our own id")
        standing = self.connection(peer)
        if standing is not None:
            return standing
        dialling = self._dials.get(peer)
        if dialling is None:
            dialling = self.tasks.start(self._dialler.race(peer, addresses), f"dial {peer}")
            self._dials[peer] = dialling
            dialling.add_done_callback(lambda _: self._dials.pop(peer, None))
        return await asyncio.shield(dialling)

    def _resolve(self, target: Target) -> tuple[PeerId | None, list[Multiaddr]]:
        if isinstance(target, str):
            target = read_address(target) if target.startswith("/") else read_id(target)
        if isinstance(target, PeerId):
            now = self.now
            return target, self._book.addresses(target, now) if self._book is not None else []
        many = [target] if isinstance(target, Multiaddr) else target
        addresses = [read_address(one) if isinstance(one, str) else one for one in many]
        peers = list(dict.fromkeys(one.peer for one in addresses if one.peer is not None))
        if len(peers) > 1:
            raise UsageError("these addresses name different peers")
        return peers[0] if peers else None, addresses

    def _preferred(self, peer: PeerId | None) -> list[str]:
        known: Container[str] = ()
        if peer is not None and self._book is not None:
            known = self._book.protocols(peer)
        names = list(self.offer.securities)
        return [name for name in names if name not in self._known_only or name in known] or names

    async def open(self, target: Target, protocols: str | Sequence[str]) -> Stream:
        """A stream to a peer for the first of these protocols that it speaks."""
        names = [protocols] if isinstance(protocols, str) else list(protocols)
        if not names:
            raise UsageError("no protocol to open a stream for")
        connection = await self.dial(target)
        try:
            return await connection.open(names)
        except ClosedError:
            if not (connection.ended or connection.retired):
                raise
        connection = await self.dial(target)  # it ended under our hands
        return await connection.open(names)

    # The end

    def _check_open(self) -> None:
        if self.closed:
            raise UsageError("the host is closed")

    async def aclose(self) -> None:
        """Say goodbye to all peers; safe twice."""
        self.closed = self._acceptor.closed = True
        for listening in self._listening:
            listening.close()
        self._listening.clear()
        for wire in list(self._acceptor.pipes):
            wire.abort(ClosedError("the host is closing"))
        await self.tasks.aclose()
        leaving = self.connections
        for connection in leaving:
            connection.close()
        try:
            async with asyncio.timeout(self.settings.closing):
                for connection in leaving:
                    await connection.wait_closed()
        except TimeoutError:
            for connection in leaving:
                connection.abort()
                await connection.wait_closed()
        for transport in self._transports:
            await transport.aclose()


async def serve(handler: Handler, stream: Stream) -> None:
    """One inbound stream, from agreement to end."""
    try:
        await handler(stream)
        await stream.close()
    except ShoalError as error:  # the peer's doing, as a rule; the handler chose not to care
        stream.reset(error)
    except TimeoutError:  # as a handler says by `asyncio.timeout` that a peer is too slow
        stream.reset()
    except BaseException:
        stream.reset()
        raise


def replace_host(address: Multiaddr, host: str) -> Multiaddr:
    rest = [f"{name}/{value}" if value else name for name, value in address.parts[1:]]
    version = 6 if ":" in host else 4
    return Multiaddr.parse("/".join(["", f"ip{version}", host, *rest]))


def read_address(text: str) -> Multiaddr:
    """An address as our user wrote it: a mistake in it is not a peer's."""
    try:
        return Multiaddr.parse(text)
    except ProtocolError as error:
        raise UsageError(
            f"{text!r} is no address such as /ip4/127.0.0.1/tcp/4001: {error}"
        ) from None


def read_id(text: str) -> PeerId:
    try:
        return PeerId.parse(text)
    except ProtocolError as error:
        raise UsageError(f"{text!r} is neither an address nor the id of a peer: {error}") from None
