"""Whoever breaks the rules ends in a closed connection; honest peers are served all the while."""

import asyncio
from collections.abc import Awaitable, Callable
from socket import SO_RCVBUF, SO_SNDBUF, SOL_SOCKET
from typing import Any

import pytest
from tests.net.hostile import (
    DATA,
    GO_AWAY,
    PING,
    RST,
    SYN,
    WINDOW_UPDATE,
    Raw,
    connect,
    forging_host,
    frame,
    rude_host,
)
from tests.net.hosts import make_host
from tests.net.worlds import PORT, Town

from shoal.errors import ShoalError
from shoal.net.host import Host
from shoal.net.limits import Limits, LimitSettings
from shoal.net.wire import WireSettings
from shoal.sim.host import Host as Machine
from shoal.sim.run import run_one
from shoal.sim.world import World

Attack = Callable[[str], Awaitable[None]]
LIMITS = LimitSettings()
TALKS = 20  # of the honest peer, one a second
STREAMS = 1000  # that yamux lets a peer have


async def under(world: World, attack: Attack, check: Callable[[Host], None]) -> int:
    """One host is attacked from a third while an honest one talks to it; how often it did."""
    town = Town(world, 2)
    villain = world.host("villain")
    await world.until(lambda: len(town.nodes) == 2, within=10)
    victim, honest = town.hosts
    node = town.nodes[victim.name]
    world.always(lambda: bounded(node.host), every=0.5)
    attacking = asyncio.ensure_future(villain.run(attack(victim.ip)))
    for _ in range(TALKS):
        await asyncio.sleep(1)
        assert await honest.run(town.talk(honest, victim)), "the honest peer was not served"
    await attacking
    await asyncio.sleep(30)
    check(node.host)
    strangers = [one for one in node.host.connections if one.peer != town.nodes[honest.name].id]
    assert strangers == []
    return TALKS


def bounded(host: Host) -> bool:
    used = host.limits.node.used
    return (
        used["handshakes"] <= LIMITS.handshakes
        and used["inbound"] <= LIMITS.per_prefix + 1
        and used["streams"] <= STREAMS + 20
        and used["memory"] <= LIMITS.memory
        and len(host.tasks) <= STREAMS + 20
    )


def run(attack: Attack, check: Callable[[Host], None] = lambda host: None) -> int:
    async def scenario(world: World) -> int:
        return await under(world, attack, check)

    return int(run_one(scenario, 5, within=200).value)


def test_a_flood_of_connections() -> None:
    async def attack(ip: str) -> None:
        pipes = [await connect(ip, PORT, Raw) for _ in range(500)]
        await asyncio.sleep(20)
        assert all(pipe.closed for pipe in pipes)

    def check(host: Host) -> None:
        assert host.limits.node.used["handshakes"] == 0
        assert host.limits.node.used["inbound"] <= 1

    run(attack, check)


def test_a_slow_loris() -> None:
    async def attack(ip: str) -> None:
        pipe = await connect(ip, PORT, Raw)
        for byte in b"\x13/multistream/1.0.0\n" * 2:
            if pipe.closed:
                return
            pipe.transport.write(bytes([byte]))
            await asyncio.sleep(1)
        raise AssertionError("it was never closed")

    assert run(attack) == TALKS


@pytest.mark.parametrize(
    "says",
    [
        b"\xff\xff\xff\xff\xff",  # a length without end
        b"\x13/multistream/9.9.9\n",
        b"\x00",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x13/multistream/1.0.0\n\x07/noise\n\x00\x20" + bytes(32),  # a zero key
        b"\x13/multistream/1.0.0\n\x07/noise\n\xff\xff" + bytes(65535),
        b"\x13/multistream/1.0.0\n" + b"\x03na\n" * 100,
    ],
    ids=["length", "version", "empty", "http", "zero", "record", "refusals"],
)
def test_nonsense_in_the_handshake(says: bytes) -> None:
    async def attack(ip: str) -> None:
        pipe = await connect(ip, PORT, lambda: Raw(says))
        await asyncio.sleep(16)
        assert pipe.closed

    run(attack)


def rude(says: bytes) -> Attack:
    async def attack(ip: str) -> None:
        host = rude_host(says)
        try:
            connection = await host.dial(f"/ip4/{ip}/tcp/{PORT}")
            await asyncio.sleep(15)
            assert connection.ended
        except ShoalError:
            pass  # it was closed before we looked
        await host.aclose()

    return attack


