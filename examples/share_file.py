"""Share this file until interrupted, and print the link by which others get it from here."""

import asyncio

import shoal


async def main() -> None:
    async with shoal.Node() as node:
        shared = await node.share(__file__)
        port = (await node.swarm.open()).port
        print(shared.torrent.magnet((("127.0.0.1", port),)), flush=True)
        await asyncio.Event().wait()


asyncio.run(main())
