"""Servers and Grapes die and come back; callers and listeners hardly notice."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from shoal.errors import ClosedError, ShoalError
from shoal.rpc.client import RpcClient
from shoal.rpc.grape_server import GrapeServer
from shoal.rpc.link import Link
from shoal.rpc.publish import Publisher, Subscriber
from shoal.rpc.server import RpcServer
from shoal.sim.loop import SimLoop
from shoal.sim.world import World

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # who crashes closes nothing

DHT, API, PORT = 20001, 30001, 1337
Opener = Callable[[Any], Awaitable[Any]]


@pytest.fixture(autouse=True)
def graveyard() -> Iterator[None]:
    """What crashed is buried with its test."""
    yield
    gc.collect()


class Town:
    """Hosts of which each runs one thing again whenever it starts; a server shares its Grape's."""

    def __init__(self, seed: int) -> None:
        self.world = World(seed)
        self.up: dict[str, Any] = {}

    def host(self, name: str, *openers: Opener) -> Any:
        async def boot(host: Any) -> None:
            for opener in openers:
                await (await opener(host)).__aenter__()
            self.up[name] = host

        return self.world.host(name, boot=boot, ip=f"20.{len(self.world.network.hosts)}.0.1")

    async def grape(self, host: Any) -> GrapeServer:
        bootstrap = [f"20.0.0.1:{DHT}"]
        return GrapeServer(
            host=host.ip, dht_port=DHT, api_port=API, bootstrap=bootstrap, rng=host.rng
        )

    def link(self, host: Any) -> Link:
        return Link(f"http://{host.ip}:{API}", rng=host.rng)

    async def server(self, host: Any) -> RpcServer:
        link = await self.link(host).__aenter__()
        server = RpcServer(link, host=host.ip, port=PORT)
        server.service("who")(lambda payload: host.name)
        return server

    def run(self, play: Awaitable[None]) -> None:
        with self.world:
            self.world.run(play)  # type: ignore[arg-type]


@pytest.mark.parametrize("idempotent", [True, False])
@pytest.mark.parametrize("over", ["ws", "http"])
@pytest.mark.parametrize("seed", range(2))
def test_when_one_of_two_servers_dies_no_call_fails_or_at_most_one(
    over: str, idempotent: bool, seed: int
) -> None:
    town = Town(seed)

    async def play() -> None:
        hosts = [town.host(name, town.grape, town.server) for name in ("a", "b")]
        caller = town.host("caller", town.grape)
        await town.world.until(lambda: len(town.up) == 3, within=60)
        await asyncio.sleep(60)  # until each is announced to all

        async def call() -> tuple[dict[str, int], int]:
            said: dict[str, int] = {}
            failed = 0
            async with town.link(caller) as link:
                async with RpcClient(link, over=over, rng=caller.rng) as client:
                    for number in range(200):
                        if number == 100:
                            said.clear()
                            hosts[1].crash()
                        try:
                            who = await client.request("who", idempotent=idempotent, timeout=30)
                            said[who] = said.get(who, 0) + 1
                        except (ClosedError, TimeoutError):
                            failed += 1
            return said, failed

        said, failed = await caller.run(call())
        assert set(said) <= {"a", "b"}
        assert said["a"] >= 98
        assert failed <= (0 if idempotent else 1)

    town.run(play())


def test_the_only_grape_restarts_and_nobody_notices_for_long() -> None:
    local = "127.0.0.1"

    async def main() -> None:
        now = asyncio.get_running_loop().time
        grape = await GrapeServer(host=local).__aenter__()
        ports = {"dht_port": grape.dht_port, "api_port": grape.api_port}
        url = f"http://{local}:{grape.api_port}"
        heard = [0]

        async def listen(link: Link) -> None:
            async with Subscriber(link, "news") as news:
                async for _ in news:
                    heard[0] += 1

        async with Link(url) as link, RpcServer(link, host=local) as server:
            server.service("who")(lambda payload: "a")
            await server.announce()
            async with Publisher(link, "news", host=local) as publisher, RpcClient(link) as client:
                listening = asyncio.create_task(listen(link))

                async def live(seconds: float) -> None:
                    ends = now() + seconds
                    while now() < ends:
                        assert await client.request("who", timeout=5) == "a"
                        publisher.publish("hello")
                        await asyncio.sleep(1)

                await live(20)
                await grape.aclose()
                await live(30)  # no Grape
                async with GrapeServer(host=local, **ports):
                    await live(40)  # one that knows nothing yet
                    async with Link(url) as other, RpcClient(other) as stranger:
                        assert await stranger.request("who") == "a"
                        assert await other.lookup("news")
                assert heard[0] > 80
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
                await server.aclose()
                with pytest.raises(ShoalError):
                    await client.request("who", timeout=5)

    with asyncio.Runner(loop_factory=lambda: SimLoop(1)) as runner:
        runner.run(main())
