"""Opens libp2p's DHT on a host, and speaks of peers and values instead of bytes.

    async with open_libp2p(host, introduction, book, rng, bootstrap=[...]) as dht:
        await dht.provide(multihash)
        async for provider in dht.providers(multihash):
            ...

Who cannot be reached from everywhere only asks: a client does not serve the
protocol, so identify does not list it and nobody puts it into a table.  When
our addresses change, so may that; everybody connected is told.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Self

from shoal.config import setting
from shoal.dht import lookup
from shoal.dht.libp2p import ipns
from shoal.dht.libp2p.carrier import Carrier
from shoal.dht.libp2p.core import ALPHA, LIBP2P, Core, Value
from shoal.dht.libp2p.places import PUBLIC, is_multihash, reach_of
from shoal.dht.libp2p.validators import PublicKeys, Validator, Validators
from shoal.dht.libp2p.words import Words
from shoal.dht.service import SAVED_VERSION, Dht, Saved, Watcher
from shoal.errors import ProtocolError, ShoalError, StorageError, UsageError
from shoal.net.connection import Connection
from shoal.net.host import Host
from shoal.net.identify import Identity
from shoal.net.introduction import Introduction
from shoal.peer.book import Book
from shoal.peer.id import PeerId
from shoal.peer.multiaddr import Multiaddr

if TYPE_CHECKING:
    from random import Random

MODES = ("auto", "server", "client")
BOOTSTRAP_MAX = 15.0  # seconds to reach a peer from which we start
NAMESPACES: Mapping[str, Validator] = {"pk": PublicKeys(), "ipns": ipns.Names()}


@dataclass(frozen=True, slots=True)
class Libp2pDhtSettings:
    """libp2p's DHT."""

    section: ClassVar[str] = "kad"
    mode: str = setting(
        "auto", "answer others or only ask; auto: answer if our address is public", choices=MODES
    )
    alpha: int = setting(ALPHA, "questions in flight", least=1, most=64)
    paths: int = setting(1, "disjoint paths of a lookup", least=1, most=lookup.PATHS_MAX)
    rate: float = setting(
        200.0, "answers to one address prefix", unit="queries/s", least=1.0, most=1e7
    )


@dataclass(slots=True, frozen=True)
class Provider:
    """Who has something, and where it is as far as we could find out."""

    peer: PeerId
    addresses: tuple[Multiaddr, ...]


