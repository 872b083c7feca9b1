"""A node: the one place where everything meets.

    async with shoal.Node() as node:
        print(node.id, node.addresses)

It listens on TCP, proves who it is, introduces itself and answers pings; it
contacts nobody by itself.  Without a key it is somebody new each time; with
`keep=True` it has the identity that its home keeps.  Everything it does goes
through the loop it runs on, its disk, its `rng` and its `clock`, so that a node
runs unchanged in a simulated world.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

from shoal import __version__
from shoal.config import Config, setting
from shoal.dht.libp2p import values as libp2p_values
from shoal.dht.libp2p.service import Libp2pDht, Libp2pDhtSettings
from shoal.dht.mainline.service import open_mainline
from shoal.dht.mainline.values import Signer, get_value, put_value
from shoal.dht.mainline.words import Announced
from shoal.dht.networks import Network, Networks
from shoal.dht.service import Dht
from shoal.dht.settings import MainlineSettings
from shoal.discovery.neighbours import Neighbours
from shoal.discovery.presence import LanSettings
from shoal.disk import Disk
from shoal.errors import ConfigError, UsageError
from shoal.home import Home
from shoal.metrics import Metrics
from shoal.net.dialler import DialSettings
from shoal.net.host import Handler, Host, HostSettings, Target
from shoal.net.identify import PING
from shoal.net.introduction import Introduction, ping
from shoal.net.limits import Limits, LimitSettings
from shoal.net.measure import Measure
from shoal.net.mux import mplex, yamux
from shoal.net.secure import hybrid, noise, tls
from shoal.net.secure.payload import StaticKey
from shoal.net.transport.tcp import Tcp
from shoal.net.transport.udp import UdpSocket
from shoal.net.transport.websocket import WebSocket
from shoal.net.upgrade import Offer
from shoal.net.web import Web
from shoal.peer.book import SWEEP, Book
from shoal.peer.key import PrivateKey
from shoal.peer.multiaddr import Multiaddr
from shoal.rpc.finder import finders_of
from shoal.rpc.service import Services, ServiceSettings
from shoal.swarm.contents import Contents
from shoal.swarm.service import Swarm
from shoal.swarm.settings import SwarmSettings
from shoal.swarm.sources import DhtSource, LanSource, TrackerSource, fetch_by
from shoal.swarm.transfer import Source, Transfer

if TYPE_CHECKING:
    from shoal.net.connection import Connection
    from shoal.net.stream import Stream
    from shoal.peer.id import PeerId

NEIGHBOURS_ASKED = 8  # of those on the local network, when a DHT is joined
AGENT = f"shoal/{__version__}"
SECURITIES = ("hybrid", "noise", "tls")
MUXERS = ("yamux", "mplex")
TRANSPORTS: dict[str, Callable[[], Any]] = {"tcp": Tcp, "websocket": WebSocket}


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """What a node is made of; the first of each list is preferred."""

    section: ClassVar[str] = "net"
    transports: Sequence[str] = setting(
        tuple(TRANSPORTS), "how bytes travel", choices=tuple(TRANSPORTS)
    )
    security: Sequence[str] = setting(
        SECURITIES, "how peers prove who they are", choices=SECURITIES
    )
    muxers: Sequence[str] = setting(MUXERS, "how streams share a connection", choices=MUXERS)
    hybrid_protocol: str = setting(hybrid.PROTOCOL, "id of the post-quantum handshake, a draft")


SETTINGS = (
    NodeSettings,
    HostSettings,
    DialSettings,
    LimitSettings,
    yamux.YamuxSettings,
    mplex.MplexSettings,
    ServiceSettings,
    SwarmSettings,
    MainlineSettings,
    Libp2pDhtSettings,
    LanSettings,
)


class Node:
    """One peer among peers."""

    def __init__(
        self,
        config: Config | None = None,
        *,
        key: PrivateKey | None = None,
        keep: bool = False,
        listen: Sequence[str] | None = None,
        transports: Sequence[Any] | None = None,
        security: Sequence[str] | None = None,
        muxers: Sequence[str] | None = None,
        disk: Any = None,
        rng: random.Random | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.config = config or Config()
        self.rng = rng or random.SystemRandom()
        self.disk = disk or Disk()
        self._own_disk = disk is None  # one that was handed in outlives us
        self.clock = clock
        self.book = Book()
        self.metrics = Metrics()
        self.home: Home | None = Home(self.disk, self.config.home) if keep else None
        made_of = self.config.of(NodeSettings)
        self._hybrid = made_of.hybrid_protocol
        self._listen = self.config.listen if listen is None else listen
        self._transports = made_of.transports if transports is None else transports
        self._security = made_of.security if security is None else security
        self._muxers = made_of.muxers if muxers is None else muxers
        self._key = key or (None if keep else PrivateKey.generate(self.rng))
        self._handlers: dict[str, Handler] = {}
        self.services = self._make_services()
        self.service = self.services.service
        self.call = self.services.call
        self._web = Web()
        self.dht = Networks(choose_networks(self._networks(), self.config.dht))
        self.neighbours = self._make_neighbours()
        self.swarm = Contents(self._make_swarm, self.disk, self._local)
        self.share = self.swarm.share
        self.get = self.swarm.get
        self.fetch = self.swarm.fetch
        self._host: Host | None = None
        self._introduction: Introduction | None = None
        self._closed = False
        self.began = 0.0  # of the loop's seconds

    def _make_services(self) -> Services:
        return Services(
            lambda: self.host,
            self.handle,
            rng=self.rng,
            clock=self.clock,
            settings=self.config.of(ServiceSettings),
        )

    def _make_neighbours(self) -> Neighbours:
        return Neighbours(
            self.rng,
            self.book,
            lambda: self.addresses,
            settings=self.config.of(LanSettings),
            loopback_only=self.config.loopback_only,
            allows=self.config.allows,
        )

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def start(self) -> None:
        """Take the home, listen; `async with` does it."""
        if self._host is not None or self._closed:
            raise UsageError("a node starts once")
        try:
            await self._start()
        except BaseException:
            await self.aclose()
            raise

    async def _start(self) -> None:
        if self.home is not None:
            await self.home.open()
            fresh = partial(PrivateKey.generate, self.rng)
            kept = PrivateKey.decode(await self.home.identity(lambda: fresh().encode()))
            self._key = self._key or kept
        self._host = host = Host(
            self._offer(),
            [make_transport(one) for one in self._transports],
            settings=self.config.of(HostSettings),
            dial=self.config.of(DialSettings),
            limits=Limits(self.config.of(LimitSettings)),
            allows=self.config.allows,
            book=self.book,
            known_only=[self._hybrid],
        )
        Measure(host, self.metrics)
        self._introduction = Introduction(
            host,
            self.book,
            agent=AGENT,
            extra=[self._hybrid] if "hybrid" in self._security else [],
            sequence=lambda: int(self.clock() * 1e9),
        )
        for protocol, handler in self._handlers.items():
            host.handle(protocol, handler)
        await host.listen(*self._listen)
        self.began = host.now
        _ = host.tasks.start(self._keep_book(), "book")
        if self.config.of(LanSettings).enabled and self._listen:  # else there is nothing to tell
            _ = host.tasks.start(self.neighbours.meet(), "neighbours")
        self.services.finders += finders_of(self.dht, lambda: self.addresses)
        _ = host.tasks.start(self.services.publish(), "publish services")

    def _offer(self) -> Offer:
        key = self._key
        assert key is not None
        static = StaticKey(key, self.rng)
        makers: dict[str, tuple[str, Any]] = {
            "hybrid": (self._hybrid, partial(hybrid.hybrid, static=static)),
            "noise": (noise.PROTOCOL, partial(noise.Noise, static=static)),
            "tls": (tls.PROTOCOL, LazyTls()),
        }
        carriers: dict[str, tuple[str, Any]] = {
            "yamux": (
                yamux.PROTOCOL,
                partial(yamux.Yamux, settings=self.config.of(yamux.YamuxSettings)),
            ),
            "mplex": (
                mplex.PROTOCOL,
                partial(mplex.Mplex, settings=self.config.of(mplex.MplexSettings)),
            ),
        }
        return Offer(key, self.rng, choose(makers, self._security), choose(carriers, self._muxers))

    async def _keep_book(self) -> None:
        while True:
            await asyncio.sleep(SWEEP)
            self.book.tick(asyncio.get_running_loop().time())

    # Find by key, and contents

    @property
    def _local(self) -> str:
        """The address at which the services with sockets of their own listen."""
        host = self.config.of(SwarmSettings).host
        if host and not self.config.allows(host):
            raise ConfigError(f"profile local listens on loopback only, not on {host}")
        return host or ("127.0.0.1" if self.config.loopback_only else "0.0.0.0")

    def _networks(self) -> dict[str, Network]:
        return {
            "mainline": Network(self._open_mainline, self._put_mainline, get_value),
            "libp2p": Network(self._open_libp2p, self._put_libp2p, libp2p_values.get_value),
        }

    @asynccontextmanager
    async def _open_mainline(self) -> AsyncIterator[Dht]:
        settings = self.config.of(MainlineSettings)
        socket = await UdpSocket.open(self._local, settings.port)
        try:
            async with await open_mainline(
                [socket],
                self.rng,
                settings=settings,
                bootstrap=[name for name in self.config.bootstrap if not name.startswith("/")],
                saved=self.home,
                allows=self.config.allows,
            ) as dht:
                yield dht
        finally:
            await socket.aclose()

    async def _put_mainline(self, dht: Dht, value: bytes, salt: bytes, signed: bool) -> bytes:
        signer = None
        if signed:
            key = self._key
            if key is None or key.kind != "ed25519":
                raise UsageError("values in the mainline DHT are signed with Ed25519 keys only")
            signer = Signer(key.public.data, key.sign)
        item, _ = await put_value(dht, value, signer=signer, salt=salt)
        return item.key

    @asynccontextmanager
    async def _open_libp2p(self) -> AsyncIterator[Dht]:
        settings = self.config.of(Libp2pDhtSettings)
        async with Libp2pDht(
            self.host, self.introduction, self.book, self.rng, settings=settings, today=self.clock
        ) as dht:
            if self.home is not None:
                await dht.keep_in(self.home)
            names = [name for name in self.config.bootstrap if name.startswith("/")]
            await dht.join([*names, *self.neighbours.present[:NEIGHBOURS_ASKED]])
            yield dht.dht

    async def _put_libp2p(self, dht: Dht, value: bytes, salt: bytes, signed: bool) -> bytes:
        key = self.host.offer.key
        return await libp2p_values.put_value(
            dht, value, key=key, salt=salt, signed=signed, today=self.clock
        )

    async def put(
        self, value: bytes, *, salt: bytes = b"", signed: bool = False, network: str | None = None
    ) -> bytes:
        """Store a small value in a DHT, under its hash or (`signed`) under our key; the key.

        The node stores it anew for as long as it lives.  A signed one replaces
        what this node signed before under the same salt.
        """
        return await self.dht.put_value(value, salt=salt, signed=signed, network=network)

    async def lookup(self, key: bytes, *, salt: bytes = b"", network: str | None = None) -> bytes:
        """The newest value under a key; NotFoundError if there is none."""
        return await self.dht.get_value(key, salt=salt, network=network)

    def _make_swarm(self) -> Swarm:
        def trackers(transfer: Transfer) -> Source | None:
            if not transfer.trackers:
                return None
            fetch = fetch_by(self._web)
            return TrackerSource(transfer, rng=self.rng, fetch=fetch, allows=self.config.allows)

        def mainline(transfer: Transfer) -> Source | None:
            uses = "mainline" in self.dht.networks
            return DhtSource(transfer, self.dht, Announced) if uses else None

        def neighbours(transfer: Transfer) -> Source | None:
            uses = self.config.of(LanSettings).enabled
            return LanSource(transfer, self.neighbours.open) if uses else None

        return Swarm(
            self.disk,
            self.rng,
            settings=self.config.of(SwarmSettings),
            limits=self.host.limits,
            makers=[trackers, mainline, neighbours],
            allows=self.config.allows,
        )

    # Who and where

    @property
    def id(self) -> "PeerId":
        return self.host.id

    @property
    def addresses(self) -> list[Multiaddr]:
        """Where we can be reached, each ending in /p2p/ID."""
        return self.host.addresses

    @property
    def host(self) -> Host:
        if self._host is None:
            raise UsageError("the node has not started: use `async with`")
        return self._host

    @property
    def introduction(self) -> Introduction:
        assert self._introduction is not None, "a host has one"
        return self._introduction

    # Streams

    def handle(self, protocol: str, handler: Handler | None = None) -> Any:
        """Serve a protocol: the handler is called with each stream that a peer opens for it.

        Without a handler it is a decorator.
        """
        if handler is None:
            return partial(self.handle, protocol)
        self._handlers[protocol] = handler
        if self._host is not None:
            self._host.handle(protocol, handler)
            _ = self._host.tasks.start(self.introduction.push(), "push")
        return handler

    async def dial(self, target: Target) -> "Connection":
        """The connection to a peer, new if none stands."""
        return await self.host.dial(target)

    async def open(self, target: Target, protocols: str | Sequence[str]) -> "Stream":
        """A stream to a peer or address, for the first of these protocols that it speaks."""
        return await self.host.open(target, protocols)

    async def ping(self, target: Target, count: int = 1) -> list[float]:
        """Round trips in seconds, one after another on one stream."""
        async with await self.open(target, PING) as stream:
            return [await ping(stream, self.rng) for _ in range(count)]

    async def aclose(self) -> None:
        """Say goodbye and let go of everything; safe twice."""
        self._closed = True
        await self.swarm.aclose()
        await self.dht.aclose()
        await self.neighbours.aclose()
        await self._web.aclose()
        if self._host is not None:
            await self._host.aclose()
        if self.home is not None:
            await self.home.aclose()
        if self._own_disk:
            await self.disk.close()


class LazyTls:
    """TLS handshakes; OpenSSL is loaded and a certificate made for the first one."""

    def __init__(self) -> None:
        self._credentials: tls.Credentials | None = None

    def __call__(
        self, key: PrivateKey, initiator: bool, rng: Any, muxers: Sequence[str], expected: Any
    ) -> tls.Tls:
        if self._credentials is None:
            self._credentials = tls.Credentials(key, rng, muxers)
        return tls.Tls(key, initiator, rng, muxers, expected, credentials=self._credentials)


def choose_networks(known: dict[str, Network], names: Sequence[str]) -> dict[str, Network]:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(f"dht: {unknown[0]!r} is none of {', '.join(known)}")
    return {name: known[name] for name in names}


def choose(makers: dict[str, tuple[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    unknown = [name for name in names if name not in makers]
    if unknown:
        raise ConfigError(f"{unknown[0]!r} is none of {', '.join(makers)}")
    if not names:
        raise ConfigError(f"a node needs one of {', '.join(makers)}")
    return dict(makers[name] for name in names)


def make_transport(named: Any) -> Any:
    """A transport by its name; one that is made already stays as it is."""
    if not isinstance(named, str):
        return named
    if named not in TRANSPORTS:
        raise ConfigError(f"{named!r} is none of {', '.join(TRANSPORTS)}")
    return TRANSPORTS[named]()
