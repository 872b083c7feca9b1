"""A world starts hosts, cuts their power, watches what must hold, and says where it failed."""

import asyncio
from itertools import count

import pytest
from tests.sim.scenarios import PORT, open_socket

from shoal.errors import DeadlockError, LivelockError, SimulationError
from shoal.sim.host import Host
from shoal.sim.run import run_one, run_world
from shoal.sim.world import World


def test_a_restarted_host_has_its_disk_and_boots_again() -> None:
    boots: list[bytes] = []

    async def boot(host: Host) -> None:
        if await host.disk.stat("/kept"):
            boots.append(await host.disk.read("/kept"))
        else:
            boots.append(b"")
        await host.disk.replace("/kept", b"%d" % len(boots))
        try:
            await asyncio.sleep(100)
        finally:
            boots.append(b"a finally ran")

    async def scenario(world: World) -> None:
        host = world.host("a", boot=boot)
        for _ in range(2):
            await asyncio.sleep(1)
            host.crash()
            host.restart()
        await asyncio.sleep(1)
        assert boots == [b"", b"1", b"2"]

    run_one(scenario, 1)


def test_what_the_disk_was_not_asked_to_keep_may_be_gone() -> None:
    async def scenario(world: World) -> bool:
        host = world.host("a")
        await host.run(host.disk.write("/kept?", 0, [b"x"]))
        host.crash()
        host.restart()
        kept: bool = await host.run(host.disk.stat("/kept?")) is not None
        return kept

    assert {run_one(scenario, seed).value for seed in range(20)} == {True, False}


def test_a_power_cut_in_the_midst_of_a_write_takes_the_host_with_it() -> None:
    async def boot(host: Host) -> None:
        try:
            await host.disk.replace("/a", b"x")
        except BaseException as error:
            raise AssertionError("the host is gone, nobody may notice") from error
        raise AssertionError("it cannot have been written")

    async def scenario(world: World) -> None:
        host = world.host("a")
        host.disk.cut_after = 2
        world.boot(host, boot)
        await asyncio.sleep(1)
        assert not host.alive
        assert host.disk.steps == 2

    run_one(scenario, 1)


def test_an_invariant_is_checked_while_the_world_runs() -> None:
    async def scenario(world: World) -> None:
        done = 0

        def below_ten() -> bool:
            return done < 10

        world.always(below_ten, every=0.7)
        while True:
            await asyncio.sleep(1)
            done += 1

    with pytest.raises(SimulationError, match=r"at 10\.500000 s: SimulationError: below_ten does"):
        run_one(scenario, 1)


def test_an_invariant_does_not_hide_a_deadlock() -> None:
    async def scenario(world: World) -> None:
        world.always(lambda: True, every=0.5)
        world.always(lambda: None, every=0.7)
        await asyncio.sleep(3)
        await asyncio.Event().wait()

    with pytest.raises(SimulationError, match=r"seed 4 at .*DeadlockError") as caught:
        run_one(scenario, 4)
    assert isinstance(caught.value.__cause__, DeadlockError)


def test_a_livelock_names_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoal.sim.loop.LIVELOCK", 1000)

    async def scenario(world: World) -> None:
        await asyncio.sleep(1)
        for _ in count():
            await asyncio.sleep(0)

    with pytest.raises(SimulationError, match=r"seed 5 at 1\.000000 s.*LivelockError") as caught:
        run_one(scenario, 5)
    assert isinstance(caught.value.__cause__, LivelockError)


def test_a_world_that_does_not_end_is_stopped() -> None:
    async def boot(host: Host) -> None:
        for _ in count():
            await asyncio.sleep(60)

    async def scenario(world: World) -> None:
        world.host("a", boot=boot)
        await asyncio.Event().wait()

    with pytest.raises(SimulationError, match=r"SimulationError: it did not end in time"):
        run_one(scenario, 1, within=1000)


async def one_host_fails(world: World) -> None:
    async def boot(host: Host) -> None:
        await asyncio.sleep(2)
        if host.name == "node3":
            raise ValueError("this\nwent wrong")
        await asyncio.sleep(100)

    world.hosts(5, boot)
    await asyncio.sleep(100)


def test_a_failure_names_scenario_seed_time_host_and_the_way_back() -> None:
    with pytest.raises(SimulationError) as caught:
        run_world(one_host_fails, [9])
    name = f"{__name__}:one_host_fails"
    assert str(caught.value) == (
        f"{name} failed with seed 9 at 2.000000 s on host node3: ValueError: this went wrong"
        f" -- replay: shoal lab replay {name} --seed 9"
    )


def test_a_scenario_inside_a_test_has_no_way_back_and_says_so() -> None:
    async def scenario(world: World) -> None:
        raise ValueError

    with pytest.raises(SimulationError, match="no replay: it is not at the top of a module"):
        run_one(scenario, 1)


def test_a_failure_inside_a_task_group_names_its_host() -> None:
    async def work() -> None:
        await asyncio.sleep(1)
        raise ValueError

    async def boot(host: Host) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(100))
            group.create_task(work())

    async def scenario(world: World) -> None:
        world.host("a")
        world.host("b", boot=boot)
        await asyncio.sleep(3)

    with pytest.raises(SimulationError, match=r"at 1\.000000 s on host b"):
        run_one(scenario, 1)


def test_conditions_that_come_true_late_are_waited_for() -> None:
    async def scenario(world: World) -> float:
        done = asyncio.Event()
        asyncio.get_running_loop().call_later(3.05, done.set)
        return await world.until(done.is_set, within=5)

    assert run_one(scenario, 1).value == pytest.approx(3.1)

    async def never(world: World) -> None:
        await world.until(asyncio.Event().is_set, within=5)

    with pytest.raises(SimulationError, match="is_set did not come true within 5 s"):
        run_one(never, 1)


def test_partitions_stand_between_hosts_until_healed() -> None:
    async def scenario(world: World) -> None:
        heard: list[bytes] = []
        one, other = world.host("one"), world.host("other")
        await other.run(open_socket(lambda data, *_: heard.append(data)))
        transport = await one.run(open_socket(lambda *_: None))
        world.partition([one], [other])
        transport.sendto(b"lost", (other.ip, PORT))
        await asyncio.sleep(1)
        world.heal()
        transport.sendto(b"heard", (other.ip, PORT))
        await asyncio.sleep(1)
        assert heard == [b"heard"]

    run_one(scenario, 1)


def test_same_moments_come_in_an_order_drawn_from_the_seed() -> None:
    async def scenario(world: World) -> str:
        order = []

        async def note(letter: str) -> None:
            await asyncio.sleep(1)
            order.append(letter)

        await asyncio.gather(*[note(letter) for letter in "abc"])
        return "".join(order)

    found = {outcome.value for outcome in run_world(scenario, range(60))}
    assert found == {"abc", "acb", "bac", "bca", "cab", "cba"}
    assert World(3, shuffle=False).run(scenario(World(3))) == "abc"


def test_the_same_world_can_be_run_in_parts() -> None:
    with World(1) as world:
        host = world.host("a")
        world.run(host.run(host.disk.replace("/a", b"x")))
        assert world.run(host.run(host.disk.read("/a"))) == b"x"
        assert world.time > 0
        with pytest.raises(SimulationError):
            world.run(asyncio.Event().wait(), within=1)
