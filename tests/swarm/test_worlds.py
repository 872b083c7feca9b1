"""Swarms in simulated worlds: nobody gets a wrong byte, and all who are honest finish."""

import os
from functools import partial

import pytest
from tests.swarm.worlds import crowd, poisoned, storm

from shoal.sim.run import run_one, run_world

SEEDS = int(os.environ.get("SHOAL_TEST_SEEDS", "10"))  # 1000 for a long run
CROWD = int(os.environ.get("SHOAL_TEST_PEERS", "100"))


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize("version", ["v1", "v2", "hybrid"])
def test_poisoners_end_banned_and_nobody_else_does(version: str) -> None:
    town, wasted = run_one(partial(poisoned, version=version), 1, within=600).value
    liars = {player.host.ip for player in town.players if player.kind == "poisoner"}
    for player in town.players:
        if player.kind == "peer":
            assert set(player.transfer.exchange.banned) == liars
    assert town.blocks > 1000
    assert wasted < 0.35  # a third of what three of sixteen send is wrong


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_crowd_finishes_from_one_seed_and_little_comes_twice() -> None:
    town, wasted = run_one(partial(crowd, count=CROWD), 1, within=1200).value
    assert wasted < 0.35  # most of so small a content is end game
    assert max(player.finished or 0 for player in town.players) < 100


@pytest.mark.slow
@pytest.mark.timeout(max(120, 10 * SEEDS))
def test_all_finish_after_a_storm_and_no_note_promised_too_much() -> None:
    outcomes = run_world(storm, range(SEEDS), within=2000)
    towns = [outcome.value for outcome in outcomes]
    players = [player for town in towns for player in town.players]
    assert any(player.boots > 1 for player in players)
    assert any(player.problems for player in players)
