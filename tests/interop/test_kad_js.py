"""js-libp2p's DHT and ours find each other's peers, providers and values, both ways."""

import asyncio
from random import Random

import pytest
from tests.interop.kad import KadPeer, Test, meets, with_peer
from tests.interop.programs import node

from shoal.codec import multihash
from shoal.dht.libp2p.service import Libp2pDht
from shoal.peer.id import PeerId
from shoal.peer.key import PrivateKey

pytestmark = [pytest.mark.interop, pytest.mark.timeout(150)]

HELLO = multihash.sha256(b"hello")
WORLD = multihash.sha256(b"world")


def with_js(test: Test, *, ours_first: bool) -> None:
    with_peer(node("libp2p/kad.mjs"), test, ours_first=ours_first)


@pytest.mark.parametrize("ours_first", [True, False])
def test_peers_are_found_both_ways(ours_first: bool) -> None:
    async def test(mine: Libp2pDht, other: Libp2pDht, theirs: KadPeer) -> None:
        assert await meets(mine, HELLO, theirs)
        assert await mine.find_peer(theirs.id)
        assert await mine.find_peer(other.core.own)  # js has told us
        found = await theirs.does("find", peer=str(other.core.own))
        assert any(str(other.core.own_addresses()[0]).startswith(one) for one in found["addresses"])

    with_js(test, ours_first=ours_first)


@pytest.mark.parametrize("ours_first", [True, False])
def test_providers_are_found_both_ways(ours_first: bool) -> None:
    async def test(mine: Libp2pDht, other: Libp2pDht, theirs: KadPeer) -> None:
        assert await mine.provide(HELLO) >= 1
        found = (await theirs.does("providers", key=HELLO.hex()))["found"]
        assert found[str(mine.core.own)]
        await theirs.does("provide", key=WORLD.hex())
        for dht in (mine, other):
            ours = {each.peer: each.addresses async for each in dht.providers(WORLD)}
            assert ours[theirs.id]

    with_js(test, ours_first=ours_first)


def test_values_are_stored_and_found_both_ways() -> None:
    async def test(mine: Libp2pDht, other: Libp2pDht, theirs: KadPeer) -> None:
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

    with_js(test, ours_first=True)


def test_many_questions_go_over_one_stream_and_idle_ones_may_end() -> None:
    async def test(mine: Libp2pDht, other: Libp2pDht, theirs: KadPeer) -> None:
        for number in range(20):
            assert await meets(mine, multihash.sha256(b"%d" % number), theirs)
        await asyncio.sleep(12)  # js ends a stream after ten idle seconds
        assert await meets(mine, HELLO, theirs)

    with_js(test, ours_first=True)


def test_when_it_becomes_a_client_it_leaves_our_table() -> None:
    async def test(mine: Libp2pDht, other: Libp2pDht, theirs: KadPeer) -> None:
        await theirs.does("mode", mode="client")
        while theirs.id in [each.address for each in mine.core.engine.table]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        assert theirs.id not in await mine.closest(HELLO)

    with_js(test, ours_first=True)
