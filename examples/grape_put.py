"""Put a value every second, into the Grape of grape_first.py."""

import asyncio

import shoal


async def main() -> None:
    async with shoal.Link("http://127.0.0.1:30001") as link:
        while True:
            key = await link.put({"v": "Hello, P2P World!"})
            print("published", key, flush=True)
            await asyncio.sleep(1)


asyncio.run(main())
