"""A host that is full makes room, and one whose memory is full lets go of who fills it."""

import asyncio

import pytest
from tests.net.hosts import make_host

from shoal.errors import ClosedError, LimitError
from shoal.net.host import Host
from shoal.net.identify import PING
from shoal.net.introduction import ping
from shoal.net.limits import PROTECTED, Limits, LimitSettings
from shoal.net.stream import Stream

ROOM = 4 * PROTECTED + 2  # two more than eviction protects
LISTEN = "/ip4/127.0.0.1/tcp/0"


def full_host(**limits: int) -> Host:
    return make_host(1, limits=Limits(LimitSettings(**limits)))  # type: ignore[arg-type]


def test_a_newcomer_takes_the_place_of_whoever_is_worth_least() -> None:
    async def case() -> None:
        async with asyncio.timeout(15), full_host(inbound=ROOM) as host:
            await host.listen(LISTEN)
            peers = [make_host(seed) for seed in range(10, 10 + ROOM + 3)]
            for peer in peers:
                connection = await peer.dial(host.addresses[0])
                await peer.introduction.wait(connection)  # type: ignore[attr-defined]
            assert len(host.connections) == ROOM
            async with await peers[-1].open(host.id, PING) as stream:
                await ping(stream, host.offer.rng)
            for peer in peers:
                await peer.aclose()

    asyncio.run(case())


def test_unread_bytes_beyond_the_limit_end_the_connection_that_sent_them() -> None:
    async def case() -> None:
        async def hoard(stream: Stream) -> None:
            await asyncio.sleep(60)

        async with (
            asyncio.timeout(15),
            full_host(memory=100_000) as host,
            make_host(2) as rude,
            make_host(3) as honest,
        ):
            host.handle("/hoard", hoard)
            await host.listen(LISTEN)
            stream = await rude.open(host.addresses[0], "/hoard")
            await stream.write(bytes(200_000))
            with pytest.raises(ClosedError):
                await stream.read()
            assert host.limits.node.used["memory"] == 0
            async with await honest.open(host.addresses[0], PING) as good:
                await ping(good, host.offer.rng)

    asyncio.run(case())


def test_streams_of_one_protocol_and_of_one_peer_have_a_bound() -> None:
    async def case() -> None:
        async def wait(stream: Stream) -> None:
            await stream.read()

        async with (
            asyncio.timeout(15),
            full_host(streams_per_protocol=3, streams_per_peer=10) as host,
            make_host(2, limits=Limits(LimitSettings(streams_per_peer=20))) as peer,
        ):
            host.handle("/wait", wait)
            await host.listen(LISTEN)
            opened = [await peer.open(host.addresses[0], "/wait") for _ in range(3)]
            fourth = await peer.open(host.id, "/wait")
            with pytest.raises(ClosedError):
                await fourth.read()
            others = await ping_streams(peer, host, 7)
            with pytest.raises(ClosedError):
                await (await peer.open(host.id, PING)).read()
            with pytest.raises(LimitError):
                await ping_streams(peer, host, 30)
            assert len(opened + others) == 10

    asyncio.run(case())


async def ping_streams(peer: Host, host: Host, count: int) -> list[Stream]:
    return [await peer.open(host.id, PING) for _ in range(count)]
