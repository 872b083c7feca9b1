"""Nodes in simulated worlds: nothing is lost that matters, nothing is left over."""

import os

import pytest
from tests.net.worlds import meet

from shoal.sim.run import run_one, run_world

SEEDS = int(os.environ.get("SHOAL_TEST_SEEDS", "100"))  # 1000 for a long run


@pytest.mark.slow
@pytest.mark.timeout(max(60, SEEDS))
def test_nodes_meet_crash_are_cut_off_and_meet_again() -> None:
    outcomes = run_world(meet, range(SEEDS), within=2000)
    assert len(outcomes) == SEEDS


def test_the_same_seed_gives_the_same_run() -> None:
    assert run_one(meet, 7).trace_hash == run_one(meet, 7).trace_hash
