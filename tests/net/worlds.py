"""Nodes in a simulated world: they meet, talk, crash, are cut off, and meet again."""

import asyncio
from random import Random
from typing import Any

from shoal.config import Config
from shoal.errors import ShoalError
from shoal.net.stream import Stream
from shoal.node import Node
from shoal.peer.key import PrivateKey
from shoal.sim.host import LIFE, Host
from shoal.sim.world import World

PORT = 4001
NODES = 3


class Town:
    """The nodes of one world."""

    def __init__(self, world: World, count: int = NODES) -> None:
        self.world = world
        self.nodes: dict[str, Node] = {}
        self.hosts = list(world.hosts(count, self.boot))

    async def boot(self, host: Host) -> None:
        node = Node(
            Config(profile="public", home="/home", listen=[f"/ip4/{host.ip}/tcp/{PORT}"]),
            key=PrivateKey.generate(Random(host.name)),
            security=["noise"],
            disk=host.disk,
            rng=host.rng,
            clock=asyncio.get_running_loop().time,
        )
        node.handle("/echo", echo)
        await node.start()
        self.nodes[host.name] = node

    async def talk(self, one: Host, other: Host) -> bool:
        """Send some bytes to another node and get them back."""
        node, address = self.nodes[one.name], self.nodes[other.name].addresses[0]
        data = one.rng.randbytes(one.rng.randrange(1, 100_000))
        try:
            async with asyncio.timeout(30), await node.open(address, "/echo") as stream:
                writing = asyncio.ensure_future(stream.write(data))
                back = await stream.readexactly(len(data))
                await writing
        except (ShoalError, TimeoutError):
            return False
        assert back == data
        return True

    async def all_talk(self) -> bool:
        pairs = [(one, other) for one in self.hosts for other in self.hosts if one is not other]
        talks = [one.run(self.talk(one, other)) for one, other in pairs]
        return all(await asyncio.gather(*talks))

    async def close(self) -> None:
        for host in self.hosts:
            await host.run(self.nodes[host.name].aclose())


async def echo(stream: Stream) -> None:
    while data := await stream.read():
        await stream.write(data)


async def meet(world: World) -> None:
    """Connect, talk, crash, partition, heal; in the end nothing is left over."""
    town = Town(world)
    one, *others = town.hosts
    await world.until(lambda: len(town.nodes) == len(town.hosts), within=10)
    assert await town.all_talk()
    chatter = [asyncio.ensure_future(keep_talking(town, host)) for host in others]
    await asyncio.sleep(world.rng.uniform(0.01, 2))
    one.crash()
    await asyncio.sleep(world.rng.uniform(0.1, 20))
    one.restart()
    await asyncio.sleep(world.rng.uniform(0.1, 5))
    world.partition([one], others)
    await asyncio.sleep(world.rng.uniform(1, 100))
    world.heal()
    for task in chatter:
        task.cancel()
    await asyncio.gather(*chatter, return_exceptions=True)
    for _ in range(10):
        if await town.all_talk():
            break
        await asyncio.sleep(10)
    else:
        raise AssertionError("they do not talk after all is well again")
    await asyncio.sleep(15)
    check_quiet(town)
    await town.close()
    await asyncio.sleep(15)
    check_empty(town)


async def keep_talking(town: Town, host: Host) -> None:
    others = [other for other in town.hosts if other is not host]
    while True:
        await host.run(town.talk(host, town.world.rng.choice(others)))
        await asyncio.sleep(town.world.rng.uniform(0, 0.5))


def check_quiet(town: Town) -> None:
    """Nobody talks: one connection to each peer, and no streams."""
    for host in town.hosts:
        node = town.nodes[host.name].host
        assert len(node.connections) == len(town.hosts) - 1, node.connections
        assert not any(one.streams for one in node.connections)
        assert node.limits.node.used["streams"] == node.limits.node.used["memory"] == 0


def check_empty(town: Town) -> None:
    loop: Any = town.world.loop
    for host in town.hosts:
        node = town.nodes[host.name].host
        assert not node.connections
        # One without a protocol is half open in the kernel still: its last word was lost.
        left = [one for one in host.streams or () if not one._closed and one.get_protocol()]
        assert left == []
        assert not host.listeners
        assert not any(node.limits.node.used.values()), node.limits.node.used
        assert not len(node.tasks)
        assert [task for task in host.life.tasks if not task.done()] == []
    timers = [handle for _, _, function, handle in loop._heap if function is None]
    lives = [host.life for host in town.hosts]  # timers of lives that ended in a crash never ring
    left = [one for one in timers if not one.cancelled() and one._context.get(LIFE) in lives]
    assert left == []
