"""Nodes of libp2p's DHT, on loopback or in a world."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any

from tests.net.hosts import make_host

from shoal.dht.libp2p.service import Libp2pDht, Libp2pDhtSettings
from shoal.net.host import Host
from shoal.peer.book import Book

TODAY = 1_800_000_000.0
LOOPBACK = "/ip4/127.0.0.1/tcp/0"


@asynccontextmanager
async def one(
    seed: int, *, mode: str = "server", listen: Sequence[str] = (LOOPBACK,), **options: Any
) -> AsyncIterator[Libp2pDht]:
    book = Book()
    host = make_host(seed, book=book)
    await host.listen(*listen)
    dht = Libp2pDht(
        host,
        host.introduction,  # type: ignore[attr-defined]
        book,
        Random(seed),
        settings=Libp2pDhtSettings(mode=mode),
        today=lambda: TODAY,
        **options,
    )
    trips = dht.core.engine.questions.trips
    trips.measured = lambda seconds: None  # type: ignore[method-assign] # a busy machine is no slow peer
    try:
        async with dht:
            yield dht
    finally:
        await host.aclose()


@asynccontextmanager
async def many(count: int, **options: Any) -> AsyncIterator[list[Libp2pDht]]:
    """Nodes that have all joined by way of the first."""
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(one(seed, **options)) for seed in range(count)]
        for node in nodes[1:]:
            assert await node.join([host_of(nodes[0]).addresses[0]]) == 1
        yield nodes


def host_of(dht: Libp2pDht) -> Host:
    return dht._host
