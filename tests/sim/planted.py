"""Small programs with a mistake each, beside the same without it.

The simulator has to find the mistakes: they are those that tests on a real
machine miss, since they need two things to happen in a rare order.
"""

import asyncio
from typing import Any

from shoal.sim.host import Host
from shoal.sim.link import Constant, Uniform
from shoal.sim.world import World

PORT = 5000


class Inbox(asyncio.DatagramProtocol):
    """Keeps what arrives, in order."""

    def __init__(self) -> None:
        self.got: list[bytes] = []

    def datagram_received(self, data: bytes, address: Any) -> None:
        self.got.append(data)


async def send_twice(world: World) -> list[bytes]:
    """Two updates leave one after the other, milliseconds apart."""
    world.links.delay, world.links.jitter = Constant(0.02), Uniform(0.0, 0.004)
    here, there = world.hosts(2)
    inbox = Inbox()
    loop = asyncio.get_running_loop()

    async def receive() -> None:
        await loop.create_datagram_endpoint(lambda: inbox, local_addr=("0.0.0.0", PORT))

    async def send() -> None:
        sender, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=(there.ip, PORT)
        )
        for number in (1, 2):
            sender.sendto(b"%d" % number)
            await asyncio.sleep(0.003)

    await there.run(receive())
    await here.run(send())
    await asyncio.sleep(1)
    return inbox.got


async def ordering_bug(world: World) -> None:
    """The last to arrive is taken for the last that was sent."""
    value = b""
    for data in await send_twice(world):
        value = data
    assert value == b"2", f"the old value {value!r} won"


async def ordering_mended(world: World) -> None:
    value = b""
    for data in await send_twice(world):
        value = max(value, data)
    assert value == b"2"


async def same_moment_bug(world: World) -> None:
    """Two timers of one moment are taken to fire in the order in which they were set."""
    ready: list[str] = []

    async def fill() -> None:
        await asyncio.sleep(1)
        ready.append("filled")

    async def use() -> None:
        await asyncio.sleep(1)
        assert ready, "used before it was filled"

    await asyncio.gather(fill(), use())


async def same_moment_mended(world: World) -> None:
    filled = asyncio.Event()

    async def fill() -> None:
        await asyncio.sleep(1)
        filled.set()

    async def use() -> None:
        await asyncio.sleep(1)
        await filled.wait()

    await asyncio.gather(fill(), use())


async def wake_up(world: World, mended: bool) -> None:
    """A consumer waits for a producer, each at its own pace."""
    host = world.host("a")
    items: list[int] = []
    wake = asyncio.Event()

    async def produce() -> None:
        for number in range(5):
            await asyncio.sleep(host.rng.random())
            items.append(number)
            wake.set()

    async def consume() -> None:
        for _ in range(5):
            while not items:
                if mended:
                    wake.clear()
                    await host.disk.stat("/progress")
                    if items:
                        break
                else:
                    await host.disk.stat("/progress")  # what comes meanwhile sets the event...
                    wake.clear()  # ...which is forgotten here
                await wake.wait()
            items.pop()

    host.disk.delay = 0.005
    await host.run(asyncio.wait_for(asyncio.gather(produce(), consume()), None))


async def wake_up_bug(world: World) -> None:
    await wake_up(world, mended=False)


async def wake_up_mended(world: World) -> None:
    await wake_up(world, mended=True)


async def keep(world: World, mended: bool) -> None:
    """A counter is written aside and renamed; the power goes; it must not have gone back."""
    told = 0

    async def boot(host: Host) -> None:
        nonlocal told
        disk = host.disk
        count = int(await disk.read("/count")) if await disk.stat("/count") else 0
        assert count >= told, f"told {told}, found {count}"
        while True:
            count += 1
            await disk.write("/count.new", 0, [b"%d" % count])
            if mended:
                await disk.sync("/count.new")
            await disk.rename("/count.new", "/count")
            await disk.sync("/")
            told = count
            await asyncio.sleep(1)

    host = world.host("a", boot=boot)
    for _ in range(3):
        await asyncio.sleep(10 * host.rng.random())
        host.crash()
        await asyncio.sleep(1)
        host.restart()
    await asyncio.sleep(1)


async def no_sync_bug(world: World) -> None:
    await keep(world, mended=False)


async def no_sync_mended(world: World) -> None:
    await keep(world, mended=True)
