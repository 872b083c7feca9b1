"""A whole network of libp2p's DHT in a simulated world: it joins, serves, and survives churn."""

import asyncio
from random import Random
from typing import Any

import pytest
from tests.dht.libp2p_nodes import TODAY
from tests.net.hosts import make_host

from shoal.codec import multihash
from shoal.dht.libp2p import ipns
from shoal.dht.libp2p.service import Libp2pDht, Libp2pDhtSettings
from shoal.dht.libp2p.values import put_value
from shoal.errors import ShoalError
from shoal.peer.book import Book
from shoal.peer.id import PeerId
from shoal.peer.key import PrivateKey
from shoal.sim.world import World

PORT = 4001
KEY_OF_NAME = PrivateKey.generate(Random(1000))
KEY = KEY_OF_NAME.public
PK = b"/pk/" + PeerId.of(KEY).bytes
HELLO = multihash.sha256(b"hello")


class Town:
    """Nodes that join by way of the first."""

    def __init__(self, world: World, count: int, spread: str = "9.{}.0.1") -> None:
        self.world = world
        self.nodes: dict[str, Libp2pDht] = {}
        self.first = ""
        ips = [spread.format(number + 20) for number in range(count)]
        self.hosts: list[Any] = [world.host(ip=ip, boot=self.boot) for ip in ips]

    async def boot(self, host: Any) -> None:
        seed = int.from_bytes(host.name.encode())
        book = Book()
        inner = make_host(seed, book=book)
        await inner.listen(f"/ip4/{host.ip}/tcp/{PORT}")
        dht = Libp2pDht(
            inner,
            inner.introduction,  # type: ignore[attr-defined]
            book,
            host.rng,
            settings=Libp2pDhtSettings(mode="server"),
            today=lambda: TODAY,
        )
        await dht.__aenter__()
        address = str(inner.addresses[0])
        self.first = self.first or address
        self.nodes[host.name] = dht
        while address != self.first and not await dht.join([self.first]):  # noqa: ASYNC110
            await asyncio.sleep(5)

    def dht(self, number: int) -> Libp2pDht:
        return self.nodes[self.hosts[number].name]

    async def at(self, number: int, what: Any) -> Any:
        return await self.hosts[number].run(what)

    async def close(self) -> None:
        for host in self.hosts:
            dht = self.nodes[host.name]
            await host.run(dht.aclose())
            await host.run(dht._host.aclose())


async def providers_of(dht: Libp2pDht) -> set[PeerId]:
    return {each.peer async for each in dht.providers(HELLO) if each.addresses}


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(2))
def test_twenty_nodes_put_get_provide_and_find_through_churn(seed: int) -> None:
    async def play() -> None:
        town = Town(world, 20)
        await world.until(lambda: len(town.nodes) == 20, within=10)
        await asyncio.sleep(30)
        assert await town.at(3, town.dht(3).put(PK, KEY.encode())) >= 18
        assert await town.at(4, town.dht(4).provide(HELLO)) >= 18
        assert await town.at(17, town.dht(17).find_peer(town.dht(5).core.own))
        assert await town.at(11, town.dht(11).get(PK)) == KEY.encode()
        assert await town.at(12, providers_of(town.dht(12))) == {town.dht(4).core.own}
        for number in range(5, 12):  # a third crashes, and comes back empty
            town.hosts[number].crash()
        assert await town.at(13, town.dht(13).get(PK)) == KEY.encode()
        assert await town.at(14, providers_of(town.dht(14))) == {town.dht(4).core.own}
        for number in range(5, 12):
            town.hosts[number].restart()
        await asyncio.sleep(120)
        for number in (5, 6, 15):
            assert await town.at(number, town.dht(number).get(PK)) == KEY.encode()
            assert await town.at(number, town.dht(number).find_peer(town.dht(16).core.own))
        await town.close()

    with World(seed) as world:
        world.run(play())


@pytest.mark.slow
def test_one_network_of_addresses_gets_a_quarter_of_what_a_node_knows() -> None:
    async def play() -> None:
        town = Town(world, 20, "9.9.0.{}")
        await world.until(lambda: len(town.nodes) == 20, within=10)
        await asyncio.sleep(30)
        for number in range(20):
            buckets = town.dht(number).core.engine.table._buckets.values()
            assert all(len(bucket.entries) <= 5 for bucket in buckets)
        assert await town.at(3, town.dht(3).put(PK, KEY.encode())) >= 4
        await town.close()

    with World(2) as world:
        world.run(play())


@pytest.mark.slow
def test_what_was_published_is_stored_anew_after_all_others_have_lost_it() -> None:
    async def play() -> None:
        town = Town(world, 5)
        await world.until(lambda: len(town.nodes) == 5, within=10)
        await asyncio.sleep(30)
        assert await town.at(1, town.dht(1).put(PK, KEY.encode())) == 4
        assert await town.at(1, town.dht(1).provide(HELLO)) == 4
        for number in (2, 3, 4):
            town.hosts[number].crash()
            town.hosts[number].restart()
        await asyncio.sleep(60)
        assert not len(town.dht(4).core.replies.values)
        town.dht(1).dht.moved("elsewhere")  # as when our address changes
        await asyncio.sleep(60)
        for number in (2, 3, 4):
            assert len(town.dht(number).core.replies.values) == 1
            assert await town.at(number, providers_of(town.dht(number)))
        await town.close()

    with World(3) as world:
        world.run(play())


@pytest.mark.slow
def test_a_name_is_signed_anew_each_time_that_it_is_stored() -> None:
    async def play() -> None:
        town = Town(world, 3)
        await world.until(lambda: len(town.nodes) == 3, within=10)
        await asyncio.sleep(30)
        days = iter([TODAY, TODAY, TODAY + 86400.0])
        dht = town.dht(1).dht
        putting = put_value(dht, b"x", key=KEY_OF_NAME, salt=b"", signed=True, today=days.__next__)
        key = await town.at(1, putting)

        def kept() -> ipns.Name:
            return ipns.read(key, town.dht(2).core.replies.values.get(key, 0.0)[None].value)

        first = kept()
        dht.publications.hurry(0.0)
        await asyncio.sleep(60)
        later = kept()
        assert (later.value, later.sequence) == (first.value, first.sequence)
        assert later.ends == first.ends + 86400.0
        await town.close()

    with World(5) as world:
        world.run(play())


@pytest.mark.slow
def test_a_node_cut_off_from_all_finds_them_again() -> None:
    async def play() -> None:
        town = Town(world, 6)
        await world.until(lambda: len(town.nodes) == 6, within=10)
        await asyncio.sleep(30)
        world.partition(town.hosts[:1], town.hosts[1:])
        await asyncio.sleep(120)
        world.heal()

        async def answered() -> bool:
            try:
                return len(await town.at(0, town.dht(0).closest(HELLO))) >= 4
            except ShoalError:
                return False

        found = False
        for _ in range(20):
            found = found or await answered()
            await asyncio.sleep(0 if found else 15)
        assert found
        await town.close()

    with World(4) as world:
        world.run(play())
