"""js-libp2p and we talk, whoever dials, over every security, muxer and transport we share."""

import asyncio

import pytest
from tests.interop.libp2p import Conversation, Peer, ask_number, converse, digest_of, send
from tests.interop.programs import node

import shoal
from shoal.errors import ClosedError, ResetError

pytestmark = [pytest.mark.interop, pytest.mark.timeout(150)]

COMBINATIONS = [
    ("noise", "yamux", "tcp"),
    ("tls", "yamux", "tcp"),
    ("noise", "mplex", "tcp"),
    ("tls", "mplex", "tcp"),
    ("noise", "yamux", "ws"),
]


def with_peer(
    test: Conversation, security: str = "noise", muxer: str = "yamux", transport: str = "tcp"
) -> None:
    listen = "/ip4/127.0.0.1/tcp/0/ws" if transport == "ws" else "/ip4/127.0.0.1/tcp/0"
    converse([*node("libp2p/peer.mjs"), security, muxer, transport], test, listen)


@pytest.mark.parametrize(("security", "muxer", "transport"), COMBINATIONS)
def test_both_dial_identify_ping_and_echo(security: str, muxer: str, transport: str) -> None:
    pieces = 1024 if muxer == "yamux" and transport == "tcp" else 64  # 64 MiB, else 4

    async def test(mine: shoal.Node, theirs: Peer) -> None:
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
    async def test(mine: shoal.Node, theirs: Peer) -> None:
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
    async def test(mine: shoal.Node, theirs: Peer) -> None:
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
    async def test(mine: shoal.Node, theirs: Peer) -> None:
        async with await mine.open(theirs.address, "/test/slow") as stream:
            sending = asyncio.create_task(send(stream, 512))  # 32 MiB into a window of 16
            await asyncio.sleep(5)
            assert not sending.done()
            assert len(await mine.ping(theirs.address)) == 1  # others are not held up
            sent = await sending
            assert (await stream.readexactly(32)).hex() == sent

    with_peer(test)


def test_a_thousand_streams_on_one_connection() -> None:
    async def test(mine: shoal.Node, theirs: Peer) -> None:
        assert (await theirs.does("streams", mine, count=900))["answered"] == 900
        for start in (0, 500):  # js accepts a thousand at once, some of which are still closing
            numbers = range(start, start + 500)
            asked = await asyncio.gather(*(ask_number(mine, theirs, each) for each in numbers))
            assert asked == list(numbers)
        assert len(mine.host.connections) == 1

    with_peer(test)
