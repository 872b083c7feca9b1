"""Presence: what we tell the local network, and what it tells us.

    async with Presence(rng) as presence:
        presence.announce(["/ip4/192.168.1.5/tcp/4001/p2p/12D3Koo..."])
        async for address in presence.peers(): ...          # libp2p peers, as multiaddrs

        presence.offer(7042, addresses)                     # something under a number
        async for address in presence.seek(7042): ...       # who offers it; leave when content

It joins the groups of each dialect on the chosen interfaces, over sockets that
other programs may share, and carries bytes between them and the cores.  With
`loopback_only` it joins on 127.0.0.1 alone, sends with a TTL of 0 and hears
nobody from elsewhere.  A network without multicast is no error: `waiting` says
that it stays silent.
"""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from math import inf
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from shoal.config import is_loopback, setting
from shoal.discovery import mdns
from shoal.discovery.lan import Found, Gone, Topic
from shoal.discovery.mdns import Mdns, topic_of
from shoal.errors import ClosedError, ProtocolError
from shoal.peer.multiaddr import Multiaddr

if TYPE_CHECKING:
    from random import Random

LOOPBACK, ANY = "127.0.0.1", "0.0.0.0"
INTERFACES_MAX = 16
WAITING_MAX = 256  # addresses that nobody has taken from an iterator yet
CLOSE_TIMEOUT = 5.0  # seconds
IP_MULTICAST_ALL = 49  # ip(7): also groups that other sockets have joined; Python has no name


@dataclass(frozen=True, slots=True)
class LanSettings:
    """Presence on the local network."""

    section: ClassVar[str] = "lan"
    enabled: bool = setting(
        False, "tell the local network of us, and look for peers there", public=True
    )
    interfaces: Sequence[str] = setting(
        (), "names or IPv4 addresses of interfaces; none: the system chooses"
    )


class Core(Protocol):
    """A dialect on one local network."""

    out: list[bytes]

    @property
    def deadline(self) -> float: ...
    def receive(self, data: bytes, source: str, now: float) -> Sequence[Found | Gone]: ...
    def tick(self, now: float) -> Sequence[Found | Gone]: ...


