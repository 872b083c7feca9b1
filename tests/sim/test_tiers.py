"""One scenario on hosts, engines and tables: everybody hears of what one knows."""

import asyncio
from random import Random
from typing import Any

import pytest
from tests.sim.scenarios import PORT, open_socket

from shoal.sim.host import Host
from shoal.sim.link import Constant
from shoal.sim.run import run_one
from shoal.sim.world import World

COUNT = 300
KNOWN = 8  # neighbours of each


def neighbours(number: int) -> list[int]:
    return Random(number).sample(range(COUNT), KNOWN)


class Flood:
    """Passes on what it hears for the first time."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.hops = -1
        self.deadline: float | None = None
        self.out: list[tuple[int, Any]] = []
        self.ticks: list[float] = []

    def receive(self, sender: int, message: int, now: float) -> None:
        if self.hops < 0:
            self.hops = message
            self.out += [(other, message + 1) for other in neighbours(self.number)]

    def tick(self, now: float) -> None:
        self.ticks.append(now)
        self.deadline = None


async def on_hosts(world: World) -> list[int]:
    world.links.delay = Constant(0.05)
    hops = [-1] * COUNT

    async def boot(host: Host) -> None:
        def heard(data: bytes, address: Any, transport: Any) -> None:
            if hops[host.number] < 0:
                hops[host.number] = int(data)
                for other in neighbours(host.number):
                    transport.sendto(b"%d" % (int(data) + 1), (nodes[other].ip, PORT))

        transport = await open_socket(heard)
        if host.number == 0:
            await asyncio.sleep(0.01)
            transport.sendto(b"0", (host.ip, PORT))

    nodes = world.hosts(COUNT)
    for host in nodes:
        world.boot(host, boot)
    trouble(nodes)
    await asyncio.sleep(5)
    return hops


async def on_cores(world: World) -> list[int]:
    world.links.delay = Constant(0.05)
    nodes = world.cores(COUNT, lambda number, rng: Flood(number))
    trouble(nodes)
    nodes.act(0, lambda engine, now: engine.receive(0, 0, now))
    await asyncio.sleep(5)
    return [nodes[number].hops if nodes.up(number) else -1 for number in range(COUNT)]


async def on_graph(world: World) -> list[int]:
    nodes = world.graph(COUNT, lambda number, rng: neighbours(number))
    trouble(nodes)
    return list(nodes.spread(0))


def trouble(nodes: Any) -> None:
    """The same on every tier: a tenth is down, and one does not reach the others."""
    for number in range(5, COUNT, 10):
        nodes.crash(number)
    nodes.cut((7,), one_way=True)
    nodes.cut((8,))


def test_the_three_tiers_agree_on_who_is_how_far() -> None:
    hosts, cores, graph = (run_one(on, 1).value for on in (on_hosts, on_cores, on_graph))
    assert hosts == cores == graph
    assert hosts[0] == 0
    assert hosts[8] == -1
    assert hosts[7] > 0  # what it sends is lost, what it is sent arrives
    assert sum(hop >= 0 for hop in hosts) > COUNT * 8 // 10


def test_engines_wake_at_their_deadlines() -> None:
    async def scenario(world: World) -> list[float]:
        nodes = world.cores(2, lambda number, rng: Flood(number))

        def wake_at(*times: float) -> None:
            for when in times:
                nodes.act(0, lambda engine, now, when=when: setattr(engine, "deadline", when))

        wake_at(1010.0, 1003.0)  # an earlier one takes its place
        await asyncio.sleep(5)
        wake_at(1020.0, 1030.0)  # a later one waits
        await asyncio.sleep(20)
        assert nodes[0].deadline == 1030.0  # type: ignore[comparison-overlap]
        await asyncio.sleep(20)
        wake_at(1060.0)
        nodes.crash(0)
        nodes.restart(0)
        await asyncio.sleep(60)
        found: list[float] = [*nodes[0].ticks]
        assert found == []  # the deadline of a former life
        wake_at(world.loop.now - 1)  # one that has passed is due at once
        await asyncio.sleep(0.001)
        return nodes[0].ticks  # type: ignore[no-any-return]

    async def first(world: World) -> list[float]:
        nodes = world.cores(2, lambda number, rng: Flood(number))
        for when in (1010.0, 1003.0):
            nodes.act(0, lambda engine, now, when=when: setattr(engine, "deadline", when))
        await asyncio.sleep(30)
        nodes.act(0, lambda engine, now: setattr(engine, "deadline", 1040.0))
        nodes.act(0, lambda engine, now: setattr(engine, "deadline", 1050.0))
        await asyncio.sleep(30)
        return nodes[0].ticks  # type: ignore[no-any-return]

    assert run_one(first, 1).value == [1003.0, 1050.0]
    assert len(run_one(scenario, 1).value) == 1


def test_engines_share_the_troubles_of_the_links() -> None:
    class Counter(Flood):
        def receive(self, sender: int, message: int, now: float) -> None:
            self.hops += 1

    async def scenario(world: World) -> int:
        world.links.loss, world.links.duplicate, world.links.reorder = 0.2, 0.5, 0.5
        nodes = world.cores(2, lambda number, rng: Counter(number))
        for _ in range(1000):
            nodes.act(0, lambda engine, now: engine.out.append((1, 0)))
        await asyncio.sleep(5)
        return nodes.messages

    assert run_one(scenario, 1).value == pytest.approx(1000 * 1.5 * 0.8, rel=0.1)


def test_a_crashed_engine_is_made_anew_and_cannot_be_asked_meanwhile() -> None:
    async def scenario(world: World) -> None:
        nodes = world.cores(3, lambda number, rng: Flood(number))
        nodes[1].hops = 5
        nodes.crash(1)
        nodes.crash(1)
        with pytest.raises(LookupError, match="node 1 is down"):
            nodes[1]
        nodes.restart(1)
        nodes.restart(1)
        assert nodes[1].hops == -1

    run_one(scenario, 1)


def test_tables_are_drawn_alike_in_whatever_order_they_are_needed() -> None:
    def table(number: int, rng: Random) -> list[int]:
        return [rng.randrange(10**6) for _ in range(5)]

    with World(1) as one, World(1) as other, World(2) as third:
        here, there, else_ = (world.graph(10**6, table) for world in (one, other, third))
        forward = [here[number] for number in range(50)]
        assert forward == [there[number] for number in reversed(range(50))][::-1]
        assert forward != [else_[number] for number in range(50)]


def test_a_greedy_way_ends_where_nobody_is_nearer() -> None:
    def ring(number: int, rng: Random) -> list[int]:
        return [(number + 2**power) % 1024 for power in range(10)]

    with World(1) as world:
        nodes = world.graph(1024, ring)
        way = nodes.route(0, lambda number: (1000 - number) % 1024)
        assert way == [0, 512, 768, 896, 960, 992, 1000]
        nodes.crash(1000)
        assert nodes.route(0, lambda number: (1000 - number) % 1024)[-1] == 999


@pytest.mark.slow
def test_many_engines_and_a_million_tables() -> None:
    async def many(world: World) -> int:
        count = 20_000
        nodes = world.cores(count, lambda number, rng: Flood(number))
        nodes.act(0, lambda engine, now: engine.receive(0, 0, now))
        await asyncio.sleep(5)
        return nodes.messages

    assert run_one(many, 1).value > 2000  # within the first COUNT

    def table(number: int, rng: Random) -> list[int]:
        return [int(rng.random() * 10**6) for _ in range(8)]

    with World(1) as world:
        nodes = world.graph(10**6, table)
        assert len(nodes.route(1, lambda number: number ^ 77777)) > 1
