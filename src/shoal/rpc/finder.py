"""Who offers a service, by way of BitTorrent's DHT.

A service lies under the SHA-1 of its name in a domain of its own, as a torrent
lies under its infohash; what is found are hosts and ports of nodes, which prove
who they are when they are dialled.
"""

from collections.abc import AsyncIterator, Callable
from hashlib import sha1
from typing import Any, Protocol

from shoal.dht.mainline.words import Announced
from shoal.errors import ProtocolError
from shoal.peer.multiaddr import Multiaddr

DOMAIN = b"shoal service:"


class Dht(Protocol):
    """What a finder asks of the DHT."""

    def providers(self, key: bytes, /) -> AsyncIterator[Any]: ...

    async def provide(self, key: bytes, what: Any, /) -> int: ...


class MainlineFinder:
    """`node.services.finders.append(MainlineFinder(dht, lambda: tcp_port))`."""

    def __init__(self, dht: Dht, port: Callable[[], int]) -> None:
        self._dht = dht
        self._port = port  # where we accept connections

    async def publish(self, name: str) -> None:
        """Say, now and for as long as the DHT runs, that we offer it."""
        await self._dht.provide(key_of(name), Announced(self._port()))

    async def find(self, name: str) -> AsyncIterator[Multiaddr]:
        async for host, port in self._dht.providers(key_of(name)):
            try:
                yield Multiaddr.of(host, port)
            except ProtocolError:
                continue


def key_of(name: str) -> bytes:
    return sha1(DOMAIN + name.encode()).digest()
