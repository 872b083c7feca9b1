"""Run a node, with all defaults."""

import asyncio

import shoal


async def main() -> None:
    async with shoal.Node() as node:
        print(f"{node.id} runs at", *node.addresses)


asyncio.run(main())
