"""Queries that one mainline node answers in a second, beside bittorrent-dht and libtorrent.

    python -m bench.dht [--seconds S] [--rounds N]

Each server runs in a process of its own and has met the same crowd of nodes,
so its table is as full as the others'.  One client keeps a window of queries
under way, with a fresh target in each; the servers take turns, and the median
of their rounds counts.  Tokens, table updates and rate limits are on; the
limit is raised, for all queries come from one address.
"""

import argparse
import asyncio
import os
import random
import select
import socket
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from statistics import median

import pytest
from bench.table import machine
from tests.interop.children import Child
from tests.interop.test_mainline import javascript, libtorrent

from shoal.dht.krpc import Query, encode_query
from shoal.dht.mainline.service import open_mainline
from shoal.dht.settings import MainlineSettings
from shoal.net.transport.udp import UdpSocket

CROWD = 80  # nodes that everybody has met
WINDOW = 64  # queries under way
QUERIES = 8192  # different ones of each kind
WAIT = 0.2  # seconds after which a lost window is sent anew
KINDS = {"ping": b"", "find_node": b"target", "get_peers": b"info_hash"}
RATE = 10_000_000  # queries a second from one prefix


def shoal(router: str) -> Child:
    command = [sys.executable, "-m", "shoal", "--set", f"mainline.rate={RATE}", "--json", "dht"]
    environment = {"SHOAL_PROFILE": "local"}
    arguments = ["--bootstrap", router, "serve"]
    return Child([*command, *arguments], ready=r'"port": (\d+)', environment=environment)


SERVERS: dict[str, Callable[[str], Child]] = {
    "shoal": shoal,
    "bittorrent-dht": javascript,
    "libtorrent": libtorrent,
}


def queries(kind: str, rng: random.Random) -> list[bytes]:
    node_id = rng.randbytes(20)
    found = []
    for number in range(QUERIES):
        arguments = {b"id": node_id}
        if KINDS[kind]:
            arguments[KINDS[kind]] = rng.randbytes(20)
        found.append(encode_query(Query(number.to_bytes(2), kind.encode(), arguments)))
    return found


def measure(port: int, kind: str, seconds: float) -> float:
    """Replies a second."""
    texts = queries(kind, random.Random(1))
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.bind(("127.0.0.1", 0))
        client.connect(("127.0.0.1", port))
        client.setblocking(False)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**20)
        answered = sent = under_way = 0
        began = time.perf_counter()
        ends = began + seconds
        while time.perf_counter() < ends:
            while under_way < WINDOW:
                client.send(texts[sent % QUERIES])
                sent += 1
                under_way += 1
            if not select.select([client], [], [], WAIT)[0]:
                under_way = 0
            try:
                while True:
                    reply = client.recv(2048)
                    if b"1:y1:r" in reply[-40:]:
                        answered += 1
                        under_way -= 1
            except BlockingIOError:
                pass
        return answered / (time.perf_counter() - began)


async def crowd(stack: AsyncExitStack) -> str:
    """Nodes of ours on loopback; the address of one of them."""
    router = ""
    for number in range(CROWD):
        place = await UdpSocket.open("127.0.0.1")
        stack.push_async_callback(place.aclose)
        opened = await open_mainline(
            [place],
            random.Random(number),
            settings=MainlineSettings(rate=1e6),
            bootstrap=[router] if router else [],
        )
        dht = await stack.enter_async_context(opened)
        if router:
            await dht.closest(dht.carriers[0].engine.id)
        router = router or f"127.0.0.1:{place.address[1]}"
    return router


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    figures: dict[tuple[str, str], list[float]] = {}
    async with AsyncExitStack() as stack:
        router = await crowd(stack)
        ports = {}
        for name, start in SERVERS.items():
            try:
                child = stack.enter_context(await asyncio.to_thread(start, router))
            except pytest.skip.Exception as reason:
                print(f"{name} is left out: {reason}")
                continue
            assert child.match
            ports[name] = int(child.match[1])
        await asyncio.sleep(5.0)  # until they have met the crowd
        for number in range(options.rounds + 1):
            for kind in KINDS:
                for name, port in ports.items():
                    rate = await asyncio.to_thread(measure, port, kind, options.seconds)
                    if number:  # in the first round they are still getting to know the crowd
                        figures.setdefault((kind, name), []).append(rate)
    print(f"{machine()}; {os.cpu_count()} processors; queries answered in a second")
    print("".join([f"{'':<12}", *(f"{name:>16}" for name in ports)]))
    for kind in KINDS:
        cells = [f"{median(figures[kind, name]):>16,.0f}" for name in ports]
        print(f"{kind:<12}" + "".join(cells))


if __name__ == "__main__":
    asyncio.run(main())
