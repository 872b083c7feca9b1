"""Fault plans differ from world to world, and a storm leaves nothing behind."""

import asyncio
from random import Random

import pytest

from shoal.sim.faults import RATES, Fault, Plan, Storm
from shoal.sim.host import Host
from shoal.sim.run import run_world
from shoal.sim.world import World


def test_some_worlds_are_calm_and_some_are_wild() -> None:
    plans = [Plan.draw(Random(seed), 50, 60.0) for seed in range(200)]
    sizes = sorted(len(plan.faults) for plan in plans)
    assert sizes[20] <= 3
    assert sizes[-20] >= 60
    kinds = {fault.kind for plan in plans for fault in plan.faults}
    assert kinds == set(RATES)
    alone = [plan for plan in plans if len({fault.kind for fault in plan.faults}) == 1]
    assert alone  # some have one trouble only


def test_a_plan_is_a_function_of_its_seed() -> None:
    assert Plan.draw(Random(5), 50, 60.0) == Plan.draw(Random(5), 50, 60.0)
    assert Plan.draw(Random(5), 50, 60.0) != Plan.draw(Random(6), 50, 60.0)


def test_faults_lie_within_the_storm_and_spare_somebody() -> None:
    for seed in range(100):
        for fault in Plan.draw(Random(seed), 7, 30.0).faults:
            assert 0 <= fault.at <= 30
            assert 0 <= fault.amount <= 1
            assert 1 <= len(fault.who) < 7
            assert str(fault)


def test_one_node_alone_can_have_a_storm() -> None:
    for seed in range(50):
        plan = Plan.draw(Random(seed), 1, 30.0)
        assert all(set(fault.who) <= {0} for fault in plan.faults)


async def nothing_is_left(world: World) -> int:
    nodes = world.hosts(10, busy)
    usual = (world.links.loss, world.links.jitter, world.links.duplicate, world.links.reorder)
    storm = await world.storm(nodes, 20.0)
    links = world.links
    assert (links.loss, links.jitter, links.duplicate, links.reorder) == usual
    for host in nodes:
        assert host.alive
        assert (host.disk.delay, host.disk.capacity) == (0.0001, 2**40)
        assert host.disk.read_errors == host.disk.write_errors == 0.0
        assert host.disk.cut_after is None
        assert all(world.network.reaches(host, other) for other in nodes)
    return storm.begun


async def busy(host: Host) -> None:
    for _ in range(10):
        try:
            await host.disk.replace("/x", b"x")
        except Exception:
            continue


@pytest.mark.slow
def test_after_the_storm_all_is_well() -> None:
    begun = [outcome.value for outcome in run_world(nothing_is_left, range(60))]
    assert max(begun) > 10
    assert min(begun) == 0


def test_overlapping_faults_add_up_and_end_one_by_one() -> None:
    plan = Plan(
        10.0,
        (
            Fault(1.0, 4.0, "loss", 0.5, (0,)),
            Fault(2.0, 4.0, "loss", 0.5, (0,)),
            Fault(2.0, 4.0, "partition", 0.5, (0, 1)),
            Fault(2.5, 1.0, "one-way", 0.5, (2,)),
            Fault(2.5, 3.0, "delay", 0.5, (2,)),
            Fault(3.0, 1.0, "full disk", 1.0, (3,)),
            Fault(3.1, 1.0, "crash", 0.0, (4,)),
            Fault(3.2, 2.0, "crash", 0.0, (4,)),
        ),
    )
    world = World(1)
    nodes = world.hosts(6)
    Storm(world.loop, Random(2), nodes, plan)  # whose crashes do not wait for the disk
    seen: list[tuple[float, bool, bool, bool, int, bool]] = []

    async def look() -> None:
        for moment in (0.5, 1.5, 3.3, 4.7, 5.5, 7.0):
            await wait_until(world, moment)
            reach = world.network.reaches
            seen.append(
                (
                    world.links.loss,
                    reach(nodes[0], nodes[5]),
                    reach(nodes[2], nodes[5]),
                    reach(nodes[5], nodes[2]),
                    nodes[3].disk.capacity,
                    nodes[4].alive,
                )
            )

    world.run(look())
    full = 2**40
    assert seen == [
        (0.0, True, True, True, full, True),
        (0.5, True, True, True, full, True),
        (0.75, False, False, True, 0, False),
        (0.75, False, True, True, full, seen[3][5]),
        (0.5, False, True, True, full, True),
        (0.0, True, True, True, full, True),
    ]
    world.close()


def test_a_clock_never_runs_back_and_its_host_wakes_by_it() -> None:
    plan = Plan(
        20.0,
        (
            Fault(1.0, 5.0, "clock", 1.0, (0,)),
            Fault(3.0, 9.0, "clock", 0.5, (0,)),
        ),
    )
    readings: list[float] = []

    async def boot(host: Host) -> None:
        for _ in range(200):
            readings.append(asyncio.get_running_loop().time())
            await asyncio.sleep(0.1)

    with World(1) as world:
        nodes = world.hosts(2)
        world.boot(nodes[0], boot)
        world.run(world.storm(nodes, 20.0, plan))
        clock = nodes[0].clock
        assert clock is not None
        assert clock.read(world.loop.now) - world.loop.now == pytest.approx(90.0, abs=0.2)
        assert nodes[1].clock is None
    assert readings == sorted(readings)
    assert readings[-1] - readings[0] > 100


async def wait_until(world: World, moment: float) -> None:
    await asyncio.sleep(moment - world.time)
