"""Get the value that grape_put.py has put, by the key that it prints."""

import asyncio
import sys

import shoal


async def main() -> None:
    async with shoal.Link("http://127.0.0.1:30001") as link:
        found = await link.get(sys.argv[1])
        print("got", found["v"])


asyncio.run(main())
