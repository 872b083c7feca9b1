"""Mistakes that were planted are found within a hundred seeds; without them nothing is found."""

import re

import pytest
from tests.sim import planted

from shoal.errors import SimulationError
from shoal.sim.run import Scenario, find, run_one, run_world

SEEDS = range(100)


def first_failure(scenario: Scenario) -> str:
    with pytest.raises(SimulationError) as caught:
        run_world(scenario, SEEDS)
    return str(caught.value)


@pytest.mark.parametrize(
    ("bug", "why"),
    [
        (planted.ordering_bug, "AssertionError: the old value b'1' won"),
        (planted.same_moment_bug, "AssertionError: used before it was filled"),
        (planted.wake_up_bug, "DeadlockError: "),
        (planted.no_sync_bug, r"on host a: (AssertionError: told|ValueError: invalid literal)"),
    ],
)
def test_a_planted_mistake_is_found_and_its_seed_finds_it_again(bug: Scenario, why: str) -> None:
    line = first_failure(bug)
    assert re.search(why, line)
    found = re.fullmatch(r".* -- replay: shoal lab replay (\S+) --seed (\d+)", line)
    assert found
    with pytest.raises(SimulationError, match=re.escape(line)):
        run_one(find(found[1]), int(found[2]))


@pytest.mark.parametrize(
    "scenario",
    [
        planted.ordering_mended,
        planted.same_moment_mended,
        planted.wake_up_mended,
        planted.no_sync_mended,
    ],
)
def test_nothing_is_found_where_there_is_no_mistake(scenario: Scenario) -> None:
    assert len(run_world(scenario, SEEDS)) == len(SEEDS)
