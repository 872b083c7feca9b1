"""js-libp2p's DHT and ours find each other's peers, providers and values, both ways."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest
from tests.dht.libp2p_nodes import host_of, one
from tests.interop.children import Child
from tests.interop.programs import node

from shoal.codec import multihash
from shoal.dht.libp2p.service import Libp2pDht
from shoal.peer.id import PeerId
from shoal.peer.key import PrivateKey

pytestmark = [pytest.mark.interop, pytest.mark.timeout(150)]

PATIENCE = 100.0  # seconds for one conversation, on a busy machine
HELLO = multihash.sha256(b"hello")
WORLD = multihash.sha256(b"world")


class JsPeer:
    """A js-libp2p node with a DHT, and what it does for us."""

    def __init__(self, child: Child) -> None:
        assert child.match
        self.child = child
        self.address = child.match[1]
        self.id = PeerId.parse(self.address.rpartition("/")[2])
        self._count = 0

    async def does(self, what: str, **words: Any) -> Any:
        self.child.say(json.dumps({"do": what, **words}))
        done = await asyncio.to_thread(self.child.wait_for, rf"^done {self._count} (.*)$", PATIENCE)
        self._count += 1
        said = json.loads(done[1])
        assert "failed" not in said, said
        return said


def with_peer(
    test: Callable[[Libp2pDht, Libp2pDht, JsPeer], Awaitable[None]], *, ours_first: bool
) -> None:
    """We and another of our nodes meet js: either dials."""

    async def main(child: Child) -> None:
        async with asyncio.timeout(PATIENCE), one(1) as mine, one(2) as other:
            theirs = JsPeer(child)
            for dht in (mine, other):
                if ours_first:
                    assert await dht.join([theirs.address]) == 1
                else:
                    address = str(host_of(dht).addresses[0])
                    assert (await theirs.does("dial", address=address))["served"]
                while not dht.size:  # noqa: ASYNC110 (until js has introduced itself)
                    await asyncio.sleep(0.05)
            await asyncio.sleep(1)  # js tables us after a question of its own
            await test(mine, other, theirs)

    with Child(node("libp2p/kad.mjs"), ready=r"^ready (\S+)") as child:
        asyncio.run(main(child))


@pytest.mark.parametrize("ours_first", [True, False])
def test_peers_are_found_both_ways(ours_first: bool) -> None:
    async def test(mine: Libp2pDht, other: Libp2pDht, theirs: JsPeer) -> None:
        assert theirs.id in await mine.closest(HELLO)
        assert await mine.find_peer(theirs.id)
        assert await mine.find_peer(other.core.own)  # js has told us
        found = await theirs.does("find", peer=str(other.core.own))
        assert any(str(other.core.own_addresses()[0]).startswith(one) for one in found["addresses"])

    with_peer(test, ours_first=ours_first)


@pytest.mark.parametrize("ours_first", [True, False])
def test_providers_are_found_both_ways(ours_first: bool) -> None:
    async def test(mine: Libp2pDht, other: Libp2pDht, theirs: JsPeer) -> None:
        assert await mine.provide(HELLO) >= 1
        found = (await theirs.does("providers", key=HELLO.hex()))["found"]
        assert found[str(mine.core.own)]
        await theirs.does("provide", key=WORLD.hex())
        for dht in (mine, other):
            ours = {each.peer: each.addresses async for each in dht.providers(WORLD)}
            assert ours[theirs.id]

    with_peer(test, ours_first=ours_first)


def test_values_are_stored_and_found_both_ways() -> None:
    async def test(mine: Libp2pDht, other: Libp2pDht, theirs: JsPeer) -> None:
        for seed, putting in enumerate((mine, theirs)):
            key = PrivateKey.generate(Random(100 + seed)).public
            place, value = b"/pk/" + PeerId.of(key).bytes, key.encode()
            if putting is mine:
                assert await mine.put(place, value) >= 1
            else:
                await theirs.does("put", key=place.hex(), value=value.hex())
            assert await mine.get(place) == value
            assert await other.get(place) == value
            assert (await theirs.does("get", key=place.hex()))["value"] == value.hex()
        assert await mine.get(b"/pk/" + theirs.id.bytes)  # its own key it has always

    with_peer(test, ours_first=True)


def test_many_questions_go_over_one_stream_and_idle_ones_may_end() -> None:
    async def test(mine: Libp2pDht, other: Libp2pDht, theirs: JsPeer) -> None:
        for number in range(20):
            assert theirs.id in await mine.closest(multihash.sha256(b"%d" % number))
        await asyncio.sleep(12)  # js ends a stream after ten idle seconds
        assert theirs.id in await mine.closest(HELLO)

    with_peer(test, ours_first=True)


def test_when_it_becomes_a_client_it_leaves_our_table() -> None:
    async def test(mine: Libp2pDht, other: Libp2pDht, theirs: JsPeer) -> None:
        await theirs.does("mode", mode="client")
        while theirs.id in [each.address for each in mine.core.engine.table]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        assert theirs.id not in await mine.closest(HELLO)

    with_peer(test, ours_first=True)
