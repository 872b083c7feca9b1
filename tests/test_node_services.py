"""A node shares, finds, fetches and stores: its DHT and its swarm open when first used."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

import shoal
from shoal.errors import ConfigError, NotFoundError, UsageError


@asynccontextmanager
async def neighbours(count: int) -> AsyncIterator[list[shoal.Node]]:
    """Nodes that know each other by the DHT of the first alone."""
    async with AsyncExitStack() as stack, asyncio.timeout(15):
        first = await stack.enter_async_context(shoal.Node(shoal.Config(profile="local")))
        host, port = (await first.dht.open()).address
        nodes = [first]
        for _ in range(count - 1):
            config = shoal.Config(profile="local", bootstrap=[f"{host}:{port}"])
            nodes.append(await stack.enter_async_context(shoal.Node(config)))
            await nodes[-1].dht.open()
        yield nodes


def test_a_folder_travels_by_its_magnet_and_the_dht_alone(tmp_path: Path) -> None:
    data = bytes(range(256)) * 2000
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a b.bin").write_bytes(data)

    async def main() -> None:
        async with neighbours(3) as (_, giver, taker):
            shared = await giver.share(str(tmp_path / "in"))
            assert shared.metainfo.startswith(b"d")
            for _ in range(100):  # until the announcement has arrived
                if "named" in shared.sources[0].waiting:  # type: ignore[attr-defined]
                    break
                await asyncio.sleep(0.05)
            states = [
                each.state async for each in taker.fetch(shared.magnet, str(tmp_path / "out"))
            ]
            assert states[-1] in ("seeding", "stopped")
            again = await taker.get(shared.magnet, str(tmp_path / "out"))
            assert await again.read(0) == data
            with pytest.raises(UsageError):
                await again.read(1)

    asyncio.run(main())
    assert (tmp_path / "out" / "in" / "a b.bin").read_bytes() == data


def test_values_are_stored_under_their_hash_or_our_key() -> None:
    async def main() -> None:
        async with neighbours(3) as (first, second, third):
            key = await second.put(b"value")
            assert len(key) == 20
            assert await third.lookup(key) == b"value"
            mine = await second.put(b"one", signed=True, salt=b"s")
            assert await second.put(b"two", signed=True, salt=b"s") == mine
            assert await first.lookup(mine, salt=b"s") == b"two"
            with pytest.raises(NotFoundError):
                await third.lookup(bytes(20))
            with pytest.raises(UsageError, match="mainline"):
                await third.lookup(key, network="nowhere")

    asyncio.run(main())


def test_what_is_not_understood_is_told(tmp_path: Path) -> None:
    async def main() -> None:
        async with shoal.Node(shoal.Config(profile="local")) as node:
            with pytest.raises(UsageError, match="a link is"):
                await node.get("nonsense")
            with pytest.raises(NotFoundError):
                await node.get(str(tmp_path / "absent.torrent"))
        with pytest.raises(ConfigError, match="nowhere"):
            shoal.Node(shoal.Config(profile="local", dht=["nowhere"]))

    asyncio.run(main())
