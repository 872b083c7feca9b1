"""Ten small worlds: what each does must be the same whenever its seed is the same."""

import asyncio
import os
import random
import secrets
import uuid
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from shoal.sim.churn import HARSH, Weibull
from shoal.sim.host import Host
from shoal.sim.world import World

PORT = 4000


class Receiver(asyncio.DatagramProtocol):
    """Hands every datagram to a function, with the transport to answer on."""

    def __init__(self, heard: Callable[[bytes, Any, Any], None]) -> None:
        self.heard = heard
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        self.heard(data, address, self.transport)


async def open_socket(heard: Callable[[bytes, Any, Any], None]) -> Any:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: Receiver(heard), local_addr=("0.0.0.0", PORT)
    )
    return transport


async def ping_pong(world: World) -> int:
    """Two hosts send one datagram to and fro through loss."""
    world.links.loss = 0.1
    count = 0

    async def boot(host: Host) -> None:
        def heard(data: bytes, address: Any, transport: Any) -> None:
            nonlocal count
            count += 1
            transport.sendto(data, address)

        transport = await open_socket(heard)
        while host.name == "node0":
            transport.sendto(b"ball", (nodes[1].ip, PORT))
            await asyncio.sleep(1)

    nodes = world.hosts(2)
    for host in nodes:
        world.boot(host, boot)
    await asyncio.sleep(20)
    return count


async def streams(world: World) -> list[str]:
    """Ten clients talk to an echo server by lines."""
    server = world.host("server")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line.upper())
        writer.close()

    await server.run(asyncio.start_server(serve, "0.0.0.0", PORT))

    async def client(host: Host) -> str:
        reader, writer = await asyncio.open_connection("server", PORT)
        text = ""
        for _ in range(5):
            await asyncio.sleep(host.rng.random())
            writer.write(f"{host.name}\n".encode())
            text = (await reader.readline()).decode()
        writer.close()
        return text

    hosts = [world.host(f"client{number}") for number in range(10)]
    return await asyncio.gather(*[host.run(client(host)) for host in hosts])


async def sets_of_tasks(world: World) -> list[str]:
    """`asyncio.wait` gives sets; walking them must not depend on addresses."""

    async def work(number: int) -> str:
        await asyncio.sleep(number % 3)
        return f"task {number}"

    tasks = {asyncio.ensure_future(work(number)) for number in range(30)}
    order = []
    while tasks:
        done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        order += [task.result() for task in done]
        world.loop.note(len(done), *[int(task.result()[5:]) for task in done])
    return order


async def chance(world: World) -> list[int]:
    """Code that takes its chance from the process, not from its host."""
    found = [random.getrandbits(32), int.from_bytes(os.urandom(4)), secrets.randbits(32)]
    found += [uuid.uuid4().int % 2**32, random.SystemRandom().getrandbits(32)]
    world.loop.note(*found)
    return found


async def counters(world: World) -> list[int]:
    """Counters on disk survive the crashes of a storm."""
    told = [0] * 10

    async def boot(host: Host) -> None:
        kept = await host.disk.read("/count") if await host.disk.stat("/count") else b"0"
        count = int(kept)
        assert count >= told[host.number]
        while True:
            count += 1
            try:
                await host.disk.replace("/count", b"%d" % count)
            except OSError:
                raise AssertionError("a disk raises our errors only") from None
            except Exception:
                await asyncio.sleep(0.1)
                continue
            told[host.number] = count
            await asyncio.sleep(host.rng.random())

    nodes = world.hosts(10, boot)
    await world.storm(nodes, 30)
    return told


async def churning(world: World) -> int:
    """Hosts come and go."""
    started = 0

    async def boot(host: Host) -> None:
        nonlocal started
        started += 1
        await asyncio.sleep(host.rng.random())

    nodes = world.hosts(50, boot)
    churn = world.churn(nodes, sessions=HARSH)
    await asyncio.sleep(600)
    churn.stop()
    return started


class Teller:
    """An engine that passes the highest number on which it has heard."""

    def __init__(self, number: int, count: int, rng: Random) -> None:
        self.best = number
        self.out: list[tuple[int, Any]] = []
        self.deadline: float | None = 0.0
        self._count = count
        self._rng = rng

    def receive(self, sender: int, message: int, now: float) -> None:
        self.best = max(self.best, message)

    def tick(self, now: float) -> None:
        self.deadline = now + 1
        self.out += [(self._rng.randrange(self._count), self.best) for _ in range(2)]


async def engines(world: World) -> float:
    """A storm over engines; then all know the highest number."""
    count = 100
    nodes = world.cores(count, lambda number, rng: Teller(number, count, rng))
    await world.storm(nodes, 20)
    return await world.until(
        lambda: all(nodes[number].best == count - 1 for number in range(count)), within=60
    )


async def graphs(world: World) -> tuple[int, int]:
    """Flooding and greedy routing over tables."""
    count = 5000
    nodes = world.graph(count, lambda number, rng: [rng.randrange(count) for _ in range(20)])
    for number in range(0, count, 3):
        nodes.crash(number)
    reached = sum(hops >= 0 for hops in nodes.spread(1))
    return reached, len(nodes.route(1, lambda number: number ^ 1234))


async def slow_storm(world: World) -> list[int]:
    """Flooding by hosts through faults of the network."""
    heard = [0] * 20

    async def boot(host: Host) -> None:
        def listen(data: bytes, address: Any, transport: Any) -> None:
            heard[host.number] += 1

        transport = await open_socket(listen)
        while True:
            await asyncio.sleep(host.rng.random())
            to = host.rng.choice(list(nodes))
            transport.sendto(b"x" * host.rng.randrange(100), (to.ip, PORT))

    nodes = world.hosts(20)
    for host in nodes:
        world.boot(host, boot)
    await world.storm(nodes, 30)
    return heard


async def short_lives(world: World) -> list[float]:
    """Sessions drawn one after another."""
    lengths = Weibull(60.0)
    drawn = []
    for _ in range(20):
        length = min(lengths.draw(world.rng), lengths.draw_rest(world.rng))
        await asyncio.sleep(length)
        drawn.append(length)
    return drawn


ALL: dict[str, Callable[[World], Awaitable[Any]]] = {
    scenario.__name__: scenario
    for scenario in (
        ping_pong,
        streams,
        sets_of_tasks,
        chance,
        counters,
        churning,
        engines,
        graphs,
        slow_storm,
        short_lives,
    )
}
