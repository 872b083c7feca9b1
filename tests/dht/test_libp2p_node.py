"""`node.dht` and `node.put` reach libp2p's DHT."""

import asyncio
from pathlib import Path

import pytest

import shoal
from shoal.codec import multihash
from shoal.config import Config
from shoal.dht.libp2p.service import Libp2pDhtSettings
from shoal.errors import NotFoundError, UsageError

HELLO = multihash.sha256(b"hello")


def make(home: Path, *, bootstrap: tuple[str, ...] = (), keep: bool = False) -> shoal.Node:
    config = Config(
        profile="local",
        home=str(home),
        listen=["/ip4/127.0.0.1/tcp/0"],
        bootstrap=bootstrap,
        dht=["libp2p"],
        settings=[Libp2pDhtSettings(mode="server")],
    )
    return shoal.Node(config, security=["noise"], keep=keep)


def test_nodes_store_signed_values_and_find_providers(tmp_path: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(15), make(tmp_path) as first:
            await first.dht.open()
            start = (str(first.addresses[0]),)
            async with make(tmp_path, bootstrap=start) as one:
                async with make(tmp_path, bootstrap=start) as other:
                    key = await one.put(b"/ipfs/x", signed=True)
                    assert key == b"/ipns/" + one.id.bytes
                    assert await other.lookup(key) == b"/ipfs/x"
                    await one.put(b"/ipfs/y", signed=True)
                    assert await other.lookup(key) == b"/ipfs/y"
                    assert await one.dht.provide(HELLO, None) >= 1
                    found = [peer async for peer in other.dht.providers(HELLO)]
                    assert found == [one.id]
                    assert (await other.dial(found[0])).peer == one.id
                    for wrong in ({}, {"signed": True, "salt": b"s"}):
                        with pytest.raises(UsageError):
                            await one.put(b"x", **wrong)
                    with pytest.raises(UsageError):
                        await one.put(bytes(20_000), signed=True)
                    with pytest.raises(NotFoundError):
                        await other.lookup(b"/ipns/" + other.id.bytes)

    asyncio.run(main())


def test_a_node_that_has_a_home_needs_no_bootstrap_the_next_time(tmp_path: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(15), make(tmp_path / "first") as first:
            await first.dht.open()
            start = (str(first.addresses[0]),)
            async with make(tmp_path / "kept", bootstrap=start, keep=True) as node:
                dht = await node.dht.open()
                while not dht.size:  # noqa: ASYNC110 (until the first has answered)
                    await asyncio.sleep(0.01)
            async with make(tmp_path / "kept", keep=True) as node:
                assert [each.id for each in await node.dht.closest(HELLO)] == [first.id.bytes]

    asyncio.run(main())
