"""The libp2p peers of this network: they hear of us, and the book knows where they are.

Nobody hears of us before `open` is called for the first time, and libp2p peers
not before `meet` runs.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from shoal.discovery.presence import LanSettings, Presence
from shoal.errors import ClosedError, ProtocolError
from shoal.peer.book import HEARSAY, Book
from shoal.peer.multiaddr import Multiaddr

if TYPE_CHECKING:
    from random import Random

GREET_EVERY = HEARSAY / 2  # seconds: who is still there is never forgotten in between


class Neighbours:
    """A node's presence on the local network, opened when first asked for."""

    def __init__(
        self,
        rng: "Random",
        book: Book,
        addresses: Callable[[], Sequence[Multiaddr]],
        *,
        settings: LanSettings | None = None,
        loopback_only: bool = False,
        allows: Callable[[str], bool] = lambda host: True,
    ) -> None:
        """`addresses` are ours now, each ending in /p2p/ID."""
        self.presence = Presence(rng, settings=settings, loopback_only=loopback_only)
        self._book = book
        self._addresses = addresses
        self._allows = allows
        self._opening: asyncio.Future[Presence] | None = None
        self._closed = False

    @property
    def present(self) -> list[str]:
        """The multiaddrs of those who are there now."""
        return self.presence.neighbours

    async def open(self) -> Presence:
        if self._closed:
            raise ClosedError("the node has ended")
        if self._opening is None:
            self._opening = asyncio.ensure_future(self.presence.__aenter__())
        return await asyncio.shield(self._opening)

    async def aclose(self) -> None:
        """Say goodbye; safe twice."""
        self._closed = True
        if self._opening is not None:
            await self._opening
            await self.presence.aclose()

    async def meet(self) -> None:
        """Be found, and remember whom we find; until cancelled."""
        await self.open()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._greet())
            async for address in self.presence.peers():
                self._remember(address)

    async def _greet(self) -> None:
        """Our addresses may have changed; theirs are kept for as long as they are there."""
        with suppress(ClosedError):
            while True:
                self.presence.announce(str(address) for address in self._addresses())
                for address in self.present:
                    self._remember(address)
                await asyncio.sleep(GREET_EVERY)

    def _remember(self, text: str) -> None:
        with suppress(ProtocolError):
            address = Multiaddr.parse(text)
            if address.peer is not None and self._allows(address.host or ""):
                now = asyncio.get_running_loop().time()
                self._book.add(address.peer, [address], now)