@pytest.mark.parametrize(
    "says",
    [
        frame(DATA, SYN, 1, 1 << 30) + bytes(100_000),  # beyond the window
        frame(WINDOW_UPDATE, SYN, 1, 0) + frame(DATA, 0, 1, 256 * 1024) + bytes(256 * 1024) * 2,
        frame(WINDOW_UPDATE, SYN, 2, 0),  # an id that is not theirs to open
        frame(WINDOW_UPDATE, SYN, 1, 0) * 2,
        frame(7, 0, 1, 0),
        frame(DATA, 0, 0, 0, version=9),
        frame(WINDOW_UPDATE, SYN, 1, 0) + frame(WINDOW_UPDATE, 0, 1, 2**32 - 1),
        frame(PING, SYN, 0, 0) * 5000,
        frame(GO_AWAY, 0, 0, 1),
    ],
    ids=["large", "window", "parity", "twice", "type", "version", "grant", "pings", "goodbye"],
)
def test_a_muxer_that_breaks_the_rules(says: bytes) -> None:
    assert run(rude(says)) == TALKS


def test_a_flood_of_streams_that_say_nothing() -> None:
    opens = b"".join(frame(WINDOW_UPDATE, SYN, number, 0) for number in range(1, 6000, 2))

    async def attack(ip: str) -> None:
        host = rude_host(opens)
        connection = await host.dial(f"/ip4/{ip}/tcp/{PORT}")
        await asyncio.sleep(20)
        connection.abort()
        await host.aclose()

    def check(host: Host) -> None:
        assert host.limits.node.used["streams"] <= 1

    run(attack, check)


def test_a_forged_identity() -> None:
    async def attack(ip: str) -> None:
        host = forging_host()
        for _ in range(5):
            try:
                connection = await host.dial(f"/ip4/{ip}/tcp/{PORT}")
            except ShoalError:
                continue
            await asyncio.sleep(1)
            assert connection.ended
        await host.aclose()

    run(attack)


def test_a_machine_that_never_reads() -> None:
    """Its window is all that waits for it, and not for ever."""

    async def attack(ip: str) -> None:
        asks = frame(WINDOW_UPDATE, SYN, 1, 0)
        words = b"\x13/multistream/1.0.0\n\x06/echo\n" + bytes(200_000)
        says = asks + frame(DATA, 0, 1, len(words)) + words
        host = rude_host(says)
        connection = await host.dial(f"/ip4/{ip}/tcp/{PORT}")
        connection._link.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(100)

    async def scenario(world: World) -> None:
        town = Town(world, 2)
        villain: Machine = world.host("villain")
        await world.until(lambda: len(town.nodes) == 2, within=10)
        await villain.run(attack(town.hosts[0].ip))
        assert town.nodes[town.hosts[0].name].host.connections == []
        assert await town.hosts[1].run(town.talk(*reversed(town.hosts)))

    run_one(scenario, 5, within=300)


def test_a_crowd_that_does_not_shake_hands_makes_room_for_who_does() -> None:
    """From many networks, so that the limit of one does not help: loopback has none."""

    async def case() -> None:
        limits = Limits(LimitSettings(handshakes=5))
        async with asyncio.timeout(10), make_host(1) as a, make_host(2, limits=limits) as b:
            (address,) = await b.listen("/ip4/127.0.0.1/tcp/0")
            crowd = [await connect("127.0.0.1", address.port or 0, Raw) for _ in range(20)]
            assert (await a.dial(address)).peer == b.id
            assert sum(not pipe.closed for pipe in crowd) <= 5
            assert b.limits.node.used["handshakes"] <= 5
            assert b.limits.node.used["inbound"] <= 6
        assert not any(b.limits.node.used.values())

    asyncio.run(case())


def rapid_reset(count: int) -> bytes:
    number = 2 * count + 1
    return frame(WINDOW_UPDATE, SYN, number, 0) + frame(WINDOW_UPDATE, RST, number, 0)


def test_streams_opened_and_reset_by_who_never_reads_are_bounded() -> None:
    """Each costs an answer; the wire is cut when too many wait."""

    async def case() -> None:
        wires = WireSettings(out_high=1 << 14, out_low=1 << 12, out_max=1 << 16)
        b = make_host(2, wires=wires)
        async with asyncio.timeout(15), b:
            (address,) = await b.listen("/ip4/127.0.0.1/tcp/0")
            async with rude_host(b"") as villain:
                connection = await villain.dial(address)
                wire: Any = connection._link
                wire.pause_reading()
                while not b.connections:  # noqa: ASYNC110 the other side's success has no event
                    await asyncio.sleep(0.01)
                theirs: Any = b.connections[0]._link
                for link, which in ((wire, SO_RCVBUF), (theirs, SO_SNDBUF)):
                    link.transport.get_extra_info("socket").setsockopt(SOL_SOCKET, which, 1 << 14)
                most = number = 0
                while b.connections:
                    opens = [rapid_reset(number + more) for more in range(500)]
                    number += 500
                    wire.core.out.append(b"".join(opens))
                    wire.flush()
                    await asyncio.sleep(0)
                    waits = sum(map(len, theirs.core.out))
                    most = max(most, waits + theirs.transport.get_write_buffer_size())
                    assert all(len(one.streams) <= 1 for one in b.connections)
                assert theirs.error is not None
                assert 0 < most < 1 << 20

    asyncio.run(case())
