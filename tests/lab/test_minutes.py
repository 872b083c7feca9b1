"""A network in which each node looks something up every minute, by real services and by engines."""

import pytest

from shoal.lab.minutes import engine, service

MEASURED = ("processor_s", "times_real")


@pytest.mark.parametrize("tier", [engine, service])
def test_every_lookup_names_the_closest(tier: object) -> None:
    row = tier(1, size=60)  # type: ignore[operator]
    assert row["lookups"] == 60
    assert row["found"] >= 0.98
    assert row["p95_s"] < 1.0


@pytest.mark.slow
def test_but_for_what_it_took_the_same_seed_gives_the_same_row() -> None:
    one, two = (service(3, size=30) for _ in range(2))
    assert {k: v for k, v in one.items() if k not in MEASURED} == {
        k: v for k, v in two.items() if k not in MEASURED
    }