class Presence:
    """Our voice and ear on the local networks; `async with` opens and closes it."""

    def __init__(
        self, rng: "Random", *, settings: LanSettings | None = None, loopback_only: bool = False
    ) -> None:
        self.settings = settings or LanSettings()
        self.loopback_only = loopback_only
        self.problems: dict[str, str] = {}  # interface and group -> why it is not used
        self._mdns = Mdns(rng)
        self._ears: list[Ear] = []
        self._queues: dict[Topic, list[asyncio.Queue[str]]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        wanted = self.settings.interfaces[:INTERFACES_MAX] or [""]
        for interface in [LOOPBACK] if self.loopback_only else wanted:
            await self._open(interface)
        if not self._ears and not self.loopback_only:
            await self._open(LOOPBACK)  # no network: programs of this machine can still meet
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        await self.aclose()

    async def aclose(self) -> None:
        """Say goodbye and leave; safe twice."""
        if self._closed:
            return
        self._closed = True
        for topic in list(self._mdns.offered):
            self._mdns.withdraw(topic)
        self._flush()
        if self._timer is not None:
            self._timer.cancel()
        for ear in self._ears:
            ear.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await asyncio.gather(*(ear.closed for ear in self._ears))

    @property
    def waiting(self) -> str:
        """What can be said to a user who waits for neighbours."""
        return "LAN asked" if self._ears else "LAN silent: no multicast here"

    # libp2p peers

    def announce(self, addresses: Iterable[str]) -> None:
        """Be found by libp2p peers at these multiaddrs, which end in /p2p/ID.

        Call it again when they change.  Loopback is announced only where there
        is nothing else.
        """
        fit = reachable(addresses, loopback_only=self.loopback_only)
        self._speak(lambda now: self._mdns.offer(mdns.PEERS, fit, now))

    def peers(self) -> AsyncIterator[str]:
        """The multiaddrs of libp2p peers, each ending in /p2p/ID; endless."""
        return self._seek(mdns.PEERS)

    # Numbers

    def offer(self, number: int, addresses: Iterable[str]) -> None:
        """Answer those who seek this number (0 to 999,999,999) with these addresses.

        At most 16 addresses of at most 247 ASCII characters, in whatever form
        both sides agree on.  Several nodes may offer one number; again replaces.
        LimitError beyond 1,024 offers.
        """
        texts, topic = list(addresses), topic_of(number)
        self._speak(lambda now: self._mdns.offer(topic, texts, now))

    def withdraw(self, number: int) -> None:
        """Offer it no more; those who know of it are told."""
        topic = topic_of(number)
        self._speak(lambda now: self._mdns.withdraw(topic))

    def seek(self, number: int) -> AsyncIterator[str]:
        """The addresses at which this number is offered, each once; endless.

        It asks at once and again after 1, 2, 4 ... 30 seconds.  They come from
        anybody on the network, so nothing about them is proven.
        """
        return self._seek(topic_of(number))

    # Inside

    async def _seek(self, topic: str) -> AsyncIterator[str]:
        queue: asyncio.Queue[str] = asyncio.Queue(WAITING_MAX)
        told: dict[str, None] = {}
        known = self._mdns.lan.present(topic) if topic in self._queues else {}
        for address in (one for texts in known.values() for one in texts):
            if not queue.full():
                queue.put_nowait(address)
        self._queues.setdefault(topic, []).append(queue)
        try:
            self._speak(lambda now: self._mdns.seek(topic, now))
            while True:
                address = await queue.get()
                if address not in told:
                    while len(told) >= WAITING_MAX:
                        del told[next(iter(told))]
                    told[address] = None
                    yield address
        finally:
            self._queues[topic].remove(queue)
            if not self._queues[topic]:
                del self._queues[topic]
                self._mdns.leave(topic)

    def _speak(self, say: Callable[[float], object]) -> None:
        if self._closed:
            raise ClosedError("presence has ended")
        say(asyncio.get_running_loop().time())
        self._flush()

    def _hear(self, core: Core, data: bytes, source: str) -> None:
        if self._closed or (self.loopback_only and not is_loopback(source)):
            return
        for event in core.receive(data, source, asyncio.get_running_loop().time()):
            self._tell(event)
        self._flush()

    def _tell(self, event: Found | Gone) -> None:
        if isinstance(event, Found):
            for queue in self._queues.get(event.topic, ()):
                for address in event.texts:
                    if not queue.full():
                        queue.put_nowait(address)

    def _flush(self) -> None:
        """Send what is there to send, and be woken when there is more."""
        for core in self._cores():
            for data in core.out:
                for ear in self._ears:
                    if ear.core is core:
                        ear.send(data)
            core.out.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = min(core.deadline for core in self._cores())
        if deadline < inf and self._ears and not self._closed:
            self._timer = asyncio.get_running_loop().call_at(deadline, self._wake)

    def _wake(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for core in self._cores():
            for event in core.tick(now):
                self._tell(event)
        self._flush()

    def _cores(self) -> list[Core]:
        return [self._mdns]

    async def _open(self, interface: str) -> None:
        for group in mdns.GROUPS:
            await self._listen(self._mdns, interface, group, mdns.PORT, mdns.HOPS)

    async def _listen(self, core: Core, interface: str, group: str, port: int, hops: int) -> None:
        if ":" in group and (self.loopback_only or _is_ipv4(interface)):
            return  # an IPv4 address names an interface for IPv4 alone
        loop = asyncio.get_running_loop()
        hops = 0 if interface == LOOPBACK else hops
        try:
            raw = make_socket(group, port)
            ear = Ear(core, (group, port), self._hear)
            await loop.create_datagram_endpoint(lambda: ear, sock=raw)
        except OSError as error:
            self.problems[f"{interface} {group}"] = str(error)
            return
        try:
            join(ear.transport.get_extra_info("socket"), group, interface, hops)
        except OSError as error:
            self.problems[f"{interface} {group}"] = str(error)
            ear.close()
        else:
            self._ears.append(ear)


class Ear(asyncio.DatagramProtocol):
    """A socket that has joined a group on one interface."""

    def __init__(
        self, core: Core, group: tuple[str, int], hear: Callable[[Core, bytes, str], None]
    ) -> None:
        self.core = core
        self.transport: Any = None
        self.refused = 0  # datagrams that the system would not send
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._group = group
        self._hear = hear

    def send(self, data: bytes) -> None:
        try:
            self.transport.sendto(data, self._group)
        except OSError:
            self.refused += 1

    def close(self) -> None:
        self.transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._hear(self.core, data, addr[0])

    def error_received(self, exc: Exception) -> None:
        """No network at the moment: what is said later may arrive."""
        self.refused += 1

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)


def make_socket(group: str, port: int) -> socket.socket:
    """Bound to the group's port, which other programs use, too."""
    v6 = ":" in group
    made = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if v6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        elif sys.platform == "linux":
            made.setsockopt(socket.IPPROTO_IP, IP_MULTICAST_ALL, 0)
        made.bind(("::" if v6 else ANY, port))
    except OSError:
        made.close()
        raise
    return made


def join(sock: Any, group: str, interface: str, hops: int) -> None:
    """Hear a group on an interface, and speak to it there; OSError where that cannot be."""
    number = 0 if not interface or _is_ipv4(interface) else socket.if_nametoindex(interface)
    if ":" in group:
        index = number.to_bytes(4, sys.byteorder)
        address = socket.inet_pton(socket.AF_INET6, group)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, address + index)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, number)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, hops)
        return
    place = ip_address(interface if _is_ipv4(interface) else ANY).packed
    if number:
        place += number.to_bytes(4, sys.byteorder)  # an ip_mreqn
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, ip_address(group).packed + place)
    chosen = b"\0\0\0\0" + place if number else place
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, chosen)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, hops)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)


def reachable(addresses: Iterable[str], *, loopback_only: bool) -> list[str]:
    """Those that a neighbour can use; loopback's alone, if there are no others."""
    far: list[str] = []
    near: list[str] = []
    for address in addresses:
        with suppress(ProtocolError):
            host = Multiaddr.parse(address).host or ""
            (near if is_loopback(host) else far).append(address)
    return near if loopback_only or not far else far


def _is_ipv4(text: str) -> bool:
    try:
        return ip_address(text).version == 4
    except ValueError:
        return False
