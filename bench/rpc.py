"""Calls of named services beside Node.js' Grenache and NATS, and Grapes beside its Grape.

Claims: over WebSocket at least as many calls a second as the Node.js pair, over
HTTP too, with a lower p99; between nodes, encrypted, more than over WebSocket; a
Grape answers twice the lookups and takes as many announces, in less memory.

Server and caller are processes of their own on loopback, both on uvloop; 32-byte
echo, 1 and 64 in flight.  NATS has a third process between them, its server.
Grapes get their load from bench/load.py, the same for both.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import uvloop
from bench.table import claim, show
from tests.interop import install
from tests.interop.children import Child, free_port
from tests.interop.programs import node as node_command

from shoal.node import Node
from shoal.rpc.client import RpcClient
from shoal.rpc.link import Link
from shoal.rpc.server import RpcServer

LOCAL = "127.0.0.1"
NATS = Path(install.__file__).parent / "py/nats_echo.py"
PAYLOAD = "x" * 32
FLIGHTS = (1, 64)
COUNTS = {
    "http": {1: 4000, 64: 12_000},
    "ws": {1: 8000, 64: 40_000},
    "native": {1: 8000, 64: 40_000},
    "nats": {1: 4000, 64: 20_000},
}
GRAPE_CALLS = 7_000
GRAPE_FLIGHT = 64

Figures = tuple[float, float]  # calls a second, p99 in milliseconds


async def measure(call: Callable[[], Awaitable[Any]], count: int, flight: int) -> Figures:
    times: list[float] = []

    async def work(each: int) -> None:
        for _ in range(each):
            begun = perf_counter()
            await call()
            times.append(perf_counter() - begun)

    async def all_(total: int) -> None:
        await asyncio.gather(*(work(-(-total // flight)) for _ in range(flight)))

    await all_(count // 4)
    times.clear()
    begun = perf_counter()
    await all_(count)
    seconds = perf_counter() - begun
    times.sort()
    return len(times) / seconds, times[int(len(times) * 0.99)] * 1e3


# Our side, each role in a process of its own


async def serve(grape: str) -> None:
    """Both kinds of our services, until we are ended."""
    node = Node(listen=[f"/ip4/{LOCAL}/tcp/0"])

    async def echo(payload: Any) -> Any:
        return payload

    node.service("bench:native")(echo)
    async with node, Link(grape) as link:
        server = RpcServer(link, host=LOCAL)
        server.service("bench:shoal")(echo)
        async with server:
            print(f"serving at {node.addresses[0]}", flush=True)
            await asyncio.Future()


async def call_ours(kind: str, grape: str, address: str, flight: int) -> None:
    count = COUNTS[kind][flight]
    if kind == "native":
        async with Node(listen=[]) as caller:
            await caller.dial(address)
            figures = await measure(lambda: caller.call("bench:native", PAYLOAD), count, flight)
    else:
        async with Link(grape) as link, RpcClient(link, over=kind) as client:
            figures = await measure(lambda: client.request("bench:shoal", PAYLOAD), count, flight)
    print(f"answer {json.dumps(figures)}", flush=True)


def ours(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "bench.rpc", *arguments]


@contextmanager
def our_grape(*bootstrap: str) -> Iterator[tuple[Child, str, str]]:
    """Its process, URL and UDP port."""
    command = [sys.executable, "-m", "shoal", "grape", "--bind", LOCAL, "--dp", "0", "--aph", "0"]
    ready = r"grape ready: (\S+), DHT on UDP port (\d+)"
    with Child([*command, "--bn", ",".join(bootstrap)], ready=ready) as child:
        assert child.match
        yield child, child.match[1], child.match[2]


def figures_of(command: list[str], environment: dict[str, str] | None = None) -> Figures:
    with Child(command, ready=r"^answer (.*)$", environment=environment, timeout=60) as child:
        assert child.match
        calls, slow = json.loads(child.match[1])
        return calls, slow


# Rounds


def compare_calls(grape: str) -> dict[tuple[str, str, int], Figures]:
    """(who, over what, in flight) -> figures."""
    found: dict[tuple[str, str, int], Figures] = {}
    with Child(ours("serve", grape), ready=r"serving at (\S+)") as server:
        assert server.match
        for flight in FLIGHTS:
            for kind in ("http", "ws", "native"):
                command = ours("call", kind, grape, server.match[1], str(flight))
                found["shoal", kind, flight] = figures_of(command)
    for kind in ("http", "ws"):
        port = str(free_port())
        script = [*node_command("grenache/bench_echo.cjs"), kind, grape, port]
        with Child([*script, "0", "1"], ready="service ready", environment={"ROLE": "server"}):
            for flight in FLIGHTS:
                command = [*script, str(COUNTS[kind][flight]), str(flight)]
                found["node", kind, flight] = figures_of(command, {"ROLE": "client"})
    return found


def call_nats() -> dict[tuple[str, str, int], Figures]:
    """Nothing if the server or nats-py is missing."""
    if not (install.is_installed("pypi", "nats") and install.is_installed("debian", "nats-server")):
        print("NATS is missing: `make interop` installs nats-server and nats-py")
        return {}
    found: dict[tuple[str, str, int], Figures] = {}
    script = [str(install.venv_python("nats")), str(NATS)]
    port = free_port()
    url = f"nats://{LOCAL}:{port}"
    with (
        Child(["nats-server", "--addr", LOCAL, "--port", str(port)], port=port),
        Child([*script, "serve", url], ready="serving"),
    ):
        for flight in FLIGHTS:
            command = [*script, "call", url, str(COUNTS["nats"][flight]), str(flight)]
            found["nats", "nats", flight] = figures_of(command)
    return found


@contextmanager
def grapes(kind: str) -> Iterator[tuple[Child, str]]:
    """Two that know each other; the first one's process and URL."""
    if kind == "shoal":
        with our_grape() as (one, url, port), our_grape(f"{LOCAL}:{port}"):
            yield one, url
        return
    ports = [str(free_port()) for _ in range(4)]
    script = node_command("grenache/grape.cjs")
    with Child([*script, ports[0], ports[1]], ready="grape ready") as one:
        with Child([*script, ports[2], ports[3], f"{LOCAL}:{ports[0]}"], ready="grape ready"):
            yield one, f"http://{LOCAL}:{ports[1]}"


