"""Start a first Grape: the others would name it as their bootstrap."""

import asyncio

import shoal


async def main() -> None:
    grape = shoal.GrapeServer(host="127.0.0.1", dht_port=20001, api_port=30001, bootstrap=[])
    async with grape:
        print("grape ready", flush=True)
        await asyncio.Future()


asyncio.run(main())
