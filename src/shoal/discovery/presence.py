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
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from math import inf
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Protocol, Self

from shoal.config import is_loopback, setting
from shoal.discovery import lsd, mdns
from shoal.discovery.lan import Found, Gone, Topic
from shoal.discovery.lsd import Lsd
from shoal.discovery.mdns import Mdns, topic_of
from shoal.errors import ClosedError, ProtocolError
from shoal.net.transport.multicast import LOOPBACK, GroupSocket, is_ipv4
from shoal.peer.multiaddr import Multiaddr

if TYPE_CHECKING:
    from random import Random

INTERFACES_MAX = 16
NOWHERE = "0.0.0.0"  # where a speaker is that has no address yet
LOOPBACK_NAMES = ("lo", "lo0")  # of Linux; of the BSDs and macOS
WAITING_MAX = 256  # addresses that nobody has taken from an iterator yet
TOLD_MAX = 1024  # addresses that an iterator remembers, so as not to give them again

Address = tuple[str, int]  # host and port


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
        self._lsd = [Lsd(rng, group) for group in lsd.GROUPS]  # IPv4 and IPv6 are two networks
        self._cores: list[Core] = [self._mdns, *self._lsd]
        self._ears: list[tuple[Core, GroupSocket]] = []
        self._takers: dict[bytes, Callable[[list[Address]], None]] = {}
        self._inboxes: dict[Topic, list[Inbox]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._alone = False
        self._closed = False

    async def __aenter__(self) -> Self:
        wanted = self.settings.interfaces[:INTERFACES_MAX] or [""]
        for interface in [LOOPBACK] if self.loopback_only else wanted:
            await self._open(interface)
        if not self._ears and not self.loopback_only:
            self._alone = True  # no network: programs of this machine can still meet
            await self._open(LOOPBACK)
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
        for _, ear in self._ears:
            await ear.aclose()

    @property
    def waiting(self) -> str:
        """What can be said to a user who waits for neighbours."""
        if not self._ears:
            return "LAN silent: no multicast here"
        return "LAN silent beyond this machine" if self._alone else "LAN asked"

    # libp2p peers

    def announce(self, addresses: Iterable[str]) -> None:
        """Be found by libp2p peers at these multiaddrs, which end in /p2p/ID.

        Call it again when they change.  Loopback is announced only where there
        is nothing else.
        """
        fit = reachable(addresses, loopback_only=self.loopback_only)
        if fit:
            self._speak(partial(self._mdns.offer, mdns.PEERS, fit))
        else:
            self._speak(lambda now: self._mdns.withdraw(mdns.PEERS))

    def peers(self) -> AsyncIterator[str]:
        """The multiaddrs of libp2p peers, each ending in /p2p/ID; endless."""
        return self._seek(mdns.PEERS)

    @property
    def neighbours(self) -> list[str]:
        """Those who are there now, as far as somebody iterates over `peers`."""
        known = self._mdns.lan.present(mdns.PEERS)
        return [address for addresses in known.values() for address in addresses]

    # Numbers

    def offer(self, number: int, addresses: Iterable[str]) -> None:
        """Answer those who seek this number (0 to 999,999,999) with these addresses.

        At most 16 addresses of at most 247 ASCII characters, in whatever form
        both sides agree on.  Several nodes may offer one number; again replaces.
        LimitError beyond 1,024 offers.
        """
        self._speak(partial(self._mdns.offer, topic_of(number), list(addresses)))

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

    # Swarms

    def join(self, info_hash: bytes, port: int, found: Callable[[list[Address]], None]) -> None:
        """Tell BitTorrent clients that we accept peers of this swarm; hear of theirs.

        `found` is called with the addresses of others.  Port 0: only hear.
        """
        self._takers[info_hash] = found
        for core in self._lsd:
            self._speak(partial(core.join, info_hash, port))

    def part(self, info_hash: bytes) -> None:
        """Take no part any more; safe at any time."""
        self._takers.pop(info_hash, None)
        for core in self._lsd:
            core.leave(info_hash)

    # Inside

    async def _seek(self, topic: str) -> AsyncIterator[str]:
        inbox = Inbox()
        sharing = self._inboxes.setdefault(topic, [])
        for addresses in self._mdns.lan.present(topic).values():
            inbox.put(addresses)
        sharing.append(inbox)
        try:
            self._speak(partial(self._mdns.seek, topic))
            while True:
                yield await inbox.get()
        finally:
            sharing.remove(inbox)
            if not sharing:
                del self._inboxes[topic]
                self._mdns.leave(topic)

    def _speak(self, say: Callable[[float], object]) -> None:
        if self._closed:
            raise ClosedError("presence has ended")
        say(asyncio.get_running_loop().time())
        self._flush()

    def _hear(self, core: Core, data: bytes, source: str) -> None:
        if self._closed or source == NOWHERE:
            return
        if self.loopback_only and not is_loopback(source):
            return
        for event in core.receive(data, source, asyncio.get_running_loop().time()):
            self._tell(event)
        self._flush()

    def _tell(self, event: Found | Gone) -> None:
        if isinstance(event, Gone):
            return
        if isinstance(event.topic, bytes):
            host, port = event.texts
            self._takers[event.topic]([(host, int(port))])
            return
        for inbox in self._inboxes.get(event.topic, ()):
            inbox.put(event.texts)

    def _flush(self) -> None:
        """Send what is there to send, and be woken when there is more."""
        for core, ear in self._ears:
            for data in core.out:
                ear.send(data)
        for core in self._cores:
            core.out.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = min(core.deadline for core in self._cores)
        if deadline < inf and self._ears and not self._closed:
            self._timer = asyncio.get_running_loop().call_at(deadline, self._wake)

    def _wake(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for core in self._cores:
            for event in core.tick(now):
                self._tell(event)
        self._flush()

    async def _open(self, interface: str) -> None:
        for group in mdns.GROUPS:
            await self._listen(self._mdns, interface, group, mdns.PORT, mdns.HOPS)
        for core in self._lsd:
            await self._listen(core, interface, core.group, lsd.PORT, lsd.HOPS)

    async def _listen(self, core: Core, interface: str, group: str, port: int, hops: int) -> None:
        if ":" in group and is_ipv4(interface):
            return  # that names an interface for IPv4 alone
        if interface in LOOPBACK_NAMES and ":" not in group:
            interface = LOOPBACK  # by its name alone, datagrams would come from 0.0.0.0
        try:
            ear = await GroupSocket.open(group, port, interface, hops, partial(self._hear, core))
        except OSError as error:
            self.problems[f"{interface} {group}"] = str(error)
        else:
            self._ears.append((core, ear))


class Inbox:
    """Addresses for one iterator, each once as far as it remembers."""

    def __init__(self) -> None:
        self._waiting: deque[str] = deque()
        self._told: dict[str, None] = {}
        self._news = asyncio.Event()

    def put(self, addresses: Iterable[str]) -> None:
        for address in addresses:
            if address not in self._told and len(self._waiting) < WAITING_MAX:
                self._told[address] = None
                self._waiting.append(address)
                self._news.set()
        while len(self._told) > TOLD_MAX:
            del self._told[next(iter(self._told))]

    async def get(self) -> str:
        while not self._waiting:
            self._news.clear()
            await self._news.wait()
        return self._waiting.popleft()


def reachable(addresses: Iterable[str], *, loopback_only: bool) -> list[str]:
    """Those that a neighbour can use; loopback's alone, if there are no others."""
    far: list[str] = []
    near: list[str] = []
    for address in addresses:
        with suppress(ProtocolError):
            host = Multiaddr.parse(address).host or ""
            (near if is_loopback(host) else far).append(address)
    return near if loopback_only or not far else far
