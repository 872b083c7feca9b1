"""A rumour reaches everybody, however the network behaves, and every run can be told again."""

import pytest

from shoal.lab.rumour import STORM, scenario, tell
from shoal.sim.run import run_world

CUT_UNTIL = 0.6 * STORM


def test_the_same_seed_tells_the_same_story() -> None:
    one, other = tell(3, 40), tell(3, 40)
    assert one.heard == other.heard
    assert one.trace_hash == other.trace_hash
    assert tell(4, 40).trace_hash != one.trace_hash


def test_a_partition_holds_the_rumour_back_until_it_ends() -> None:
    story = tell(1, 60)
    cut = next(fault.who for fault in story.plan.faults if fault.kind == "partition")
    for number, heard in enumerate(story.heard):
        assert (heard.at > CUT_UNTIL) or number not in cut
    beyond = [heard.at for number, heard in enumerate(story.heard) if number not in cut]
    assert sorted(beyond)[len(beyond) // 2] < 2.0


def test_hosts_crash_and_know_all_the_same() -> None:
    story = tell(2, 50)
    assert 1 <= sum(heard.crashes > 0 for heard in story.heard) <= 5
    assert {heard.host for heard in story.heard} == {f"node{number}" for number in range(50)}


def test_hops_count_from_the_one_who_told() -> None:
    story = tell(5, 50)
    hops = {heard.host: heard.hops for heard in story.heard}
    assert hops["node0"] == 0
    for heard in story.heard[1:]:
        assert heard.hops == hops[heard.teller] + 1


@pytest.mark.slow
def test_everybody_hears_in_every_world() -> None:
    assert [outcome.value for outcome in run_world(scenario, range(30))] == [100] * 30
