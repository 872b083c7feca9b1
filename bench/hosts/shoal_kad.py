"""One side of bench/kad.py: Shoal. LOOP (uvloop or asyncio), NODES, ROUNDS as arguments."""

import asyncio
import json
import random
import sys
from contextlib import AsyncExitStack
from time import perf_counter

import shoal
from shoal.dht.libp2p.service import Libp2pDht, Libp2pDhtSettings
from shoal.peer.id import PeerId
from shoal.peer.key import PrivateKey

RNG = random.SystemRandom()
SETTLE = 2.0  # seconds for everybody to meet everybody


async def start(stack: AsyncExitStack) -> Libp2pDht:
    node = shoal.Node(listen=["/ip4/127.0.0.1/tcp/0"], security=["noise"], muxers=["yamux"])
    await stack.enter_async_context(node)
    settings = Libp2pDhtSettings(mode="server")
    dht = Libp2pDht(node.host, node.introduction, node.book, node.rng, settings=settings)
    return await stack.enter_async_context(dht)


async def main(count: int, rounds: int) -> dict[str, list[float]]:
    async with AsyncExitStack() as stack:
        nodes = [await start(stack) for _ in range(count)]
        first = nodes[0].core.own_addresses()[0]
        for node in nodes[1:]:
            await node.join([first])
        await asyncio.sleep(SETTLE)
        times: dict[str, list[float]] = {"put": [], "get": []}
        for number in range(rounds):
            key = PrivateKey.generate(RNG).public
            place, value = b"/pk/" + PeerId.of(key).bytes, key.encode()
            started = perf_counter()
            taken = await nodes[number % count].put(place, value, keep=False)
            times["put"].append((perf_counter() - started) * 1000)
            assert taken > count // 2  # those slow just now are asked around
            started = perf_counter()
            assert await nodes[(number + count // 2) % count].get(place) == value
            times["get"].append((perf_counter() - started) * 1000)
        return times


if __name__ == "__main__":
    loop, count, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    if loop == "uvloop":
        import uvloop

        result = uvloop.run(main(count, rounds))
    else:
        result = asyncio.run(main(count, rounds))
    print(json.dumps(result))
