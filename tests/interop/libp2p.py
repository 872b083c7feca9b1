"""A conversation with another libp2p program: what both sides serve, and how it is told what to do.

The program prints `ready ADDRESS`, takes commands as lines of JSON on stdin and
answers each with `done N {...}`.
"""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from tests.interop.children import Child

import shoal
from shoal.net.stream import Stream

PIECE = bytes(index % 251 for index in range(65536))
PATIENCE = 100.0  # seconds for one conversation, on a busy machine


class Peer:
    """A node of the other program, where it listens, and what it does for us."""

    def __init__(self, child: Child) -> None:
        assert child.match
        self.child = child
        self.address = child.match[1]
        self._count = 0

    async def does(self, what: str, mine: shoal.Node, **words: Any) -> Any:
        address = next(str(each) for each in mine.addresses if "/127.0.0.1/" in str(each))
        self.child.say(json.dumps({"do": what, "address": address, **words}))
        done = await asyncio.to_thread(self.child.wait_for, rf"^done {self._count} (.*)$", PATIENCE)
        self._count += 1
        return json.loads(done[1])


Conversation = Callable[[shoal.Node, Peer], Awaitable[None]]


def converse(command: Sequence[str], conversation: Conversation, listen: str, **made: Any) -> None:
    """Run the program, a node of ours, and both until they have said everything."""

    async def main(child: Child) -> None:
        async with shoal.Node(listen=[listen], **made) as mine, asyncio.timeout(PATIENCE):
            mine.handle("/test/echo", echo)
            mine.handle("/test/reset", reset)
            await conversation(mine, Peer(child))

    with Child(command, ready=r"^ready (\S+)") as child:
        asyncio.run(main(child))


async def echo(stream: Stream) -> None:
    while data := await stream.read(1 << 20):
        await stream.write(data)
    await stream.close_write()


async def reset(stream: Stream) -> None:
    await stream.read(1)
    stream.reset()


async def send(stream: Stream, pieces: int) -> str:
    """Write so many pieces and half-close; their digest."""
    digest = hashlib.sha256()
    for _ in range(pieces):
        digest.update(PIECE)
        await stream.write(PIECE)
    await stream.close_write()
    return digest.hexdigest()


async def digest_of(stream: Stream) -> str:
    digest = hashlib.sha256()
    while data := await stream.read(1 << 20):
        digest.update(data)
    return digest.hexdigest()


async def ask_number(mine: shoal.Node, theirs: Peer, number: int) -> int:
    """A stream of its own for one number, which comes back."""
    async with await mine.open(theirs.address, "/test/echo") as stream:
        await stream.write(number.to_bytes(4, "big"))
        await stream.close_write()
        return int.from_bytes(await stream.readexactly(4), "big")
