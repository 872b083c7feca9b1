"""A service on NATS and its caller, both on uvloop.

    nats_echo.py serve URL
    nats_echo.py call URL COUNT FLIGHT

The caller writes calls a second and the 99th percentile in milliseconds, as JSON.
"""

import asyncio
import json
import sys
from time import perf_counter
from typing import Any

import nats
import uvloop

PAYLOAD = b"x" * 32
SUBJECT = "bench.echo"


async def serve(url: str) -> None:
    connection = await nats.connect(url)

    async def echo(message: Any) -> None:
        await message.respond(message.data)

    await connection.subscribe(SUBJECT, cb=echo)
    await connection.flush()
    print("serving", flush=True)
    await asyncio.Future()


async def call(url: str, count: int, flight: int) -> None:
    connection = await nats.connect(url)
    times: list[float] = []

    async def work(each: int) -> None:
        for _ in range(each):
            begun = perf_counter()
            await connection.request(SUBJECT, PAYLOAD, timeout=10)
            times.append(perf_counter() - begun)

    for total in (count // 4, count):
        times.clear()
        begun = perf_counter()
        await asyncio.gather(*(work(-(-total // flight)) for _ in range(flight)))
        seconds = perf_counter() - begun
    times.sort()
    print(f"answer {json.dumps([len(times) / seconds, times[int(len(times) * 0.99)] * 1e3])}")
    await connection.close()


if __name__ == "__main__":
    role, url, *numbers = sys.argv[1:]
    uvloop.run(serve(url) if role == "serve" else call(url, *map(int, numbers)))
