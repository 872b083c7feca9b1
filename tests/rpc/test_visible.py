"""A service stays visible through lost datagrams and restarts of Grapes."""

import asyncio
from typing import Any

import pytest

from shoal.rpc.grape_server import GrapeServer
from shoal.rpc.link import Link
from shoal.sim.world import World

GRAPES = 4
DHT, API = 20001, 30001
LOSS = 0.1  # of the datagrams
MINUTES = 10


class Village:
    """Some Grapes, each with a host of its own; the first is where the others start."""

    def __init__(self, seed: int) -> None:
        self.world = World(seed)
        self.grapes: dict[str, GrapeServer] = {}
        self.hosts: list[Any] = list(self.world.hosts(GRAPES, self.boot))

    async def boot(self, host: Any) -> None:
        first = self.hosts[0].ip if hasattr(self, "hosts") else "10.0.0.1"
        grape = GrapeServer(
            host=host.ip,
            dht_port=DHT,
            api_port=API,
            bootstrap=[f"{first}:{DHT}"],
            rng=host.rng,
        )
        await grape.__aenter__()
        self.grapes[host.name] = grape

    def link(self, host: Any) -> Link:
        return Link(f"http://{host.ip}:{API}", rng=host.rng)

    async def watch(self, host: Any, seconds: float) -> tuple[int, int]:
        """Lookups that found the service, and all."""
        found = total = 0
        ends = asyncio.get_running_loop().time() + seconds
        async with self.link(host) as link:
            while asyncio.get_running_loop().time() < ends:
                found += bool(await link.lookup("svc", fresh=True))
                total += 1
                await asyncio.sleep(1)
        return found, total


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_service_is_visible_all_the_time_with_a_tenth_of_the_datagrams_lost(seed: int) -> None:
    village = Village(seed)

    async def play() -> None:
        await village.world.until(lambda: len(village.grapes) == GRAPES, within=10)
        await asyncio.sleep(60)
        village.world.links.loss = LOSS
        first, *others = village.hosts

        async def announce() -> None:
            async with village.link(first) as link:
                await link.announce("svc", 1337)
                announced.set()
                await asyncio.sleep(60 * MINUTES)

        announced = asyncio.Event()
        announcing = asyncio.ensure_future(first.run(announce()))
        await announced.wait()
        watching = [each.run(village.watch(each, 60 * MINUTES - 5)) for each in others]
        for found, total in await asyncio.gather(*watching):
            assert found == total
            assert total > 200
        await announcing
        for host in village.hosts:
            await host.run(village.grapes[host.name].aclose())

    with village.world:
        village.world.run(play())


def test_grapes_that_restart_come_back_and_so_does_what_is_announced() -> None:
    village = Village(7)

    async def play() -> None:
        await village.world.until(lambda: len(village.grapes) == GRAPES, within=10)
        first, second, *_ = village.hosts

        async def announce() -> None:
            async with village.link(second) as link:
                await link.announce("svc", 1337)
                await asyncio.sleep(400)

        announcing = asyncio.ensure_future(second.run(announce()))
        await asyncio.sleep(5)
        for host in (first, second):
            if host is first:
                host.crash()
                await asyncio.sleep(20)
                host.restart()
                await asyncio.sleep(60)
            for other in (first, *village.hosts[2:]):
                assert (await other.run(village.watch(other, 3)))[0]
        assert all(
            len(each.dht.core.engine.table) == GRAPES - 1 for each in village.grapes.values()
        )
        announcing.cancel()
        await asyncio.gather(announcing, return_exceptions=True)
        for host in village.hosts:
            await host.run(village.grapes[host.name].aclose())

    with village.world:
        village.world.run(play())
