"""Who offers a service, by way of a DHT.

A service lies under the hash of its name in a domain of its own, as content
does under its hash.  Mainline names hosts and ports, libp2p's DHT peers; either
way nodes prove who they are when they are dialled, and then give their signed
record, which is as fresh as no record in a DHT could be.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from hashlib import sha1
from typing import Any, Protocol

from shoal.codec.multihash import sha256
from shoal.dht.mainline.words import Announced
from shoal.dht.networks import Networks
from shoal.errors import ProtocolError
from shoal.peer.id import PeerId
from shoal.peer.multiaddr import Multiaddr

DOMAIN = b"shoal service:"


class Dht(Protocol):
    """What a finder asks of a DHT."""

    def providers(self, key: bytes, /) -> AsyncIterator[Any]: ...

    async def provide(self, key: bytes, what: Any, /) -> int: ...


class MainlineFinder:
    """By BitTorrent's DHT; `port` says where we accept connections, None: nowhere."""

    def __init__(
        self, open_dht: Callable[[], Awaitable[Dht]], port: Callable[[], int | None]
    ) -> None:
        self._open = open_dht
        self._port = port

    async def publish(self, name: str) -> int:
        """Say, now and for as long as the DHT runs, that we offer it; how many nodes took it."""
        port = self._port()
        if port is None:
            return 0
        return await (await self._open()).provide(key_of(name), Announced(port))

    async def find(self, name: str) -> AsyncIterator[Multiaddr]:
        async for host, port in (await self._open()).providers(key_of(name)):
            with suppress(ProtocolError):
                yield Multiaddr.of(host, port)


class Libp2pFinder:
    """By libp2p's DHT, which finds out where a peer is before it names it."""

    def __init__(self, open_dht: Callable[[], Awaitable[Dht]]) -> None:
        self._open = open_dht

    async def publish(self, name: str) -> int:
        return await (await self._open()).provide(multihash_of(name), None)

    async def find(self, name: str) -> AsyncIterator[PeerId]:
        async for peer in (await self._open()).providers(multihash_of(name)):
            yield peer


def finders_of(
    networks: Networks, addresses: Callable[[], list[Multiaddr]]
) -> list[MainlineFinder | Libp2pFinder]:
    """One for each DHT of a node that can tell of services."""

    def port() -> int | None:
        plain = (("tcp",), ("tcp", "p2p"))
        return next((each.port for each in addresses() if each.names[1:] in plain), None)

    makers: dict[str, Callable[[Any], MainlineFinder | Libp2pFinder]] = {
        "mainline": lambda opens: MainlineFinder(opens, port),
        "libp2p": Libp2pFinder,
    }
    names = [name for name in networks.networks if name in makers]
    return [makers[name](partial(networks.open, name)) for name in names]


def key_of(name: str) -> bytes:
    """Where a service lies in the mainline DHT."""
    return sha1(DOMAIN + name.encode()).digest()


def multihash_of(name: str) -> bytes:
    """Where it lies in libp2p's."""
    return sha256(DOMAIN + name.encode())
