"""Nodes of libp2p's DHT find peers, providers and values over real streams."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

import pytest
from tests.dht.libp2p_nodes import TODAY, host_of, many, one

from shoal.codec import multihash
from shoal.dht.libp2p import ipns
from shoal.dht.libp2p.messages import LAN_PROTOCOL, PROTOCOL
from shoal.dht.libp2p.service import Libp2pDht
from shoal.errors import NotFoundError, UnreachableError, UsageError
from shoal.peer.id import PeerId
from shoal.peer.key import PrivateKey

HELLO = multihash.sha256(b"hello")
KEY = PrivateKey.generate(Random(1000))
PK = b"/pk/" + PeerId.of(KEY.public).bytes


def run(count: int, test: Callable[[list[Libp2pDht]], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(15), many(count) as nodes:
            await settle(nodes)
            await test(nodes)

    asyncio.run(main())


async def settle(nodes: list[Libp2pDht]) -> None:
    """Until everybody has joined and met the others."""
    await until(lambda: all(node.size and not node.core.engine.joining for node in nodes))


async def until(true: Callable[[], object]) -> None:
    while not true():  # noqa: ASYNC110 (many things change here, and few tell)
        await asyncio.sleep(0.01)


def test_a_peer_is_found_by_its_id() -> None:
    async def test(nodes: list[Libp2pDht]) -> None:
        first, *_, last = nodes
        assert await last.find_peer(first.core.own)
        found = await nodes[1].find_peer(last.core.own)
        assert [address.with_peer(last.core.own) for address in found] == host_of(last).addresses
        with pytest.raises(NotFoundError):
            await first.find_peer(PeerId.of(KEY.public))

    run(6, test)


def test_a_value_is_stored_with_all_and_found_by_all() -> None:
    async def test(nodes: list[Libp2pDht]) -> None:
        assert await nodes[1].put(PK, KEY.public.encode()) == 5
        for node in nodes:
            assert await node.get(PK) == KEY.public.encode()
        with pytest.raises(NotFoundError):
            await nodes[0].get(PK[:-1] + b"?")
        with pytest.raises(UsageError):
            await nodes[0].put(PK, b"another key")
        with pytest.raises(UsageError):
            await nodes[0].put(b"/unknown/x", b"x")

    run(6, test)


def test_a_newer_name_replaces_the_older_and_never_the_other_way() -> None:
    async def test(nodes: list[Libp2pDht]) -> None:
        key, old = ipns.seal(KEY, b"/ipfs/old", sequence=1, ends=TODAY + 3600)
        _, new = ipns.seal(KEY, b"/ipfs/new", sequence=2, ends=TODAY + 60)
        assert await nodes[0].put(key, old) == 4
        assert await nodes[1].put(key, new) == 4
        assert await nodes[2].put(key, old, keep=False) == 0
        assert {await node.get(key) for node in nodes} == {new}

    run(5, test)


def test_providers_are_found_with_their_addresses_and_the_search_may_stop_early() -> None:
    async def test(nodes: list[Libp2pDht]) -> None:
        for node in nodes[1:4]:
            assert await node.provide(HELLO) == 5
        found = {each.peer: each.addresses async for each in nodes[5].providers(HELLO)}
        assert set(found) == {node.core.own for node in nodes[1:4]}
        assert all(found.values())
        async for _ in nodes[4].providers(HELLO):
            break
        with pytest.raises(UsageError):
            await nodes[0].provide(b"no multihash")

    run(6, test)


def test_a_provider_that_nobody_has_placed_is_looked_for_by_its_id() -> None:
    async def test(nodes: list[Libp2pDht]) -> None:
        provider, asker = nodes[1].core.own, nodes[3]
        await nodes[1].provide(HELLO, keep=False)
        sought: list[bytes] = []

        async def find_peer(peer_id: bytes) -> None:
            sought.append(peer_id)
            raise NotFoundError("nobody knows")

        asker.dht.find_peer = find_peer  # type: ignore[assignment, method-assign]
        assert [each async for each in asker.dht.providers(HELLO)] == [provider]
        assert sought == []
        asker._where = lambda peer: []  # type: ignore[method-assign] # as if no answer had said it
        assert [each async for each in asker.dht.providers(HELLO)] == [provider]
        assert sought == [provider.bytes]

    run(4, test)


def test_one_stream_to_a_peer_carries_many_questions() -> None:
    async def test(nodes: list[Libp2pDht]) -> None:
        one, other = nodes
        for _ in range(20):
            assert await one.closest(HELLO) == [other.core.own]
        (connection,) = host_of(one).connections
        ours = [each for each in connection.streams.values() if not each.inbound]
        assert len(ours) == 1
        ours[0].reset()  # whatever ends it, the next question takes a new one
        assert await one.closest(HELLO) == [other.core.own]
        assert len(one.carrier.lines) == 1

    run(2, test)


def test_a_client_asks_and_is_in_no_table() -> None:
    async def main() -> None:
        async with asyncio.timeout(15), many(4) as nodes, one(50, mode="client") as client:
            await client.join([host_of(nodes[0]).addresses[0]])
            await until(lambda: client.size == 4)
            assert await client.put(PK, KEY.public.encode()) == 4
            assert await client.provide(HELLO) == 4
            assert [each.peer async for each in nodes[2].providers(HELLO)] == [client.core.own]
            assert PROTOCOL not in host_of(client).protocols
            for node in nodes:
                assert client.core.own not in await node.closest(HELLO)
            assert await nodes[3].find_peer(client.core.own)  # by those who are connected to it

    asyncio.run(main())


def test_a_change_of_mode_is_told_to_those_who_are_connected() -> None:
    async def main() -> None:
        async with asyncio.timeout(15), one(1) as node, one(2, mode="client") as other:
            await other.join(host_of(node).addresses)
            await until(lambda: other.size == 1)
            assert node.size == 0
            other.serve(True)
            await until(lambda: node.size == 1)
            other.serve(False)
            await until(lambda: node.size == 0)

    asyncio.run(main())


def test_by_itself_a_node_serves_only_what_can_reach_it() -> None:
    async def main() -> None:
        async with asyncio.timeout(15), one(1, mode="auto") as node:
            assert not node.server
        async with one(2, mode="auto", lan=True) as node:
            assert node.server
            assert LAN_PROTOCOL in host_of(node).protocols
        async with one(3, mode="auto", lan=True, listen=[]) as node:
            assert not node.server

    asyncio.run(main())


def test_the_dhts_of_the_lan_and_the_internet_do_not_mix() -> None:
    async def main() -> None:
        async with asyncio.timeout(15), one(1, lan=True) as node, one(2) as other:
            await other.join(host_of(node).addresses)
            await asyncio.sleep(0.2)
            assert not node.size
            assert not other.size
            with pytest.raises(UnreachableError):
                await other.closest(HELLO)

    asyncio.run(main())


def test_nobody_to_ask_is_told_at_once() -> None:
    async def main() -> None:
        async with asyncio.timeout(15), one(1) as node:
            assert await node.join(["/ip4/127.0.0.1/tcp/1"]) == 0
            with pytest.raises(UnreachableError):
                await node.put(PK, KEY.public.encode(), keep=False)

    asyncio.run(main())


def test_the_table_is_taken_up_after_a_restart() -> None:
    async def test(nodes: list[Libp2pDht]) -> None:
        saved = nodes[1].core.dump(asyncio.get_running_loop().time())
        async with one(50, mode="client") as fresh:
            fresh.core.load(saved, asyncio.get_running_loop().time())
            assert fresh.size >= 2
            assert set(await fresh.closest(HELLO)) == {node.core.own for node in nodes}

    run(4, test)
