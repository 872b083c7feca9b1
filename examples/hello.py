"""Say hello to a peer."""

import asyncio

import shoal


async def main() -> None:
    async with shoal.Node() as alice, shoal.Node() as bob:

        @bob.handle("/hello/1.0.0")
        async def hello(stream):
            await stream.write(b"hello, " + await stream.read())

        stream = await alice.open(bob.addresses[0], "/hello/1.0.0")
        await stream.write(b"alice")
        print((await stream.read()).decode())


asyncio.run(main())
