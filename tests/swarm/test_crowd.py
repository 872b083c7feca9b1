"""Crowds in the simulator: every honest peer finishes, and nobody serves what is not proven."""

import pytest
from tests.swarm.crowd import Crowd

from shoal.sim.churn import Weibull
from shoal.sim.world import World


def run(seed: int, scenario, **more) -> Crowd:
    with World(seed) as world:
        crowd = Crowd(world, **more)
        world.always(crowd.check_limits)
        world.run(scenario(world, crowd), within=20_000)
        return crowd


@pytest.mark.slow
def test_a_few_peers_fetch_from_one_seed_and_each_other():
    async def scenario(world, crowd):
        crowd.add("seed", 1, up=300_000)
        crowd.add("leech", 8)
        await world.until(lambda: len(crowd.finished) == 8, within=300)
        await crowd.check_files()

    crowd = run(1, scenario)
    assert max(crowd.finished.values()) < 60  # the seed alone would need 53 s for eight copies


def test_the_same_seed_gives_the_same_run():
    async def scenario(world, crowd):
        crowd.add("seed", 1)
        crowd.add("leech", 4)
        await world.until(lambda: len(crowd.finished) == 4, within=300)

    first, second = run(3, scenario, size=500_000), run(3, scenario, size=500_000)
    assert first.finished == second.finished
    assert first.world.trace_hash == second.world.trace_hash


@pytest.mark.slow
def test_poisoners_are_found_and_banned_and_nobody_keeps_their_bytes():
    async def scenario(world, crowd):
        crowd.add("seed", 2)
        crowd.add("liar", 3, up=2_000_000)
        crowd.add("leech", 6)
        await world.until(lambda: len(crowd.finished) == 6, within=600)
        await crowd.check_files()

    crowd = run(2, scenario)
    banned = [host for t in crowd.transfers.values() for host in t.session.exchange.banned]
    liars = {crowd.world.network.hosts[number].ip for number in crowd.liars}
    assert set(banned) == liars  # and no honest peer


@pytest.mark.slow
def test_a_crash_loses_no_noted_piece_and_a_torn_write_is_not_served():
    async def scenario(world, crowd):
        crowd.add("seed", 1, up=200_000)
        crowd.add("leech", 3)
        for moment in range(4):
            await world.until(lambda: len(crowd.transfers) == 3, within=100)
            await world.until(lambda m=moment: world.time > 4 * (m + 1), within=100)
            host = crowd.hosts[1 + moment % 3]
            host.crash()
            crowd.transfers.pop(host.number, None)
            await crowd.check_files()
            host.restart()
        await world.until(lambda: len(crowd.finished) == 3, within=600)
        await crowd.check_files()

    run(5, scenario)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_hundred_peers_with_churn_partitions_and_slow_links_all_finish():
    async def scenario(world, crowd):
        crowd.add("seed", 2, up=1_000_000)
        crowd.add("leech", 50, up=100_000, down=1_000_000)
        crowd.add("leech", 48, up=400_000)
        churn = world.churn(
            Crew(crowd), sessions=Weibull(60.0, 1.0), absences=Weibull(5.0, 1.0), stay=[0, 1]
        )
        await world.until(lambda: len(crowd.finished) >= 50, within=3000)
        world.partition(crowd.hosts[:30], crowd.hosts[30:])
        await world.until(lambda end=world.time + 20: world.time > end, within=100)
        world.heal()
        churn.stop()
        for host in crowd.hosts:
            if not host.alive:
                host.restart()
        everybody = {host.number for host in crowd.hosts[2:]}
        await world.until(lambda: crowd.complete(everybody), within=6000)
        await crowd.check_files()

    run(7, scenario, size=1_000_000)


class Crew:
    """The hosts as churn wants them."""

    def __init__(self, crowd: Crowd) -> None:
        self.hosts = crowd.hosts

    def __len__(self) -> int:
        return len(self.hosts)

    def up(self, number: int) -> bool:
        return self.hosts[number].alive

    def crash(self, number: int) -> None:
        self.hosts[number].crash()

    def restart(self, number: int) -> None:
        self.hosts[number].restart()