class Libp2pDht:
    """One host's part in the DHT."""

    def __init__(
        self,
        host: Host,
        introduction: Introduction,
        book: Book,
        rng: "Random",
        *,
        settings: Libp2pDhtSettings | None = None,
        namespaces: Mapping[str, Validator] = NAMESPACES,
        lan: bool = False,
        today: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings or Libp2pDhtSettings()
        self.server = False
        self._host = host
        self._introduction = introduction
        self._book = book
        loop = asyncio.get_running_loop()
        validators = Validators(namespaces)
        self.core = Core(
            host.id,
            rng,
            loop.time(),
            book=book,
            validators=validators,
            own_addresses=lambda: host.addresses,
            connected=lambda peer: host.connection(peer) is not None,
            today=today,
            lan=lan,
            parameters=replace(LIBP2P, alpha=self.settings.alpha, paths=self.settings.paths),
        )
        self.carrier = Carrier(self.core, host, rate=self.settings.rate)
        self.dht = Dht([self.carrier], Words(validators), lost=self._lost)
        self._addresses: list[Multiaddr] = []
        self._closed = False

    async def __aenter__(self) -> Self:
        await self.dht.__aenter__()
        self._introduction.heard.append(self._heard)
        self.carrier.changed = self._look
        self._look()
        self.carrier.poke()
        for connection in self._host.connections:
            if connection.protocols and self.core.protocol in connection.protocols:
                addresses = self._book.addresses(connection.peer, self._now)
                self.core.introduced(connection.peer, addresses, connection.about.remote, self._now)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        with suppress(ValueError):
            self._introduction.heard.remove(self._heard)
        await self.dht.aclose()
        await self.carrier.aclose()
        if self.server:
            self.serve(False)

    @property
    def size(self) -> int:
        """Peers in the table."""
        return self.dht.size

    async def keep_in(self, saved: Saved) -> None:
        """Take up the table of a former run, and save it from time to time."""
        name = "kad-lan" if self.core.lan else "kad"
        with suppress(StorageError, ProtocolError):
            kept = await saved.load(name, SAVED_VERSION)
            if kept is not None:
                self.core.load(kept.data, self._now)
        self.dht.keep_in(saved, [(name, lambda: self.core.dump(self._now))])

    async def join(self, bootstrap: Iterable[Multiaddr | str] = ()) -> int:
        """Meet these peers and find our neighbours; how many could be reached."""
        met = await asyncio.gather(*(self._meet(address) for address in bootstrap))
        contacts = [self.core.contact(peer) for peer in met if peer is not None]
        self.core.engine.join(self._now, contacts)
        self.carrier.poke()
        return len(contacts)

    async def _meet(self, address: Multiaddr | str) -> PeerId | None:
        try:
            async with asyncio.timeout(BOOTSTRAP_MAX):
                connection = await self._host.dial(address)
                await self._introduction.wait(connection)
        except UsageError:
            raise
        except (ShoalError, TimeoutError):
            return None
        return connection.peer

    # Client or server

    def serve(self, server: bool) -> None:
        """Answer others, or only ask from now on."""
        if server == self.server:
            return
        self.server = server
        if server:
            self._host.handle(self.core.protocol, self.carrier.serve)
        else:
            self._host.protocols.pop(self.core.protocol, None)
        if not self._host.closed:
            _ = self._host.tasks.start(self._introduction.push(), "push")

    def _look(self) -> None:
        """Whether we can be reached from everywhere; and whether we have moved."""
        addresses = self._host.addresses
        if self.settings.mode != "auto":
            self.serve(self.settings.mode == "server")
        else:
            far = [one for one in addresses if reach_of(one) == PUBLIC]
            self.serve(bool(addresses if self.core.lan else far))
        if self._addresses and addresses != self._addresses:
            self.dht.moved(str(addresses[0]) if addresses else "no address")
        self._addresses = addresses

    def _heard(self, connection: Connection, identity: Identity) -> None:
        if self.core.protocol in identity.protocols:
            addresses = identity.listening(connection.peer)
            self.core.introduced(connection.peer, addresses, connection.about.remote, self._now)
            self.carrier.poke()
        else:
            self.core.left(connection.peer)

    # Find and publish

    async def find_peer(self, peer: PeerId, *, watcher: Watcher | None = None) -> list[Multiaddr]:
        """Where a peer is. NotFoundError if nobody near its id knows."""
        await self.dht.find_peer(peer.bytes, watcher=watcher)
        return self._book.addresses(peer, self._now)

    async def closest(self, key: bytes, *, watcher: Watcher | None = None) -> list[PeerId]:
        """The live peers that answer for a key."""
        found = await self.dht.closest(key, watcher=watcher)
        return [contact.address for contact in found if isinstance(contact.address, PeerId)]

    async def providers(
        self, key: bytes, *, watcher: Watcher | None = None
    ) -> AsyncIterator[Provider]:
        """Who has the content with this multihash; leave the loop when you have enough."""
        _check_multihash(key)
        async for peer in self.dht.providers(key, watcher=watcher):
            yield Provider(peer, tuple(self._where(peer)))

    async def provide(self, key: bytes, *, keep: bool = True) -> int:
        """Tell that we have the content with this multihash; how many peers took it."""
        _check_multihash(key)
        return await self.dht.provide(key, None, keep=keep)

    async def get(self, key: bytes, *, watcher: Watcher | None = None) -> bytes:
        """The best value under /namespace/...; NotFoundError if there is none."""
        found: Value = await self.dht.get(key, watcher=watcher)
        return found.value

    async def put(self, key: bytes, value: bytes, *, keep: bool = True) -> int:
        """Store a value of a namespace that is known; how many peers took it."""
        return await self.dht.put(self.core.value(key, value), keep=keep)

    def _where(self, peer: PeerId) -> list[Multiaddr]:
        own = peer == self._host.id
        return self._host.addresses if own else self._book.addresses(peer, self._now)

    def _lost(self, peer: PeerId) -> bytes | None:
        return None if self._where(peer) else peer.bytes

    @property
    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _check_multihash(key: bytes) -> None:
    if not is_multihash(key):
        raise UsageError("content is found by its multihash, not by its CID or name")
