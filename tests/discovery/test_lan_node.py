"""Whole nodes on one local network know of each other, and of each other's contents."""

import asyncio
from random import Random

from tests.discovery.neighbours import Street

from shoal.config import Config
from shoal.discovery.presence import LanSettings
from shoal.node import Node
from shoal.peer.id import PeerId
from shoal.peer.key import PrivateKey
from shoal.sim.host import Host

CONTENT = bytes(range(256)) * 400


def key_of(host: Host) -> PrivateKey:
    return PrivateKey.generate(Random(host.number))


def node_of(host: Host, *, enabled: bool = True) -> Node:
    config = Config(profile="public", dht=[], settings=[LanSettings(enabled=enabled)])
    address = f"/ip4/{host.ip}/tcp/4001"
    made = {"disk": host.disk, "rng": host.rng, "key": key_of(host), "security": ["noise"]}
    return Node(config, listen=[address], **made)


def test_neighbours_are_in_each_others_book_for_as_long_as_they_are_there() -> None:
    street = Street(seed=11, count=2)
    one, other = street.hosts
    visitor = PeerId.of(key_of(other).public)

    async def visit() -> None:
        async with node_of(other):
            await asyncio.sleep(300)

    async def stay() -> None:
        async with node_of(one) as node:
            visiting = other.spawn(visit())
            await asyncio.sleep(200)
            (address,) = node.book.addresses(visitor, asyncio.get_running_loop().time())
            assert str(address) == f"/ip4/{other.ip}/tcp/4001"
            assert len(await node.ping(visitor)) == 1
            await visiting
            await asyncio.sleep(1)
            assert (await node.lan()).neighbours == []

    street.run(one.run(stay()))


def test_a_neighbour_gets_a_content_by_its_hash_alone() -> None:
    street = Street(seed=12, count=2)
    one, other = street.hosts
    magnets: list[str] = []

    async def share() -> None:
        await one.disk.write("/content", 0, [CONTENT])
        async with node_of(one) as node:
            transfer = await node.share("/content")
            magnets.append(transfer.magnet)
            await asyncio.sleep(400)

    async def get() -> bytes:
        async with node_of(other) as node:
            transfer = await node.get(magnets[0], "/out")
            return await transfer.read()

    async def main() -> bytes:
        sharing = one.spawn(share())
        await asyncio.sleep(200)
        got: bytes = await other.run(get())
        assert street.world.time < 210
        await sharing
        return got

    assert street.run(main()) == CONTENT


def test_a_node_that_nobody_asked_says_nothing() -> None:
    street = Street(seed=13, count=2)

    async def main() -> None:
        async with node_of(street.hosts[0], enabled=False):
            await asyncio.sleep(60)

    street.run(street.hosts[0].run(main()))
    assert street.arrived == 0