def memory_of(child: Child) -> float:
    """MiB."""
    for line in Path(f"/proc/{child.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def compare_grapes() -> dict[str, tuple[float, float, float]]:
    """kind -> lookups a second, announces a second, idle MiB."""
    found = {}
    for kind in ("shoal", "node"):
        with grapes(kind) as (child, url):
            idle = memory_of(child)
            rates = [load_grape(what, url) for what in ("lookup", "announce")]
            found[kind] = (rates[0], rates[1], idle)
    return found


def load_grape(what: str, url: str) -> float:
    """Requests a second; the names are others in each, as a Grape remembers whom it asked."""
    program = [sys.executable, "-m", "bench.load", what, url, str(GRAPE_CALLS), str(GRAPE_FLIGHT)]
    rate: float = json.loads(subprocess.check_output(program, timeout=60))[0]
    return rate


def main() -> int:
    with our_grape() as (_, url, _):
        calls = compare_calls(url)
    calls |= call_nats()
    rows = [
        [f"{who}, {kind}, {flight} in flight", f"{rate:,.0f}", f"{slow:.2f}"]
        for (who, kind, flight), (rate, slow) in sorted(
            calls.items(), key=lambda each: (each[0][2], each[0][1], each[0][0])
        )
    ]
    show("32-byte echo", ["case", "calls/s", "p99 ms"], rows, "one run each")
    found = compare_grapes()
    show(
        "a Grape, with a second one",
        ["", "lookups/s", "announces/s", "idle MiB"],
        [[kind, *(f"{value:,.0f}" for value in values)] for kind, values in found.items()],
        "one run each",
    )
    us, them = calls["shoal", "ws", 64], calls["node", "ws", 64]
    claim("WebSocket: at least the calls of Node.js, 64 in flight", holds=us[0] >= them[0])
    us, them = calls["shoal", "http", 64], calls["node", "http", 64]
    claim("HTTP: at least the calls, a lower p99", holds=us[0] >= them[0] and us[1] < them[1])
    for flight in FLIGHTS:
        more = calls["shoal", "native", flight][0] > calls["shoal", "ws", flight][0]
        claim(f"native is faster than WebSocket, {flight} in flight", holds=more)
    mine, other = found["shoal"], found["node"]
    claim("a Grape of ours: twice the lookups", holds=mine[0] >= 2 * other[0])
    claim("a Grape of ours: at least the announces", holds=mine[1] >= other[1])
    claim("a Grape of ours: less idle memory", holds=mine[2] < other[2])
    return 0


def play(role: str, *arguments: str) -> None:
    if role == "serve":
        uvloop.run(serve(*arguments))
    elif role == "call":
        kind, grape, address, flight = arguments
        uvloop.run(call_ours(kind, grape, address, int(flight)))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        play(*sys.argv[1:])
    else:
        sys.exit(main())
