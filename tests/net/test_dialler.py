"""A dial that fails says why, at once where it can, and for each address."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

import pytest
from tests.net.hosts import make_host

from shoal.errors import UnreachableError, UsageError
from shoal.net.host import Host
from shoal.net.limits import Limits, LimitSettings
from shoal.net.transport.tcp import Tcp
from shoal.net.transport.websocket import WebSocket
from shoal.node import Node
from shoal.peer.key import PrivateKey
from shoal.peer.multiaddr import Multiaddr

Case = Callable[[Host, Host], Awaitable[None]]


def run(case: Case, limits: LimitSettings | None = None) -> None:
    async def both() -> None:
        a = make_host(1, [Tcp(), WebSocket()], limits=Limits(limits))
        async with asyncio.timeout(10), a, make_host(2) as b:
            await b.listen("/ip4/127.0.0.1/tcp/0")
            await case(a, b)

    asyncio.run(both())


def test_our_own_address_is_refused_at_once() -> None:
    async def case(a: Host, b: Host) -> None:
        with pytest.raises(UnreachableError, match="our own id"):
            await b.dial(b.addresses[0].without_peer())
        assert b.connections == []
        await asyncio.sleep(0.1)  # until the other end sees it
        assert not any(b.limits.node.used.values())

    run(case)


def test_a_limit_of_ours_is_told_at_once() -> None:
    async def case(a: Host, b: Host) -> None:
        async with make_host(3) as c:
            await c.listen("/ip4/127.0.0.1/tcp/0")
            await a.dial(b.addresses)
            with pytest.raises(UnreachableError, match="1 connections"):
                await a.dial(c.addresses)

    run(case, LimitSettings(connections=1))


@pytest.mark.parametrize("name", ["a..b", "x" * 64, "no%20name"])
@pytest.mark.parametrize("over", ["", "/ws"])
def test_a_name_that_is_none_fails_alone(name: str, over: str) -> None:
    async def case(a: Host, b: Host) -> None:
        strange = f"/dns4/{name}/tcp/1{over}"
        assert (await a.dial([strange, b.addresses[0]])).peer == b.id
        with pytest.raises(UnreachableError) as caught:
            await a.dial(strange)
        assert list(caught.value.reasons) == [strange]

    run(case)


def test_many_addresses_that_we_do_not_speak_hide_none_that_we_do() -> None:
    async def case(a: Host, b: Host) -> None:
        strange = [f"/ip4/127.0.0.1/udp/{port}" for port in range(1, 40)]
        assert (await a.dial([*strange, b.addresses[0]])).peer == b.id

    run(case)


def test_no_protocol_and_a_long_one_are_wrong_usage_and_leave_nothing() -> None:
    async def case(a: Host, b: Host) -> None:
        connection = await a.dial(b.addresses)
        await a.introduction.wait(connection)  # type: ignore[attr-defined]
        used = a.limits.node.used["streams"]
        with pytest.raises(UsageError):
            await a.open(b.id, [])
        with pytest.raises(UsageError):
            await a.open(b.id, "/" + "x" * 2000)
        assert a.limits.node.used["streams"] == used

    run(case)


def test_only_the_hybrid_handshake_is_offered_to_strangers_too_if_there_is_no_other() -> None:
    async def case() -> None:
        async with asyncio.timeout(10), Node(security=["hybrid"]) as a, Node() as b:
            assert "mlkem" in (await a.dial(b.addresses)).about.security

    asyncio.run(case())


def test_nobody_listens_at_anothers_address() -> None:
    async def case(a: Host, b: Host) -> None:
        other = PrivateKey.generate(Random(9)).public
        address = Multiaddr.parse("/ip4/127.0.0.1/tcp/0").with_peer(type(a.id).of(other))
        with pytest.raises(UsageError, match="another node"):
            await a.listen(address)
        with pytest.raises(UsageError, match="in use"):
            await a.listen(b.addresses[0].without_peer())

    run(case)
