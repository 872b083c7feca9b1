"""Swarm wires take places among the node's connections, by prefix too, and give them back."""

import asyncio
import random

import pytest
from tests.swarm.contents import counting

from shoal.errors import LimitError
from shoal.net.limits import Limits, LimitSettings
from shoal.sim.host import Host
from shoal.sim.world import World
from shoal.swarm.make import Recipe
from shoal.swarm.service import Swarm

PORT = 6881


async def serve(host: Host, limits: Limits, opened: asyncio.Event) -> None:
    await host.disk.write("/content", 0, [counting(200_000)])
    async with Swarm(host.disk, host.rng, limits=limits) as swarm:
        await swarm.listen(host.ip, PORT)
        await swarm.share("/content", Recipe("v1"))
        opened.set()
        await asyncio.Event().wait()


async def knock(ip: str) -> bool:
    """Whether a stranger who says nothing is still welcome a second later."""
    reader, writer = await asyncio.open_connection(ip, PORT)
    try:
        async with asyncio.timeout(1.0):
            return bool(await reader.read(1))
    except TimeoutError:
        return True
    except ConnectionError:
        return False
    finally:
        writer.close()


def welcomed(limits: Limits, strangers: int) -> int:
    world = World(1)
    seed = world.host("seed")
    hosts = [world.host(f"stranger{number}") for number in range(strangers)]

    async def main() -> int:
        opened = asyncio.Event()
        seed.spawn(serve(seed, limits, opened))
        async with asyncio.timeout(10):
            await opened.wait()
        knocks = [host.spawn(knock(seed.ip)) for host in hosts]
        answers = await asyncio.gather(*knocks)
        await asyncio.sleep(1.0)
        return sum(answers)

    with world:
        return world.run(main())


def test_one_network_cannot_take_all_places() -> None:
    limits = Limits(LimitSettings(per_prefix=5))
    assert welcomed(limits, 20) == 5
    assert limits.node.used == dict.fromkeys(limits.node.used, 0)  # all gave theirs back


def test_strangers_who_say_nothing_make_room_for_strangers() -> None:
    limits = Limits(LimitSettings(handshakes=3))
    assert welcomed(limits, 12) == 3


def test_a_swarm_does_not_dial_beyond_the_nodes_connections() -> None:
    limits = Limits(LimitSettings(connections=2))
    swarm = Swarm(None, random.Random(1), limits=limits)  # type: ignore[arg-type]
    assert swarm.room() == 2
    held = limits.connection(b"peer")
    assert swarm.room() == 1
    limits.release_connection(held, b"peer")
    assert swarm.room() == 2


def test_a_place_is_given_back_once() -> None:
    limits = Limits(LimitSettings(connections=1))
    place = limits.wire("198.51.100.1", 0.0, inbound=True)
    with pytest.raises(LimitError, match="connections"):
        limits.wire("203.0.113.1", 0.0, inbound=True)
    assert limits.node.used["inbound"] == limits.node.used["handshakes"] == 1
    place.proved()
    place.leave()
    place.leave()
    assert not any(limits.node.used.values())
    limits.wire("203.0.113.1", 0.0, inbound=False)
