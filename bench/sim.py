"""How fast the simulated world is, beside asyncio and uvloop on loopback.

    python -m bench.sim [datagrams streams bulk idle kademlia]

The bar: 500,000 datagrams/s, 50,000 stream round trips/s, 10,000 idle hosts in
60 MB, and 10,000 Kademlia-like nodes at 3 times real time, one lookup a minute each.
"""

import asyncio
import gc
import random
import resource
import subprocess
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

from shoal.sim.host import Host
from shoal.sim.link import Constant, Path, Uniform
from shoal.sim.loop import SimLoop

SIMULATED = 20.0  # seconds of simulated time a throughput run takes
REAL = 2.0  # seconds of wall time on real sockets
NODES = 10_000
CLOSEST = 8  # the toy's k
PARALLEL = 3  # and its alpha


class Ping(asyncio.DatagramProtocol):
    """Sends back what comes."""

    count = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        Ping.count += 1
        self.transport.sendto(data, address)


async def ping_pong(seconds: float, ip: str = "127.0.0.1") -> float:
    """Datagrams a second between two endpoints, 32 of 100 bytes in flight."""
    loop = asyncio.get_running_loop()
    one, _ = await loop.create_datagram_endpoint(Ping, local_addr=(ip, 0))
    other, _ = await loop.create_datagram_endpoint(Ping, local_addr=(ip, 0))
    Ping.count = 0
    for _ in range(32):
        one.sendto(bytes(100), other.get_extra_info("sockname"))
    started = time.perf_counter()
    await asyncio.sleep(seconds)
    rate = Ping.count / (time.perf_counter() - started)
    one.close()
    other.close()
    return rate


def datagrams() -> float:
    """Ping-pong between two hosts."""
    loop = SimLoop(1)
    loop.network.path = Path(Constant(0.001))
    hosts = [loop.network.host() for _ in range(2)]

    async def endpoint() -> Any:
        return await asyncio.get_running_loop().create_datagram_endpoint(
            Ping, local_addr=("0.0.0.0", 4000)
        )

    async def main() -> float:
        (one, _), _ = [await host.run(endpoint()) for host in hosts]
        Ping.count = 0
        for _ in range(32):
            one.sendto(bytes(100), (hosts[1].ip, 4000))
        started = time.perf_counter()
        await asyncio.sleep(SIMULATED)
        return Ping.count / (time.perf_counter() - started)

    return loop.run_until_complete(main())


async def round_trips(seconds: float, count: int = 10) -> float:
    """Round trips a second of short lines on ten connections."""
    loop = asyncio.get_running_loop()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    done = 0
    end = loop.time() + seconds

    async def ask() -> None:
        nonlocal done
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while loop.time() < end:
            writer.write(b"a line of about thirty bytes\n")
            await reader.readline()
            done += 1
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(count)))
    server.close()
    return done / (time.perf_counter() - started)


