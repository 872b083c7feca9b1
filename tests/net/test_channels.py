"""Every secure channel carries every muxer between two hosts."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest
from tests.net.hosts import make_host, make_offer

from shoal.errors import UnreachableError
from shoal.net.host import Host
from shoal.net.mux import mplex, yamux
from shoal.net.secure import hybrid, noise, tls
from shoal.net.stream import Stream

SECURITIES: dict[str, Callable[..., Any]] = {
    noise.PROTOCOL: noise.Noise,
    tls.PROTOCOL: tls.Tls,
    hybrid.PROTOCOL: hybrid.hybrid,
}
MUXERS = {yamux.PROTOCOL: yamux.Yamux, mplex.PROTOCOL: mplex.Mplex}
STREAMS = 20


def host(seed: int, security: str, muxers: list[str]) -> Host:
    chosen = {name: MUXERS[name] for name in muxers}
    return make_host(
        seed, offer=make_offer(seed, securities={security: SECURITIES[security]}, muxers=chosen)
    )


async def echo(stream: Stream) -> None:
    while data := await stream.read():
        await stream.write(data)


async def exchange(a: Host, b: Host, data: bytes) -> None:
    stream = await a.open(b.addresses, "/echo")
    await stream.write(data)
    await stream.close_write()
    assert await stream.readexactly(len(data)) == data
    assert await stream.read() == b""


@pytest.mark.parametrize("muxer", MUXERS)
@pytest.mark.parametrize("security", SECURITIES)
def test_streams_are_echoed_side_by_side(security: str, muxer: str) -> None:
    async def talk() -> None:
        b = host(2, security, [*MUXERS])
        async with asyncio.timeout(15), host(1, security, [muxer]) as a, b:
            b.handle("/echo", echo)
            await b.listen("/ip4/127.0.0.1/tcp/0")
            chance = random.Random(1)
            async with asyncio.TaskGroup() as group:
                for size in chance.sample(range(200_000), STREAMS):
                    group.create_task(exchange(a, b, chance.randbytes(size)))
            [connection] = a.connections
            assert (connection.about.security, connection.about.muxer) == (security, muxer)

    asyncio.run(talk())


@pytest.mark.parametrize("security", SECURITIES)
def test_another_peer_than_the_address_names_is_not_talked_to(security: str) -> None:
    async def talk() -> None:
        a, b = host(1, security, [*MUXERS]), host(2, security, [*MUXERS])
        async with asyncio.timeout(15), a, b:
            [bound] = await b.listen("/ip4/127.0.0.1/tcp/0")
            wrong = str(bound).replace(str(b.id), str(a.id))
            stranger = host(3, security, [*MUXERS])
            async with stranger:
                with pytest.raises(UnreachableError, match="was expected"):
                    await stranger.dial(wrong)
            assert not stranger.connections

    asyncio.run(talk())
