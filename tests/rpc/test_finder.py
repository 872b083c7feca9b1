"""Services are found by their name through whichever DHT a node has."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any

import pytest
from tests.rpc.names import Names

from shoal.config import Config
from shoal.dht.libp2p.service import Libp2pDhtSettings
from shoal.dht.settings import MainlineSettings
from shoal.errors import NotFoundError
from shoal.node import Node
from shoal.peer.key import PrivateKey
from shoal.rpc.client import RpcClient
from shoal.rpc.finder import MainlineFinder
from shoal.rpc.server import RpcServer
from shoal.rpc.service import ServiceSettings
from shoal.sim.world import World

MINUTES = 10
LOSS = 0.1  # of the datagrams


def make(*dht: str, start: str = "") -> Node:
    config = Config(
        profile="local",
        listen=["/ip4/127.0.0.1/tcp/0"],
        bootstrap=[start] if start else [],
        dht=dht,
        settings=[Libp2pDhtSettings(mode="server")],
    )
    return Node(config, security=["noise"])


@asynccontextmanager
async def strangers(dht: str) -> AsyncIterator[list[Node]]:
    """Two nodes that know a third one and not each other."""
    async with AsyncExitStack() as stack, asyncio.timeout(18):
        first = await stack.enter_async_context(make(dht))
        opened = await first.dht.open()
        host, port = opened.address[:2]
        start = str(first.addresses[0]) if dht == "libp2p" else f"{host}:{port}"
        yield [await stack.enter_async_context(make(dht, start=start)) for _ in range(2)]


async def called(node: Node, name: str, *arguments: Any) -> Any:
    """The answer, once the news of the service has spread."""
    while True:
        try:
            return await node.call(name, *arguments)
        except (NotFoundError, TimeoutError):
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("dht", ["mainline", "libp2p"])
def test_what_is_offered_before_or_after_the_start_is_found_and_called(dht: str) -> None:
    async def main() -> None:
        async with strangers(dht) as (caller, server):
            server.service("double", version="2")(lambda number: 2 * number)
            assert await called(caller, "double", 21) == 42
            (record,) = await caller.services.find("double")
            assert (record.peer, record.offers[0].version) == (server.id, "2")
            server.service("triple")(lambda number: 3 * number)
            assert await called(caller, "triple", 5) == 15
            with pytest.raises(NotFoundError):
                await caller.call("nobody", 1)

    asyncio.run(main())


def test_one_service_is_offered_on_both_kinds_of_network_at_once() -> None:
    async def main() -> None:
        names: Any = Names()
        async with strangers("mainline") as (caller, node):
            server = RpcServer(names, host="127.0.0.1")

            @server.service("double")
            @node.service("double")
            def double(number: int) -> int:
                return 2 * number

            async with server, RpcClient(names) as client:
                assert await client.request("double", 21) == 42
                assert await called(caller, "double", 4) == 8

    asyncio.run(main())


@pytest.mark.slow
def test_who_cannot_be_dialled_is_passed_over_and_a_finder_that_told_nobody_tells_again() -> None:
    class Board:
        """A DHT without a network, which fails at first."""

        def __init__(self) -> None:
            self.tries = 0
            self.peers: list[tuple[str, int]] = [("127.0.0.1", 1), ("no host/", 1)]

        async def provide(self, key: bytes, what: Any) -> int:
            self.tries += 1
            if self.tries > 1:
                self.peers.append(("127.0.0.1", what.port))
            return self.tries - 1

        async def providers(self, key: bytes) -> AsyncIterator[tuple[str, int]]:
            for peer in self.peers:
                yield peer

        async def find_peer(self, peer_id: bytes) -> None:
            raise NotFoundError

    async def main() -> None:
        board = Board()

        async def opened() -> Board:
            return board

        async with asyncio.timeout(15), make() as caller, make() as server:
            for node in (caller, server):
                port = node.addresses[0].port
                node.services.finders.append(MainlineFinder(opened, lambda port=port: port))
            server.service("double")(lambda number: 2 * number)
            assert await called(caller, "double", 21) == 42
            assert board.tries == 2

    asyncio.run(main())


def boot_into(nodes: dict[str, Node]) -> Any:
    async def boot(host: Any) -> None:
        node = Node(
            Config(
                profile="public",
                home="/home",
                listen=[f"/ip4/{host.ip}/tcp/4001"],
                bootstrap=["20.0.0.1:6881"],
                settings=[MainlineSettings(port=6881), ServiceSettings(fresh=0.0)],
            ),
            key=PrivateKey.generate(Random(host.name)),
            security=["noise"],
            disk=host.disk,
            rng=host.rng,
            clock=asyncio.get_running_loop().time,
        )
        await node.start()
        nodes[host.name] = node
        await node.dht.open()

    return boot


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_a_service_is_visible_for_ten_minutes_with_a_tenth_of_the_datagrams_lost(seed: int) -> None:
    nodes: dict[str, Node] = {}

    async def watch(node: Node) -> tuple[int, int]:
        found = total = 0
        (finder,) = node.services.finders
        ends = asyncio.get_running_loop().time() + 60 * MINUTES
        while asyncio.get_running_loop().time() < ends:
            found += bool([each async for each in finder.find("svc")])  # type: ignore[attr-defined]
            total += 1
            await asyncio.sleep(2)
        return found, total

    async def play() -> None:
        boot = boot_into(nodes)
        hosts = [world.host(f"{n}", boot=boot, ip=f"20.{n}.0.1") for n in range(8)]
        await world.until(lambda: len(nodes) == len(hosts), within=30)
        await asyncio.sleep(60)
        world.links.loss = LOSS
        server, *others = hosts[1:4]
        nodes[server.name].service("svc")(lambda: server.name)
        await asyncio.sleep(30)
        watching = [each.run(watch(nodes[each.name])) for each in others]
        for found, total in await asyncio.gather(*watching):
            assert found == total
            assert total > 100
        world.links.loss = 0.0  # to find is what is tested here, not to dial
        assert await others[0].run(nodes[others[0].name].call("svc", timeout=30)) == server.name
        for host in hosts:
            await host.run(nodes[host.name].aclose())

    with World(seed) as world:
        world.run(play())
