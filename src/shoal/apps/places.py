"""Where sender and receiver of a code look for each other: by its number.

On this network by multicast, in the mainline DHT under a hash of the number and
the hour, and at addresses that somebody gave by hand.  A number says nothing of
the words, so it does no harm that all see it.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, suppress
from typing import Any, Protocol

from shoal.apps.code import HOUR, meeting_key
from shoal.dht.mainline.words import Announced
from shoal.discovery.presence import Presence
from shoal.errors import ProtocolError, ShoalError
from shoal.net.tasks import Tasks
from shoal.peer.multiaddr import Multiaddr

ANNOUNCE_EVERY = 600.0  # seconds; nodes of the DHT forget after half an hour
SEEK_EVERY = 5.0  # seconds between two lookups


class Place(Protocol):
    """Somewhere to be found by a number."""

    async def offer(self, number: int) -> None:
        """Be there until cancelled."""

    def seek(self, number: int) -> AsyncIterator[Multiaddr]:
        """Addresses of those who are there, again and again; ends when there is no more."""


async def seek_at(places: Sequence[Place], number: int) -> AsyncGenerator[Multiaddr, None]:
    """What all of them find, as it is found; a place that fails is as good as empty."""
    found: asyncio.Queue[Multiaddr | None] = asyncio.Queue(maxsize=64)
    tasks = Tasks()

    async def ask(place: Place) -> None:
        with suppress(ShoalError):
            async for address in place.seek(number):
                await found.put(address)
        await found.put(None)

    for place in places:
        _ = tasks.start(ask(place), "seek")
    asking = len(places)
    try:
        while asking:
            address = await found.get()
            if address is None:
                asking -= 1
            else:
                yield address
    finally:
        await tasks.aclose()


class ByHand:
    """Addresses that the other side told by another way."""

    def __init__(self, addresses: Sequence[Multiaddr]) -> None:
        self._addresses = addresses

    async def offer(self, number: int) -> None:
        return

    async def seek(self, number: int) -> AsyncGenerator[Multiaddr, None]:
        for address in self._addresses:
            yield address


class InDht:
    """The mainline DHT; `dht` is a node's."""

    def __init__(self, dht: Any, port: int, clock: Callable[[], float]) -> None:
        self._dht = dht
        self._port = port  # of our host, for TCP
        self._clock = clock  # seconds since 1970

    async def offer(self, number: int) -> None:
        while True:
            hour, into = divmod(self._clock(), HOUR)
            key = meeting_key(number, int(hour))
            try:
                await self._dht.provide(key, Announced(self._port), keep=False, network="mainline")
            except ShoalError:
                await asyncio.sleep(SEEK_EVERY)  # nobody there yet
            else:
                await asyncio.sleep(min(ANNOUNCE_EVERY, HOUR - into + 1))

    async def seek(self, number: int) -> AsyncGenerator[Multiaddr, None]:
        while True:
            hour = int(self._clock() // HOUR)
            for each in (hour, hour - 1):
                try:
                    found = self._dht.providers(meeting_key(number, each), network="mainline")
                    async with aclosing(found) as providers:
                        async for host, port in providers:
                            yield Multiaddr.of(host, port)
                except ShoalError:
                    pass  # nobody there yet
            await asyncio.sleep(SEEK_EVERY)


class OnLan:
    """This network, by multicast."""

    def __init__(self, presence: Presence, addresses: Sequence[str]) -> None:
        self._presence = presence
        self._addresses = addresses  # of our host, without its id

    async def offer(self, number: int) -> None:
        self._presence.offer(number, self._addresses)
        await asyncio.get_running_loop().create_future()

    async def seek(self, number: int) -> AsyncGenerator[Multiaddr, None]:
        async for text in self._presence.seek(number):
            with suppress(ProtocolError):
                yield Multiaddr.parse(text)
