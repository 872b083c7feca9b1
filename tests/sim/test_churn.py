"""Peers come and go as the measured distribution says."""

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Any

import pytest

from shoal.sim.churn import HARSH, MEASURED, MINUTE, Churn, Weibull


class Timers:
    """A loop that has nothing but time."""

    def __init__(self) -> None:
        self.now = 0.0
        self._heap: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._count = 0

    def post(self, when: float, function: Callable[..., object], args: tuple[Any, ...]) -> None:
        self._count += 1
        heappush(self._heap, (when, self._count, function, args))

    def run(self, until: float) -> None:
        while self._heap and self._heap[0][0] <= until:
            self.now, _, function, args = heappop(self._heap)
            function(*args)
        self.now = until


class Nodes:
    def __init__(self, count: int) -> None:
        self.state = [True] * count

    def up(self, number: int) -> bool:
        return self.state[number]

    def crash(self, number: int) -> None:
        assert self.state[number]
        self.state[number] = False

    def restart(self, number: int) -> None:
        assert not self.state[number]
        self.state[number] = True


def test_quantiles_are_those_of_the_formula() -> None:
    # t = scale * (-ln(1 - share)) ** (1 / shape), worked out by hand
    assert MEASURED.quantile(0.5) == pytest.approx(16.009 * MINUTE, rel=1e-3)
    assert MEASURED.quantile(1 - 1 / 2.718281828) == pytest.approx(42 * MINUTE)
    assert MEASURED.quantile(0.9) == pytest.approx(377.1 * MINUTE, rel=1e-3)
    assert MEASURED.quantile(0.0) == 0.0
    assert MEASURED.mean == pytest.approx(161.8 * MINUTE, rel=1e-2)
    assert HARSH.mean == pytest.approx(MEASURED.mean / 10)
    assert Weibull(5.0, 1.0).mean == pytest.approx(5.0)  # shape 1 is the exponential


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.75, 0.9])
def test_what_is_drawn_has_those_quantiles(share: float) -> None:
    rng = Random(1)
    drawn = [MEASURED.draw(rng) for _ in range(20_000)]
    below = sum(length <= MEASURED.quantile(share) for length in drawn) / len(drawn)
    assert below == pytest.approx(share, abs=0.012)  # three and a half standard deviations


def test_a_session_under_way_is_a_long_one() -> None:
    """Of what is left the mean is E[T^2] / (2 E[T]), and no memory makes it the mean itself."""
    rng = Random(2)
    exponential = Weibull(10.0, 1.0)
    rests = [exponential.draw_rest(rng) for _ in range(20_000)]
    assert sum(rests) / len(rests) == pytest.approx(10.0, rel=0.03)
    uneven = Weibull(10.0, 0.8)
    rests = [uneven.draw_rest(rng) for _ in range(40_000)]
    square = 100.0 * 3.3234  # scale^2 * gamma(1 + 2 / 0.8)
    assert sum(rests) / len(rests) == pytest.approx(square / (2 * uneven.mean), rel=0.04)


def test_about_as_many_are_up_at_any_time() -> None:
    timers, nodes = Timers(), Nodes(2000)
    churn = Churn(timers, Random(3), nodes, 2000, sessions=HARSH, stay=range(5))
    up = []
    for hour in range(6):
        timers.run(hour * 60 * MINUTE)
        up.append(sum(nodes.state) / 2000)
    assert up == pytest.approx([0.5] * 6, abs=0.05)
    assert all(nodes.state[:5])
    assert churn.ended > 2000
    churn.stop()
    before = list(nodes.state)
    timers.run(100 * 60 * MINUTE)
    assert nodes.state == before


def test_short_absences_leave_most_up() -> None:
    timers, nodes = Timers(), Nodes(2000)
    Churn(timers, Random(4), nodes, 2000, sessions=HARSH, absences=Weibull(HARSH.scale / 9))
    timers.run(60 * MINUTE)
    assert sum(nodes.state) / 2000 == pytest.approx(0.9, abs=0.03)
