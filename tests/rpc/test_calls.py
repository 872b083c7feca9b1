"""Calls end once, on time; addresses are chosen by load, and a dead one only as the last."""

import random

import pytest

from shoal.errors import LimitError
from shoal.rpc.calls import KEPT, REFUSED_FOR, SLACK, Destinations, Pending, may_retry


def test_a_reply_ends_its_call_once() -> None:
    pending: Pending[str] = Pending()
    pending.add("1", "call", "wire", 5.0)
    assert pending.take("1") == "call"
    assert pending.take("1") is None
    assert pending.deadline is None


def test_calls_expire_in_the_order_of_their_deadlines() -> None:
    pending: Pending[str] = Pending()
    for number, deadline in (("a", 3.0), ("b", 1.0), ("c", 2.0)):
        pending.add(number, number, "wire", deadline)
    assert pending.deadline == 1.0
    assert pending.expired(2.0) == [("b", "b"), ("c", "c")]
    assert len(pending) == 1


def test_a_lost_connection_ends_its_calls_and_no_others() -> None:
    pending: Pending[str] = Pending()
    pending.add("a", "a", "one", 1.0)
    pending.add("b", "b", "two", 1.0)
    assert pending.lost("one") == ["a"]
    assert pending.expired(9.0) == [("b", "b")]


def test_answered_calls_leave_no_trace_and_waiting_ones_are_bounded() -> None:
    pending: Pending[int] = Pending(most=2)
    for number in range(10_000):
        pending.add(str(number), number, "wire", 1e9)
        pending.take(str(number))
    assert len(pending._heap) <= SLACK + 2
    pending.add("a", 1, "wire", 1.0)
    pending.add("b", 1, "wire", 1.0)
    with pytest.raises(LimitError):
        pending.add("c", 1, "wire", 1.0)


def test_the_less_loaded_of_two_is_called() -> None:
    rng = random.Random(1)
    destinations = Destinations()
    destinations.learn(["a:1", "b:1"])
    destinations.known["a:1"].load = 5
    assert {destinations.choose(rng, 0.0).address for _ in range(20)} == {"b:1"}  # type: ignore[union-attr]


def test_one_that_refused_is_the_last_choice_until_its_time_is_over() -> None:
    rng = random.Random(1)
    destinations = Destinations()
    destinations.learn(["a:1", "b:1"])
    destinations.refused("a:1", 0.0)
    chosen = {destinations.choose(rng, 1.0).address for _ in range(20)}  # type: ignore[union-attr]
    assert chosen == {"b:1"}
    assert destinations.choose(rng, 1.0, tried=["b:1"]).address == "a:1"  # type: ignore[union-attr]
    assert destinations.choose(rng, 1.0, tried=["a:1", "b:1"]) is None
    later = {destinations.choose(rng, REFUSED_FOR).address for _ in range(20)}  # type: ignore[union-attr]
    assert later == {"a:1", "b:1"}


def test_a_busy_address_outlives_the_lookup_that_forgot_it() -> None:
    destinations = Destinations()
    destinations.learn(["a:1", "b:1"])
    destinations.known["a:1"].load = 1
    destinations.learn(["c:1"])
    assert list(destinations.known) == ["c:1", "a:1"]


def test_a_call_that_may_have_been_executed_is_repeated_only_if_that_is_harmless() -> None:
    assert may_retry(sent=False, idempotent=False)
    assert may_retry(sent=True, idempotent=True)
    assert not may_retry(sent=True, idempotent=False)


def test_an_idempotent_call_leaves_half_of_its_time_for_another_address() -> None:
    destinations = Destinations()
    destinations.learn(["a:1", "b:1"])
    assert destinations.patience(10.0, 20.0, tried=0, idempotent=True) == 15.0
    assert destinations.patience(15.0, 20.0, tried=1, idempotent=True) == 20.0
    assert destinations.patience(10.0, 20.0, tried=0, idempotent=False) == 20.0


def test_a_lookup_that_finds_nobody_is_not_believed_at_once() -> None:
    destinations = Destinations(kept_until=KEPT)
    destinations.learn(["a:1", "b:1"])
    destinations.refused("a:1", 1.0)
    assert destinations.lost(2.0)
    assert list(destinations.known) == ["b:1"]
    assert not destinations.lost(KEPT)
    assert not destinations.known
