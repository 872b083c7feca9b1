"""A node is made of what its Config says, and is a good neighbour by default."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

import shoal
from shoal.config import Config
from shoal.errors import ConfigError, LockedError, ResetError, UnreachableError, UsageError
from shoal.net.secure import hybrid
from shoal.node import SETTINGS, Node


def run(case: Callable[[Node, Node], Awaitable[None]], **settings: Any) -> None:
    async def both() -> None:
        async with asyncio.timeout(15), Node(**settings) as a, Node() as b:
            await case(a, b)

    asyncio.run(both())


def test_two_nodes_talk_with_all_defaults() -> None:
    async def case(a: Node, b: Node) -> None:
        @b.handle("/chat/1.0.0")
        async def chat(stream: Any) -> None:
            await stream.write(await stream.read(1024))

        stream = await a.open(b.addresses[0], "/chat/1.0.0")
        await stream.write(b"hello")
        assert await stream.read() == b"hello"
        assert await stream.read() == b""
        assert min(await a.ping(b.id, 3)) > 0

    run(case)


def test_addresses_are_loopback_here_and_name_the_node() -> None:
    async def case(a: Node, b: Node) -> None:
        assert a.addresses
        assert all(address.peer == a.id and address.ip.is_loopback for address in a.addresses)  # type: ignore[union-attr]

    run(case)


def test_profile_local_refuses_the_world() -> None:
    async def case(a: Node, b: Node) -> None:
        with pytest.raises(UnreachableError) as caught:
            await a.dial(f"/ip4/192.0.2.1/tcp/1/p2p/{b.id}")
        assert "local" in str(caught.value)
        with pytest.raises(UsageError):
            await a.host.listen("/ip4/192.0.2.1/tcp/0")

    run(case)


@pytest.mark.parametrize("security", ["noise", "tls"])
@pytest.mark.parametrize("muxer", ["yamux", "mplex"])
def test_every_security_carries_every_muxer(security: str, muxer: str) -> None:
    async def case(a: Node, b: Node) -> None:
        connection = await a.dial(b.addresses[0])
        assert (connection.about.security.strip("/")[:5], connection.about.muxer[1:6]) == (
            security[:5] if security == "noise" else "tls/1",
            muxer,
        )
        assert len(await a.ping(b.id, 2)) == 2

    run(case, security=[security], muxers=[muxer])


@pytest.mark.parametrize("muxer", ["yamux", "mplex"])
def test_the_limits_of_the_muxers_are_settings(muxer: str) -> None:
    async def case(a: Node, b: Node) -> None:
        @a.handle("/quiet/1.0.0")
        async def quiet(stream: Any) -> None:
            await stream.read()

        connection = await b.dial(a.addresses[0])
        assert connection.about.muxer.startswith(f"/{muxer}/")
        await b.introduction.wait(connection)
        held = [await b.open(a.id, "/quiet/1.0.0") for _ in range(3)]
        refused = await b.open(a.id, "/quiet/1.0.0")
        with pytest.raises(ResetError):
            await refused.read()
        for stream in held:
            stream.reset()

    config = Config.load(SETTINGS, environ={f"SHOAL_{muxer.upper()}_STREAMS_MAX": "3"})
    run(case, config=config, muxers=[muxer])


def test_the_second_meeting_is_safe_against_quantum_computers() -> None:
    async def case(a: Node, b: Node) -> None:
        first = await a.dial(b.addresses[0])
        assert first.about.security == "/noise"
        await a.introduction.wait(first)
        first.close()
        await first.wait_closed()
        second = await a.dial(b.id)
        assert second.about.security == hybrid.PROTOCOL

    run(case)


def test_a_kept_identity_is_the_same_after_a_restart(tmp_path: Path) -> None:
    async def case() -> None:
        config = shoal.Config(home=str(tmp_path))
        async with Node(config, keep=True) as node:
            first = node.id
            with pytest.raises(LockedError):
                await Node(config, keep=True).start()
        async with Node(config, keep=True) as node:
            assert node.id == first
        async with Node(config) as node:
            assert node.id != first

    asyncio.run(case())


def test_the_same_rng_gives_the_same_node() -> None:
    async def case() -> None:
        ids = []
        for _ in range(2):
            async with Node(rng=Random(7), listen=[]) as node:
                ids.append(node.id)
        assert ids[0] == ids[1]

    asyncio.run(case())


def test_what_a_node_cannot_be_made_of_is_named() -> None:
    async def case() -> None:
        with pytest.raises(ConfigError, match="morse"):
            await Node(security=["morse"]).start()
        node = Node()
        with pytest.raises(UsageError, match="not started"):
            _ = node.id
        await node.aclose()
        await node.aclose()
        with pytest.raises(UsageError):
            await node.start()

    asyncio.run(case())
