"""Short stories with real nodes on this machine: each scene is a record and a sentence."""

import asyncio
from collections.abc import AsyncIterator

from shoal.lab.school import neighbourhood

PATIENCE = 30.0  # seconds for a story: they take one or two

Scene = tuple[dict[str, object], str]


async def values(folder: str, count: int) -> AsyncIterator[Scene]:
    """Values that one node stores and another finds, by their hash and by a key."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(PATIENCE), neighbourhood(count, folder) as nodes:
        sizes = [(await node.dht.open()).size for node in nodes]
        yield {"nodes": count, "known": sizes}, f"{count} nodes; they know {sizes} others."
        for number, node in enumerate(nodes):
            began = loop.time()
            key = await node.put(f"node {number} was here".encode())
            stored = loop.time() - began
            other = nodes[(number + 1) % count]
            value = (await other.lookup(key)).decode()
            record = {"key": key.hex(), "value": value, "put_ms": round(stored * 1000, 1)}
            yield record, f"{key.hex()[:16]}...  stored in {stored * 1000:.0f} ms: {value!r}"
        for version in ("first", "second"):
            key = await nodes[0].put(version.encode(), signed=True, salt=b"demo")
            value = (await nodes[-1].lookup(key, salt=b"demo")).decode()
            yield {"key": key.hex(), "value": value}, f"signed, under one key: {value!r}"


async def services(folder: str) -> AsyncIterator[Scene]:
    """Named services, called over encrypted streams."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(PATIENCE), neighbourhood(3, folder) as (one, two, caller):

        @one.service("fibonacci")
        async def fibonacci(number: int) -> int:
            first, second = 0, 1
            for _ in range(number):
                first, second = second, first + second
            return first

        @two.service("reverse")
        async def reverse(text: str) -> str:
            return text[::-1]

        for node in (one, two):
            await caller.dial(node.addresses[0])
        yield {"services": ["fibonacci", "reverse"]}, "two nodes offer fibonacci and reverse"
        for name, argument in (("fibonacci", 90), ("reverse", "laohs"), ("fibonacci", 30)):
            began = loop.time()
            answer = await caller.call(name, argument)
            record = {"name": name, "argument": argument, "answer": answer}
            milliseconds = (loop.time() - began) * 1000
            yield record, f"{name}({argument!r}) = {answer!r} after {milliseconds:.1f} ms"
        calls = [caller.call("fibonacci", number % 90) for number in range(1000)]
        began = loop.time()
        await asyncio.gather(*calls)
        rate = len(calls) / max(loop.time() - began, 0.001)
        yield {"calls": len(calls), "per_second": round(rate)}, f"1,000 at once: {rate:,.0f}/s"
