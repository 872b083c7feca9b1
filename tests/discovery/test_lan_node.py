"""Whole nodes on one local network know of each other, and of each other's contents."""

import asyncio
from dataclasses import dataclass, field
from random import Random
from types import SimpleNamespace

import pytest
from tests.discovery.neighbours import Street

from shoal.config import Config
from shoal.discovery.presence import LanSettings
from shoal.node import Node
from shoal.peer.id import PeerId
from shoal.peer.key import PrivateKey
from shoal.sim.host import Host
from shoal.swarm.sources import LanSource

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
            assert node.neighbours.present == []

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


@dataclass
class Told:
    """Neighbours that remember what they were told."""

    waiting: str = "LAN asked"
    joined: list[tuple[bytes, int]] = field(default_factory=list)
    parted: list[bytes] = field(default_factory=list)

    def join(self, info_hash: bytes, port: int, found: object) -> None:
        self.joined.append((info_hash, port))

    def part(self, info_hash: bytes) -> None:
        self.parted.append(info_hash)


@pytest.mark.parametrize("private", [False, True])
def test_neighbours_hear_of_all_hashes_of_a_content_but_of_nothing_private(private: bool) -> None:
    street = Street(seed=14, count=1)
    told = Told()

    async def lan() -> Told:
        return told

    async def main() -> None:
        torrent = SimpleNamespace(private=private)
        session = SimpleNamespace(hashes=[bytes(20)], port=6881)
        transfer = SimpleNamespace(torrent=torrent, session=session, found=print)
        source = LanSource(transfer, lan)
        running = asyncio.create_task(source.run())
        await asyncio.sleep(2)
        if private:
            assert source.waiting == "private: only its trackers are asked"
            assert told.joined == []
        else:
            session.hashes.append(bytes(range(20)))  # its metadata tells another
            await asyncio.sleep(2)
            assert told.joined == [(bytes(20), 6881), (bytes(range(20)), 6881)]
            torrent.private = True
            await asyncio.sleep(2)
            assert told.parted == session.hashes
        assert running.done()
        await source.stop()

    street.run(street.hosts[0].run(main()))


def test_a_node_that_nobody_asked_says_nothing() -> None:
    street = Street(seed=13, count=2)

    async def main() -> None:
        async with node_of(street.hosts[0], enabled=False):
            await asyncio.sleep(60)

    street.run(street.hosts[0].run(main()))
    assert street.arrived == 0
