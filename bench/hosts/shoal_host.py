"""One side of bench/host.py: Shoal.

shoal_host.py LOOP serve                 prints its address, serves until its input ends
shoal_host.py LOOP MEASURE ADDRESS ...   prints a list of numbers
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

import uvloop

from shoal.config import Config
from shoal.net.limits import LimitSettings
from shoal.net.stream import Stream
from shoal.node import Node

LOOPS: dict[str, Any] = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
PIECE = bytes(64 * 1024)


def make_node(listen: list[str]) -> Node:
    limits = LimitSettings(inbound=10_000, connections=10_000)
    config = Config(profile="local", settings=[limits])
    return Node(config, listen=listen, transports=["tcp"], security=["noise"], muxers=["yamux"])


async def sink(stream: Stream) -> None:
    size = 0
    while data := await stream.read():
        size += len(data)
    await stream.write(size.to_bytes(8, "big"))


async def echo(stream: Stream) -> None:
    while data := await stream.read():
        await stream.write(data)


async def serve() -> None:
    async with make_node(["/ip4/127.0.0.1/tcp/0"]) as node:
        node.handle("/bench/sink/1.0.0", sink)
        node.handle("/bench/echo/1.0.0", echo)
        print("ready", node.addresses[0], flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def bulk(node: Node, address: str, mebibytes: int) -> list[float]:
    """MiB/s on one stream."""
    stream = await node.open(address, "/bench/sink/1.0.0")
    start = perf_counter()
    for _ in range(mebibytes * 16):
        await stream.write(PIECE)
    await stream.close_write()
    size = int.from_bytes(await stream.readexactly(8), "big")
    assert size == mebibytes << 20
    return [mebibytes / (perf_counter() - start)]


async def trips(node: Node, address: str, count: int) -> list[float]:
    """Microseconds of round trips of 32 bytes on an open stream."""
    stream = await node.open(address, "/bench/echo/1.0.0")
    word, times = bytes(32), []
    for _ in range(count):
        start = perf_counter()
        await stream.write(word)
        await stream.readexactly(32)
        times.append((perf_counter() - start) * 1e6)
    return times


async def connect(node: Node, address: str, count: int) -> list[float]:
    """Milliseconds from nothing to an identified peer; the closing is not counted."""
    times = []
    for _ in range(count):
        start = perf_counter()
        connection = await node.dial(address)
        await node.introduction.wait(connection)
        times.append((perf_counter() - start) * 1e3)
        assert connection.protocols
        connection.close()
        await connection.wait_closed()
    return times


async def cycles(node: Node, address: str, count: int) -> list[float]:
    """Connect, identify, close: a second."""
    start = perf_counter()
    await connect(node, address, count)
    return [count / (perf_counter() - start)]


async def streams(node: Node, address: str, count: int) -> list[float]:
    """Open, negotiate, echo 32 bytes, close: a second."""
    word = bytes(32)
    await node.introduction.wait(await node.dial(address))
    start = perf_counter()
    for _ in range(count):
        stream = await node.open(address, "/bench/echo/1.0.0")
        await stream.write(word)
        await stream.readexactly(32)
        await stream.close()
    return [count / (perf_counter() - start)]


async def idle(node: Node, address: str, count: int) -> list[float]:
    """So many peers connect and then say nothing, until the input ends."""
    nodes = [make_node([]) for _ in range(count)]
    for one in nodes:
        await one.start()
        await one.introduction.wait(await one.dial(address))
    print("connected", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    return []


MEASURES: dict[str, Callable[[Node, str, int], Awaitable[list[float]]]] = {
    "bulk": bulk,
    "trips": trips,
    "connect": connect,
    "cycles": cycles,
    "streams": streams,
    "idle": idle,
}


async def main(arguments: list[str]) -> None:
    if arguments[0] == "serve":
        await serve()
        return
    name, address, count = arguments
    async with make_node([]) as node:
        numbers = await MEASURES[name](node, address, int(count))
    print(json.dumps(numbers), flush=True)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=LOOPS[sys.argv[1]]) as runner:
        runner.run(main(sys.argv[2:]))
