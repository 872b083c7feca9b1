"""Real nodes in a simulated world: they keep who they are, and find back to each other."""

import asyncio
from typing import Any

import pytest

from shoal.config import Config
from shoal.errors import ShoalError
from shoal.node import Node
from shoal.sim.host import Host
from shoal.sim.run import run_one, run_world
from shoal.sim.world import World

COUNT = 8
ECHO = "/echo/1.0.0"
LISTEN = "/ip4/0.0.0.0/tcp/4001"
STORM = 30.0


class Echoes:
    """Each node now and then asks another to repeat what it says."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.names: dict[str, str] = {}  # host -> its peer id, as first seen
        self.heard: dict[str, float] = {}  # host -> when it last got an answer
        self.answers = 0
        self.nodes: Any = None

    async def boot(self, host: Host) -> None:
        """As a daemon does: start again when the disk had a bad moment."""
        while True:
            try:
                await self.live(host)
            except* ShoalError:
                await asyncio.sleep(1)

    async def live(self, host: Host) -> None:
        loop = asyncio.get_running_loop()
        config = Config(profile="public", home="/home/shoal")
        async with Node(
            config,
            keep=True,
            listen=[LISTEN],
            security=["noise"],
            disk=host.disk,
            rng=host.rng,
            clock=loop.time,
        ) as node:
            assert self.names.setdefault(host.name, str(node.id)) == str(node.id)
            node.handle(ECHO, self.echo)
            while True:
                await asyncio.sleep(2 * host.rng.random())
                other = host.rng.choice([one for one in self.nodes if one is not host])
                try:
                    async with asyncio.timeout(10):
                        await self.ask(node, other, host.rng.randbytes(host.rng.randrange(1, 5000)))
                except (ShoalError, TimeoutError):
                    continue
                self.heard[host.name] = self.world.time
                self.answers += 1

    async def echo(self, stream: Any) -> None:
        while data := await stream.read(4096):
            await stream.write(data)

    async def ask(self, node: Node, other: Host, data: bytes) -> None:
        stream = await node.open(f"/ip4/{other.ip}/tcp/4001", ECHO)
        async with stream:
            await stream.write(data)
            assert await stream.readexactly(len(data)) == data


async def echoes(world: World) -> int:
    """Through a storm and afterwards."""
    there = Echoes(world)
    there.nodes = world.hosts(COUNT)
    for host in there.nodes:
        world.boot(host, there.boot)
    await world.storm(there.nodes, STORM)

    def all_answered_since() -> bool:
        return len(there.heard) == COUNT and min(there.heard.values()) > STORM

    await world.until(all_answered_since, within=300)
    assert len(set(there.names.values())) == COUNT
    return there.answers


@pytest.mark.slow
def test_nodes_survive_storms_with_the_identity_that_they_had() -> None:
    outcomes = run_world(echoes, [*range(6), 41, 210], within=3600)  # the last two lost a lock
    assert all(outcome.value > COUNT for outcome in outcomes)
    assert run_one(echoes, 3, within=3600) == outcomes[3]
