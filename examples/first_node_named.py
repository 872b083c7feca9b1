"""The same node, with each module named."""

import asyncio

import shoal


async def main() -> None:
    async with shoal.Node(
        listen=["/ip4/0.0.0.0/tcp/0"], transports=["tcp"], security=["noise"], muxers=["yamux"]
    ) as node:
        print(f"{node.id} runs at", *node.addresses)


asyncio.run(main())
