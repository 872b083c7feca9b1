"""The wait for an answer follows what was measured."""

import random

from shoal.dht.timing import LIMIT_MAX, LIMIT_MIN, PATIENCE_MAX, PATIENCE_MIN, UNKNOWN, RoundTrips


def test_nothing_is_concluded_from_three_answers() -> None:
    trips = RoundTrips()
    for _ in range(3):
        trips.measured(0.01)
    assert trips.patience == UNKNOWN
    trips.measured(0.01)
    assert trips.patience == PATIENCE_MIN


def test_patience_covers_nearly_all_answers() -> None:
    rng = random.Random(1)
    trips = RoundTrips()
    late = 0
    for _ in range(2000):
        seconds = rng.uniform(0.02, 0.2)
        late += seconds > trips.patience
        trips.measured(seconds)
    assert late < 40
    assert 0.19 < trips.patience < 0.25
    assert trips.limit == LIMIT_MIN


def test_a_slower_network_is_learnt_soon_and_waits_have_bounds() -> None:
    trips = RoundTrips()
    for _ in range(500):
        trips.measured(0.05)
    for _ in range(10):
        trips.measured(60.0)
    assert trips.patience == PATIENCE_MAX
    assert trips.limit == LIMIT_MAX
    assert len(trips._recent) == len(trips._sorted) == 64
