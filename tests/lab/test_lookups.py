"""Small versions of the lab's tables: hops as published, and success under each trouble."""

import pytest

from shoal.lab.lookups import churn, half, hops, liars


@pytest.mark.slow
def test_hops_in_filled_tables_are_as_published() -> None:
    row = hops(1, size=1000, k=8, lookups=200)
    assert row["hops"] == pytest.approx(2.3, rel=0.07)
    assert row["found"] == 1.0


@pytest.mark.slow
def test_hops_grow_with_the_logarithm() -> None:
    assert hops(1, size=10_000, k=8, lookups=80)["hops"] == pytest.approx(2.95, rel=0.07)


@pytest.mark.slow
def test_after_real_joins_lookups_take_little_longer() -> None:
    row = hops(1, size=250, k=8, lookups=100, joined=True)
    assert row["hops"] <= 2.7
    assert row["found"] == 1.0


@pytest.mark.slow
def test_under_churn_what_was_stored_is_found_within_a_second() -> None:
    row = churn(1, size=100, hours=0.2, lookups=300)
    assert row["succeeded"] >= 0.99
    assert row["p95_s"] < 1.0


@pytest.mark.slow
def test_with_half_the_nodes_dead_lookups_go_round_them_within_two_seconds() -> None:
    row = half(1, size=500, lookups=200)
    assert row["succeeded"] >= 0.98
    assert row["p95_s"] < 2.0


@pytest.mark.slow
def test_disjoint_paths_go_round_liars() -> None:
    row = liars(1, size=1000, share=0.2, paths=8, k=16, lookups=50)
    assert row["succeeded"] >= 0.99


def test_the_same_seed_gives_the_same_row() -> None:
    assert half(3, size=60, lookups=20) == half(3, size=60, lookups=20)


@pytest.mark.slow
def test_under_heavy_churn_nodes_are_found_within_a_second() -> None:
    row = churn(1, size=150, hours=0.3, lookups=300, values=False, young=True)
    assert row["succeeded"] >= 0.98
    assert row["p95_s"] < 1.0
