"""Nodes on one simulated local network, and what goes over it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from shoal.discovery.presence import Presence
from shoal.sim.host import Host
from shoal.sim.link import Constant, Path
from shoal.sim.world import World

PEER = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"


class Street:
    """A world with one local network; each host sees how many datagrams arrive."""

    def __init__(self, seed: int, count: int, *, loss: float = 0.0) -> None:
        self.world = World(seed)
        network = self.world.network
        network.lan_path = Path(Constant(0.0005), loss=loss)
        lan = network.lan()
        self.hosts = [self.world.host(f"n{number}", lan=lan) for number in range(count)]
        self.arrived = 0
        network.watch = self._count

    def _count(self, kind: str, sender: Host, receiver: Host, size: int) -> None:
        self.arrived += 1

    def run(self, main: Any) -> Any:
        with self.world:
            return self.world.run(main)


def address_of(host: Host, port: int = 4001) -> str:
    return f"/ip4/{host.ip}/tcp/{port}/p2p/{PEER}"


async def collect(found: AsyncIterator[str], into: list[str], count: int, within: float) -> None:
    """Until so many have been found or the time is over."""
    try:
        async with asyncio.timeout(within):
            async for address in found:
                into.append(address)
                if len(into) >= count:
                    return
    except TimeoutError:
        return


async def live(host: Host, known: list[str], count: int, within: float) -> None:
    """Announce oneself and look for so many others."""
    async with Presence(host.rng) as presence:
        presence.announce([address_of(host)])
        await collect(presence.peers(), known, count, within)
        await asyncio.sleep(within)
