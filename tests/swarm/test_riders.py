"""Free riders pay for it: a swarm of 100 by its engines, with them and without.

The delay of the contributors is what 30 riders cost 70 contributors: their mean
time with the riders there, over their mean time in the same swarm without
them.  Links are asymmetric (one to four), the seed has four times a peer's
uplink, and who is complete serves on for half a minute.  Were all to stay for
good, no rule could make riders finish later than 1 + 30 / 70 times: the whole
swarm then serves nobody else.

The aim is a delay of 1.10 and riders 1.5 times later.  Four worlds give 1.068 to
1.142 and 1.49 to 1.74 (docs/swarms.md); the bounds here are what all of them keep.
"""

import pytest

from shoal.lab.swarms import Setting, riders

DELAY, LATER = 1.15, 1.45


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", [1, 4])
def test_thirty_riders_cost_seventy_contributors_little_and_themselves_much(seed: int) -> None:
    row = riders(seed, Setting(), count=30)
    assert row["delay"] <= DELAY
    assert row["later"] >= LATER


@pytest.mark.slow
def test_the_same_seed_gives_the_same_swarm():
    small = Setting(contributors=10, size=1 << 20)
    assert riders(3, small, count=4) == riders(3, small, count=4)
