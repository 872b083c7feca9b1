"""js-libp2p and we talk, whoever dials, over every security, muxer and transport we share."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.interop.children import Child
from tests.interop.programs import node

import shoal
from shoal.errors import ClosedError, ResetError
from shoal.net.stream import Stream

pytestmark = [pytest.mark.interop, pytest.mark.timeout(150)]

PIECE = bytes(index % 251 for index in range(65536))
PATIENCE = 100.0  # seconds for one conversation, on a busy machine
COMBINATIONS = [
    ("noise", "yamux", "tcp"),
    ("tls", "yamux", "tcp"),
    ("noise", "mplex", "tcp"),
    ("tls", "mplex", "tcp"),
    ("noise", "yamux", "ws"),
]


class JsPeer:
    """A js-libp2p node, where it listens, and what it does for us."""

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


def with_peer(
    test: Callable[[shoal.Node, JsPeer], Awaitable[None]],
    security: str = "noise",
    muxer: str = "yamux",
    transport: str = "tcp",
) -> None:
    async def main(child: Child) -> None:
        listen = "/ip4/127.0.0.1/tcp/0/ws" if transport == "ws" else "/ip4/127.0.0.1/tcp/0"
        async with shoal.Node(listen=[listen]) as mine, asyncio.timeout(PATIENCE):
            mine.handle("/test/echo", echo)
            mine.handle("/test/reset", reset)
            await test(mine, JsPeer(child))

    command = [*node("libp2p/peer.mjs"), security, muxer, transport]
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


@pytest.mark.parametrize(("security", "muxer", "transport"), COMBINATIONS)
def test_both_dial_identify_ping_and_echo(security: str, muxer: str, transport: str) -> None:
    pieces = 1024 if muxer == "yamux" and transport == "tcp" else 64  # 64 MiB, else 4

    async def test(mine: shoal.Node, theirs: JsPeer) -> None:
        connection = await mine.dial(theirs.address)
        assert security in connection.about.security
        assert muxer in connection.about.muxer
        assert len(await mine.ping(theirs.address, 3)) == 3
        assert "/ipfs/ping/1.0.0" in mine.book.protocols(connection.peer)
        async with await mine.open(theirs.address, "/test/echo") as stream:
            sent, heard = await asyncio.gather(send(stream, pieces), digest_of(stream))
            assert sent == heard
        known = await theirs.does("known", mine)
        assert known["agent"].startswith("shoal/")
        assert "/test/echo" in known["protocols"]
        assert (await theirs.does("pings", mine))["trip"] >= 0
        assert (await theirs.does("echo", mine, pieces=pieces))["equal"]

    with_peer(test, security, muxer, transport)


def test_it_dials_us_first() -> None:
    async def test(mine: shoal.Node, theirs: JsPeer) -> None:
        assert (await theirs.does("known", mine))["agent"].startswith("shoal/")
        assert (await theirs.does("echo", mine, pieces=64))["equal"]
        (connection,) = mine.host.connections
        assert not connection.about.initiator
        async with await mine.open(connection.peer, "/test/hash") as stream:  # over the same one
            sent = await send(stream, 16)
            assert (await stream.readexactly(32)).hex() == sent
        assert len(mine.host.connections) == 1

    with_peer(test)


@pytest.mark.parametrize("muxer", ["yamux", "mplex"])
def test_half_close_and_reset_both_ways(muxer: str) -> None:
    async def test(mine: shoal.Node, theirs: JsPeer) -> None:
        async with await mine.open(theirs.address, "/test/hash") as stream:
            sent = await send(stream, 3)
            assert (await stream.readexactly(32)).hex() == sent
            assert await stream.read() == b""
        async with await mine.open(theirs.address, "/test/reset") as stream:
            await stream.write(b"x")
            with pytest.raises((ResetError, ClosedError)):
                await stream.readexactly(1)
        assert (await theirs.does("killed", mine))["error"]
        assert len(await mine.ping(theirs.address)) == 1  # the connection has outlived it

    with_peer(test, muxer=muxer)


def test_a_reader_that_pauses_for_twenty_seconds_breaks_nothing() -> None:
    async def test(mine: shoal.Node, theirs: JsPeer) -> None:
        async with await mine.open(theirs.address, "/test/slow") as stream:
            sending = asyncio.create_task(send(stream, 512))  # 32 MiB into a window of 16
            await asyncio.sleep(5)
            assert not sending.done()
            assert len(await mine.ping(theirs.address)) == 1  # others are not held up
            sent = await sending
            assert (await stream.readexactly(32)).hex() == sent

    with_peer(test)


def test_a_thousand_streams_on_one_connection() -> None:
    async def one(mine: shoal.Node, theirs: JsPeer, number: int) -> int:
        async with await mine.open(theirs.address, "/test/echo") as stream:
            await stream.write(number.to_bytes(4, "big"))
            await stream.close_write()
            return int.from_bytes(await stream.readexactly(4), "big")

    async def test(mine: shoal.Node, theirs: JsPeer) -> None:
        assert (await theirs.does("streams", mine, count=900))["answered"] == 900
        for start in (0, 500):  # js accepts a thousand at once, some of which are still closing
            numbers = range(start, start + 500)
            assert await asyncio.gather(*(one(mine, theirs, each) for each in numbers)) == list(
                numbers
            )
        assert len(mine.host.connections) == 1

    with_peer(test)
