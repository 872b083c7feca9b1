"""A simulated world in which parcels are sent: hosts, their files, and both sides of a code."""

import asyncio
from random import Random
from typing import Any

from shoal.apps.code import Code
from shoal.apps.guard import SendSettings
from shoal.apps.places import ByHand, seek_at
from shoal.apps.receive import Receiver, Result
from shoal.apps.send import Event, Sender, pack
from shoal.config import Config
from shoal.node import Node
from shoal.peer.multiaddr import Multiaddr
from shoal.sim.host import Host
from shoal.sim.world import World

CODE = Code(7042, ("guitar", "library"))
WRONG = Code(7042, ("guitar", "liberty"))
PORT = 4001
HOME, OUT = "/home/album", "/out"
BLOCK = 16 * 1024  # of parcels in these tests
FILES = {
    "a": 100_000, "empty": 0, "exact": 4 * BLOCK, "deep/er/b c": 70_001, "ünï\n🐟": 5,
}  # fmt: skip


def content(name: str, size: int) -> bytes:
    return Random(name).randbytes(size)


async def fill(disk: Any, folder: str = HOME, files: dict[str, int] = FILES) -> None:
    for name, size in files.items():
        path = f"{folder}/{name}"
        await disk.make_folder(path.rpartition("/")[0])
        await disk.write(path, 0, [content(name, size)])
        await disk.sync(path)
        await disk.sync(path.rpartition("/")[0])


async def check(disk: Any, folder: str = f"{OUT}/album", files: dict[str, int] = FILES) -> None:
    """All of it is there and nothing else."""
    for name, size in files.items():
        assert await disk.read(f"{folder}/{name}") == content(name, size), name
    assert sorted(await names(disk, folder)) == sorted(files)


async def names(disk: Any, folder: str) -> list[str]:
    found: list[str] = []
    if await disk.stat(folder) is None:
        return found
    for name in await disk.list(folder):
        stat = await disk.stat(f"{folder}/{name}")
        assert stat is not None
        inside = await names(disk, f"{folder}/{name}") if stat.is_folder else [""]
        found += [f"{name}/{each}".rstrip("/") for each in inside]
    return found


def node_on(host: Host) -> Node:
    return Node(
        Config(profile="public", home="/shoal"), listen=[f"/ip4/{host.ip}/tcp/{PORT}"],
        security=["noise"], disk=host.disk, rng=host.rng,
        clock=asyncio.get_running_loop().time,
    )  # fmt: skip


class Seller:
    """A host that sends, and what it was told."""

    def __init__(self, host: Host, code: Code = CODE, settings: SendSettings | None = None) -> None:
        self.host = host
        self.code = code
        self.settings = settings
        self.events: list[Event] = []
        self.sender: Any = None
        self.task: Any = None

    async def start(self, paths: tuple[str, ...] = (HOME,), times: int = 1) -> None:
        ready = asyncio.Event()
        self.task = self.host.spawn(self._run(paths, times, ready))
        await ready.wait()

    async def _run(self, paths: tuple[str, ...], times: int, ready: asyncio.Event) -> None:
        async with node_on(self.host) as node:
            sources = await pack(node.disk, paths)
            self.sender = Sender(
                node, sources, self.code, settings=self.settings, tell=self.events.append
            )
            async with self.sender:
                ready.set()
                await self.sender.delivered(times)
                await asyncio.sleep(1)  # a last word may be on its way

    def told(self, what: str) -> list[Event]:
        return [event for event in self.events if event.what == what]


async def receive(
    host: Host, *senders: Host, code: Code = CODE, patience: float = 60.0, **more: Any
) -> Result:
    """Fetch on a host, by the addresses of these."""
    where = [Multiaddr.of(each.ip, PORT) for each in senders]
    async with node_on(host) as node:
        receiver = Receiver(node, OUT, code, patience=patience, **more)
        return await receiver.get(lambda: seek_at([Again(where)], code.number))


class Again(ByHand):
    """Addresses that are told again and again, as multicast and the DHT do."""

    async def seek(self, number: int) -> Any:
        while True:
            async for address in super().seek(number):
                yield address
            await asyncio.sleep(1)


def world_of(seed: int = 1) -> World:
    return World(seed)


def play(scenario: Any) -> None:
    """A world in which alice may send and bob receive."""
    with world_of() as world:
        world.run(scenario(world, world.host("alice"), world.host("bob")))
