"""Print the first file of what a magnet link names: from Shoal or any BitTorrent client."""

import asyncio

import shoal


async def main(link: str) -> None:
    async with shoal.Node() as node:
        print(await (await node.get(link)).read())


asyncio.run(main(input("magnet link: ")))