async def bulk(size: int = 200_000_000) -> float:
    """Megabytes a second through one connection."""

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        chunk = bytes(1 << 16)
        for _ in range(size >> 16):
            writer.write(chunk)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(pour, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
    started = time.perf_counter()
    while await reader.read(1 << 18):
        pass
    rate = size / 1e6 / (time.perf_counter() - started)
    writer.close()
    server.close()
    return rate


def idle_hosts() -> float:
    """Megabytes that 10,000 hosts with an idle task each take; in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    loop = SimLoop(1)
    hosts = [loop.network.host() for _ in range(NODES)]

    async def idle() -> None:
        await asyncio.get_running_loop().create_future()

    async def main() -> None:
        for host in hosts:
            host.spawn(idle())
        await asyncio.sleep(1)

    loop.run_until_complete(main())
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


class Node(asyncio.DatagramProtocol):
    """A toy of Kademlia as ordinary asyncio: a future and a timer for each question."""

    def __init__(self, key: int, contacts: dict[int, tuple[str, int]]):
        self.key = key
        self.contacts = contacts
        self.waiting: dict[bytes, asyncio.Future[list[int]]] = {}

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        if data[:1] == b"q":
            target = int.from_bytes(data[5:9])
            closest = sorted(self.contacts, key=target.__xor__)[:CLOSEST]
            answer = b"".join(key.to_bytes(4) for key in closest)
            self.transport.sendto(b"a" + data[1:5] + answer, address)
        elif future := self.waiting.pop(data[1:5], None):
            future.set_result([int.from_bytes(data[i : i + 4]) for i in range(5, len(data), 4)])

    async def ask(self, address: tuple[str, int], target: int, number: bytes) -> list[int]:
        future = self.waiting[number] = asyncio.get_running_loop().create_future()
        self.transport.sendto(b"q" + number + target.to_bytes(4), address)
        try:
            async with asyncio.timeout(2):
                return await future
        except TimeoutError:
            return []

    async def lookup(self, target: int, book: dict[int, tuple[str, int]]) -> int:
        seen, asked = set(self.contacts), set[int]()
        while fresh := [
            key for key in sorted(seen, key=target.__xor__)[:CLOSEST] if key not in asked
        ][:PARALLEL]:
            asked.update(fresh)
            numbers = [random.getrandbits(32).to_bytes(4) for _ in fresh]
            asks = [
                self.ask(book[key], target, number)
                for key, number in zip(fresh, numbers, strict=True)
            ]
            for found in await asyncio.gather(*asks):
                seen.update(found)
        return min(seen, key=target.__xor__)


def make_contacts(key: int, keys: list[int]) -> list[int]:
    """Up to eight keys of every distance, as k-buckets would hold."""
    chosen: list[int] = []
    for bit in range(32):
        low = (key ^ (1 << bit)) >> bit << bit
        first, last = bisect_left(keys, low), bisect_left(keys, low + (1 << bit))
        band = range(first, last)
        chosen += [keys[i] for i in random.sample(band, min(CLOSEST, len(band)))]
    return chosen


def kademlia(seconds: float = 60.0) -> float:
    """Simulated seconds a second: 10,000 nodes, each with one lookup a minute."""
    random.seed(1)
    loop = SimLoop(1)
    loop.network.path = Path(Uniform(0.010, 0.100))
    keys = sorted(random.sample(range(1 << 32), NODES))
    hosts: dict[int, Host] = {key: loop.network.host() for key in keys}
    book = {key: (host.ip, 4000) for key, host in hosts.items()}
    right = 0

    async def live(key: int) -> None:
        nonlocal right
        contacts = {each: book[each] for each in make_contacts(key, keys)}
        _, node = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: Node(key, contacts), local_addr=("0.0.0.0", 4000)
        )
        await asyncio.sleep(1 + 60 * random.random())
        target = random.choice(keys)
        found = await node.lookup(target, book)
        right += found == target

    async def main() -> float:
        for key, host in hosts.items():
            host.spawn(live(key))
        await asyncio.sleep(0.5)
        started = time.perf_counter()
        await asyncio.sleep(seconds + 5)
        taken = time.perf_counter() - started
        assert right > 0.98 * NODES, right
        return (seconds + 5) / taken

    gc.disable()
    try:
        return loop.run_until_complete(main())
    finally:
        gc.enable()


def on(factory: Callable[[], Any], coro: Coroutine[Any, Any, float]) -> float:
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(coro)


def alone(name: str) -> float:
    """A row in a process of its own, for memory cannot be given back."""
    command = [sys.executable, "-c", f"from bench.sim import {name}; print({name}())"]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


LOOPS = (SimLoop, asyncio.SelectorEventLoop, uvloop.new_event_loop)
ROWS: dict[str, tuple[str, Callable[[], list[float]]]] = {
    "datagrams": (
        "datagrams/s, ping-pong",
        lambda: [datagrams(), *(on(loop, ping_pong(REAL)) for loop in LOOPS[1:])],
    ),
    "streams": (
        "stream round trips/s",
        lambda: [on(loop, round_trips(1.0 if loop is SimLoop else REAL)) for loop in LOOPS],
    ),
    "bulk": ("bulk stream MB/s", lambda: [on(loop, bulk()) for loop in LOOPS]),
    "idle": ("MB for 10,000 idle hosts", lambda: [alone("idle_hosts")]),
    "kademlia": ("times real time, 10,000 nodes", lambda: [kademlia()]),
}


def main() -> None:
    print(f"{'':32}{'simulator':>12}{'asyncio':>12}{'uvloop':>12}")
    for name in sys.argv[1:] or ROWS:
        title, measure = ROWS[name]
        print(f"{title:32}" + "".join(f"{value:>12,.1f}" for value in measure()))


if __name__ == "__main__":
    main()
