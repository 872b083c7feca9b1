"""Limits really cap, and rates are measured."""

import pytest
from hypothesis import given, strategies as st

from shoal.swarm.rate import BURST_MIN, Bucket, Budget, Meter

BLOCK = 16384


@given(st.integers(10_000, 10_000_000), st.lists(st.floats(0, 0.5), max_size=200))
def test_what_flows_is_never_more_than_the_rate_and_one_burst(rate, pauses):
    budget = Budget([Bucket(rate, 0.0)])
    now, flowed = 0.0, 0
    for pause in pauses:
        now += pause
        for _ in range(5):
            if budget.take(BLOCK, now):
                flowed += BLOCK
    assert flowed <= rate * now + max(rate, BURST_MIN) + BLOCK


def test_all_of_a_limit_is_used():
    budget = Budget([Bucket(100_000, 0.0)])
    now, flowed = 0.0, 0
    while now < 100:
        if budget.take(BLOCK, now):
            flowed += BLOCK
        else:
            now = max(budget.ready(BLOCK, now), now + 1e-6)
    assert flowed == pytest.approx(100_000 * 100, rel=0.02)


def test_the_narrowest_of_several_limits_counts():
    budget = Budget([Bucket(None, 0.0), Bucket(50_000, 0.0), Bucket(500_000, 0.0)])
    while budget.take(BLOCK, 0.0):
        pass
    assert budget.ready(BLOCK, 0.0) > 0.1
    assert not budget.unlimited


def test_a_block_larger_than_the_burst_still_flows():
    bucket = Bucket(1000, 0.0)
    assert Budget([bucket]).take(10 * BURST_MIN, 0.0)
    assert bucket.ready(BLOCK, 0.0) > 200


def test_no_limit_is_no_limit_and_zero_is_a_stop():
    free = Budget([Bucket(None, 0.0)])
    assert free.unlimited
    assert all(free.take(1 << 30, 0.0) for _ in range(10))
    stopped = Bucket(0, 0.0)
    stopped.spend(BURST_MIN)
    assert stopped.ready(1, 5.0) == float("inf")


def test_a_limit_can_change():
    bucket = Bucket(None, 0.0)
    bucket.limit(1000, 5.0)
    assert bucket.available(5.0) == 0
    assert bucket.available(6.0) == 1000


def test_a_meter_follows_the_rate():
    meter = Meter(0.0)
    for second in range(1, 40):
        meter.count(1000)
        rate = meter.rate(float(second))
    assert rate == pytest.approx(1000)
    for second in range(40, 80):
        rate = meter.rate(float(second))
    assert rate < 30
    assert meter.total == 39_000
